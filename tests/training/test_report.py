"""What a step tells: means over the frames that have a number, and a divergence that nobody has waited for."""

import math
import weakref
from typing import Any

import pytest
import torch
import vs_optim as optim
from test_step import setup, street_clip
from torch import Tensor
from vs_optim import Pair
from vs_training.errors import NonFiniteError
from vs_training.report import measure, report_step
from vs_training.retry import settle
from vs_training.state import FrameUpdate, TrainState
from vs_training.step import train_clip


def number(value: float) -> Tensor:
    return torch.tensor(value)


def update(
    state: TrainState,
    d: dict[str, float],
    g: dict[str, float],
    norms: tuple[float, float] = (1.0, 1.0),
    finding: optim.Finding | None = "finite",
) -> FrameUpdate:
    """An update with such losses; `norms` and `finding` of its gradients."""
    return FrameUpdate(
        losses=Pair(discriminator=d, generator=g).map(lambda losses: {k: number(v) for k, v in losses.items()}),
        gradients=Pair(
            discriminator=optim.GradientReport(finding="finite", norm=number(norms[0])),
            generator=optim.GradientReport(finding=finding, norm=number(norms[1])),
        ),
        decision=optim.decide(optim.ScalerConfig(), state.scaling, Pair(discriminator="finite", generator="finite")),
        frame=torch.zeros(1, 3, 2, 2),
    )


def test_means_are_over_the_frames_that_have_the_number() -> None:
    state, _ = setup()
    first = update(state, {"gan": 1.0}, {"gan": 3.0})
    second = update(state, {"gan": 2.0}, {"flow": 7.0, "gan": 5.0}, norms=(3.0, math.inf), finding="overflow")
    report = report_step(state, [measure(first), measure(second)], "clip")
    assert report.losses == Pair(discriminator={"gan": 1.5}, generator={"flow": 7.0, "gan": 4.0})
    assert list(report.losses.generator) == ["flow", "gan"]
    assert report.gradient_norms == Pair(discriminator=2.0, generator=1.0)
    assert report.underflow == Pair(discriminator=None, generator=None)
    assert report.frames == 2


@pytest.mark.parametrize(
    ("d", "g", "norms", "what", "network"),
    [
        (math.nan, 1.0, (1.0, 1.0), "loss gan", "discriminator"),
        (1.0, math.inf, (1.0, 1.0), "loss gan", "generator"),
        (1.0, 1.0, (math.nan, 1.0), "the gradient", "discriminator"),
        (1.0, 1.0, (1.0, math.inf), "the gradient", "generator"),
    ],
)
def test_what_nobody_has_waited_for_is_found_when_the_clip_ends(
    d: float, g: float, norms: tuple[float, float], what: str, network: str
) -> None:
    state, _ = setup()
    good, bad = update(state, {"gan": 1.0}, {"gan": 1.0}), update(state, {"gan": d}, {"gan": g}, norms, finding=None)
    with pytest.raises(NonFiniteError) as caught:
        report_step(state, [measure(good), measure(bad)], "clip")
    error = caught.value
    assert (error.what, error.network, error.frame, error.clip) == (what, network, 1, "clip")


def test_of_a_frame_nothing_is_kept_until_its_clip_ends_but_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """All generated frames of a long clip are a lot of memory; networks look at the last few only."""
    state, recipe = setup()
    made: list[weakref.ref[FrameUpdate]] = []
    alive: list[int] = []

    def watched(*args: Any, **kwargs: Any) -> tuple[TrainState, FrameUpdate]:
        alive.append(sum(update() is not None for update in made))
        settled, update = settle(*args, **kwargs)
        made.append(weakref.ref(update))
        return settled, update

    monkeypatch.setattr("vs_training.step.settle", watched)
    train_clip(state, street_clip(4), recipe)
    assert alive == [0, 1, 1, 1]
