"""Steps that train a vid2vid generator's flow network alone, from the real past."""

import math
from types import SimpleNamespace
from typing import Any

import attrs
import pytest
import torch
import vs_nets as nets
from test_step import CONFIG, DOCUMENT, setup, street_clip, weights
from vs_config import ConfigError, load_config
from vs_data import Clip, SequenceInfo
from vs_train.numbers import named_losses
from vs_training.checks import check_sequences
from vs_training.config import TrainConfig
from vs_training.curriculum import CurriculumConfig, clip_length, images_between, stages
from vs_training.errors import NonFiniteError, VsTrainingError
from vs_training.inputs import encode_label
from vs_training.step import train_clip

ALONE = attrs.evolve(CONFIG, curriculum=CurriculumConfig(flow_steps=1, flow_length=4, max_length=4))


def changed(clip: Clip, **values: Any) -> Clip:
    """Return a clip whose tensors of these names are changed by functions."""
    new = {name: value(getattr(clip, name).clone()) for name, value in values.items()}
    return attrs.evolve(clip, **new)


def flow_loss(clip: Clip) -> float:
    state, recipe = setup(ALONE)
    return train_clip(state, clip, recipe)[1].losses.generator["flow"]


def test_nothing_but_the_flow_network_learns_and_then_all_do() -> None:
    state, recipe = setup(ALONE)
    before, discriminator = weights(state.generator), weights(state.discriminator)
    state, report = train_clip(state, street_clip(4), recipe)
    assert set(named_losses(report.losses)) == {"g_flow", "g_flow_warp", "g_flow_mask"}
    moved = {name for name, tensor in weights(state.generator).items() if not torch.equal(before[name], tensor)}
    assert moved
    assert all(name.startswith("flow.") for name in moved)
    assert all(torch.equal(discriminator[name], tensor) for name, tensor in weights(state.discriminator).items())
    assert report.frames == 4
    assert (state.step, state.updates) == (1, 2)  # the first two of four frames have no past that is long enough
    state, report = train_clip(state, street_clip(4), recipe)
    assert {"g_gan", "d_gan"} <= set(named_losses(report.losses))
    assert (state.step, state.updates) == (2, 6)


def test_the_past_is_the_real_one() -> None:
    """The loss is that of the flow network on real frames, by a pass that is written out here."""
    state, _ = setup(ALONE)
    clip = street_clip(3)
    labels = [encode_label(clip, t, setup(ALONE)[1].labels) for t in range(3)]
    history = nets.History()
    for t in range(2):
        history = nets.remember(history, labels[t], clip.frames[:, t], 2)
    warp = state.generator.warp_past(labels[2], history)
    assert clip.flow is not None
    assert clip.flow_confidence is not None
    apart = (warp.flow - clip.flow[:, 2]).abs() * clip.flow_confidence[:, 2]
    assert flow_loss(clip) == pytest.approx(float(apart.detach().mean()), rel=1e-5)


def test_frames_without_enough_past_teach_nothing() -> None:
    """Wrong flow to the first two frames changes no loss, that to the third does."""

    def spoiled(t: int) -> Clip:
        def spoil(flow: torch.Tensor) -> torch.Tensor:
            flow[:, t] += 100
            return flow

        return changed(street_clip(3), flow=spoil)

    right = flow_loss(street_clip(3))
    assert [flow_loss(spoiled(t)) == right for t in range(3)] == [True, True, False]


def test_a_step_that_diverges_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    original = nets.warp_losses

    def spoiled(*arguments: Any) -> nets.Losses:
        return {name: attrs.evolve(loss, value=loss.value * math.inf) for name, loss in original(*arguments).items()}

    monkeypatch.setattr(nets, "warp_losses", spoiled)
    state, recipe = setup(ALONE)
    with pytest.raises(NonFiniteError, match="loss flow"):
        train_clip(state, street_clip(4), recipe)


def test_a_clip_that_is_too_short_is_refused() -> None:
    state, recipe = setup(ALONE)
    with pytest.raises(VsTrainingError, match="2 frames are too few to train the flow network alone"):
        train_clip(state, street_clip(2), recipe)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        (
            {"curriculum": {"flow_steps": 5, "flow_length": 2, "max_length": 4}},
            "curriculum.flow_length: expected at least generator.frames, 3, got 2; the flow network looks at 2 frames",
        ),
        (
            {"curriculum": {"flow_steps": 5, "flow_length": 9, "max_length": 4}},
            "curriculum.flow_length: expected at most data.sequence_length, 6, got 9",
        ),
        (
            {
                "curriculum": {"flow_steps": 5, "max_length": 4},
                "generator": {**DOCUMENT["generator"], "flow": {"kind": "given"}},
            },
            "curriculum.flow_steps: expected 0, got 5; flow is given: there is no flow network that could be trained",
        ),
    ],
)
def test_what_cannot_be_trained_alone_is_refused(changes: dict[str, Any], line: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(TrainConfig, {**DOCUMENT, **changes})
    assert str(caught.value).splitlines()[0].startswith(line)


def test_sequences_that_are_too_short_for_these_steps_are_refused_before_a_run() -> None:
    curriculum = CurriculumConfig(flow_steps=1, flow_length=4, initial_length=1, max_length=1)
    source: Any = SimpleNamespace(sequences=(SequenceInfo(name="a", frames=3),))
    with pytest.raises(
        VsTrainingError, match=r"^curriculum\.flow_length: clips of 4 frames asked for, but the longest"
    ):
        check_sequences(attrs.evolve(CONFIG, curriculum=curriculum), source)
    check_sequences(attrs.evolve(CONFIG, curriculum=attrs.evolve(curriculum, flow_steps=0)), source)


def test_clips_of_these_steps_have_a_length_of_their_own() -> None:
    curriculum = CurriculumConfig(
        flow_steps=3, flow_length=5, single_frame_steps=2, initial_length=4, double_every=2, max_length=8
    )
    assert [clip_length(curriculum, step) for step in range(9)] == [5, 5, 5, 1, 1, 4, 4, 8, 8]
    assert [(each.start, each.stop, each.length, each.flow_alone) for each in stages(curriculum, 9)] == [
        (0, 3, 5, True), (3, 5, 1, False), (5, 7, 4, False), (7, 9, 8, False)
    ]  # fmt: skip
    assert [images_between(curriculum, 0, step) for step in (2, 3, 4, 9)] == [10, 15, 16, 41]
