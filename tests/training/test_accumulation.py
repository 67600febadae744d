"""What clipping, accumulation over micro-batches and the EMA do, also when steps are skipped."""

import math
from typing import Any

import attrs
import pytest
import torch
import vs_optim as optim
from faults import PLACES, SCALED, GradientFault, cloned, everything, network_of, same, scaled_setup
from test_few_shot_training import SMALL, faces_clip
from test_few_shot_training import setup as few_shot_setup
from test_step import setup, street_clip
from vs_data import Clip
from vs_train.numbers import named_losses
from vs_training.state import Recipe, StepReport, TrainState
from vs_training.step import train_clip


def test_gradients_are_clipped_after_unscaling(monkeypatch: pytest.MonkeyPatch) -> None:
    norms: dict[float, list[float]] = {}
    for scale in (1.0, 2.0**12):
        state, recipe = scaled_setup(init_scale=scale)
        recipe = attrs.evolve(recipe, clip_norms=optim.Pair(generator=1e-3, discriminator=1e-2))
        state, report = train_clip(state, street_clip(1), recipe)
        networks = (state.generator, state.discriminator)
        left = [torch.stack([p.grad.norm() for p in net.parameters() if p.grad is not None]).norm() for net in networks]
        seen = [norm for _, norm in report.gradient_norms.items() if norm is not None]
        norms[scale] = [*(norm.item() for norm in left), *seen]
        assert norms[scale][:2] == pytest.approx([1e-3, 1e-2], rel=1e-4)
        assert all(norm > 1e-2 for norm in seen)  # reported before clipping
    assert norms[1.0] == norms[2.0**12]


def few_shot(flow_steps: int, **scaler: Any) -> tuple[TrainState, Recipe, Clip]:
    document = {**SMALL, "curriculum": {**SMALL["curriculum"], "flow_steps": flow_steps}}
    document["optim"] = {**SMALL["optim"], "scaler": {"init_scale": 2.0**10, **scaler}}
    config, state, recipe = few_shot_setup(document)
    scaling = optim.initial_scaling(config.optim.scaler, SCALED)
    return attrs.evolve(state, scaling=scaling), attrs.evolve(recipe, precision=SCALED), faces_clip(config, (4, 5), 2)


def trained(case: str, parts: int) -> tuple[TrainState, StepReport]:
    """One step in so many parts, with weights that all but stand still.

    Frames after an update amplify rounding: instance norms of nearly constant features do, and Adam makes a whole step
    of what is rounding of a gradient that should be zero.
    """
    if case == "vid2vid":
        (state, recipe), clip = setup(), street_clip(3)
    else:
        state, recipe, clip = few_shot(flow_steps=int(case == "flow"))
    state = attrs.evolve(
        state,
        optimizers=state.networks.map(lambda network: torch.optim.SGD(network.parameters(), lr=1e-9)),
    )
    return train_clip(state, clip, attrs.evolve(recipe, micro_batches=parts))


@pytest.mark.parametrize("case", ["vid2vid", "few-shot", "flow"])
def test_micro_batches_are_the_batch_up_to_rounding(case: str) -> None:
    """Also of the vectors of power iterations, which move once a frame and not once a part."""
    (whole, whole_report), (summed, summed_report) = trained(case, 1), trained(case, 2)
    expected_losses, summed_losses = named_losses(whole_report.losses), named_losses(summed_report.losses)
    assert expected_losses.keys() == summed_losses.keys()
    for name, value in expected_losses.items():
        assert summed_losses[name] == pytest.approx(value, rel=1e-4, abs=1e-6), name
    for network, norm in whole_report.gradient_norms.items():
        if norm is None:
            continue  # of flow steps
        assert summed_report.gradient_norms.of(network) == pytest.approx(norm, rel=1e-3)
        expected = dict(network_of(whole, network).named_parameters())
        for name, parameter in network_of(summed, network).named_parameters():
            gradient, other = parameter.grad, expected[name].grad
            assert (gradient is None) == (other is None), name
            if gradient is not None and other is not None:
                assert (gradient - other).norm().item() <= 1e-2 * norm, name  # a ReLU may take its other slope
    for network in PLACES[2]:
        vectors = dict(network_of(whole, network).named_buffers())
        for name, vector in network_of(summed, network).named_buffers():
            torch.testing.assert_close(vector, vectors[name], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("flow_steps", [0, 1])
def test_a_few_shot_frame_is_replayed_too(monkeypatch: pytest.MonkeyPatch, flow_steps: int) -> None:
    """With and without a discriminator that is trained beside it."""
    results = []
    for attempts in ([], [1]):
        state, recipe, clip = few_shot(flow_steps, policy="paired")
        with monkeypatch.context() as patch:
            GradientFault(patch, "generator", attempts, bad=math.nan)
            results.append(train_clip(state, clip, recipe))
    (clean, clean_report), (state, report) = results
    assert same(everything(state), everything(clean))
    assert report.losses == clean_report.losses
    assert (state.scaling.scales.generator.scale, state.scaling.scales.discriminator.scale) == (2.0**9, 2.0**10)
    assert (report.replays, report.skipped.generator) == (1, 0)


def test_the_ema_counts_the_steps_that_it_has_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Skipped ones at the start do not use up its copies: it is that of a run without them."""
    clip, averages = street_clip(1), []
    for skipped in (0, 2):
        state, recipe = scaled_setup()
        recipe = attrs.evolve(recipe, ema=optim.EmaConfig(start_step=2, beta=0.5))
        with monkeypatch.context() as patch:
            for network in PLACES[2]:
                GradientFault(patch, network, range(skipped), bad=math.inf)
            for _ in range(skipped + 4):
                state, _ = train_clip(state, clip, recipe)
        averages.append(cloned(state.generator_ema))
        assert state.updates == skipped + 4
    assert same(*averages)
