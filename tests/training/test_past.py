"""What a generator is shown of its past in training: its own frames, or worse ones that harden it."""

from typing import Any

import attrs
import pytest
import torch
from test_step import CONFIG, DOCUMENT, setup, street_clip, weights
from vs_config import ConfigError, load_config
from vs_runtime.ranks import ONE
from vs_training.config import TrainConfig
from vs_training.inputs import FrameInputs, Past, frame_inputs
from vs_training.past import shown_past
from vs_training.quality.scoring import LEVELS
from vs_training.state import PastRecipe, Recipe, TrainState
from vs_training.step import train_clip


def first_frame(recipe: Recipe) -> FrameInputs:
    return frame_inputs(street_clip(), 0, recipe.labels, references=None, past=Past())


def hardened(**past: Any) -> tuple[TrainState, Recipe]:
    state, recipe = setup()
    return state, attrs.evolve(recipe, past=PastRecipe(**past))


def test_by_default_the_past_is_what_was_generated() -> None:
    assert load_config(TrainConfig, {}).curriculum.past_noise == 0.0
    state, recipe = setup()
    fake = torch.zeros(1, 3, 32, 64)
    assert shown_past(state, first_frame(recipe), fake, recipe) is fake


def test_noise_has_its_deviation_and_is_drawn_anew_for_each_frame_and_step() -> None:
    state, recipe = hardened(noise=12.75, seed=3)
    inputs, fake = first_frame(recipe), torch.zeros(1, 3, 32, 64)
    shown = shown_past(state, inputs, fake, recipe)
    assert float(LEVELS * shown.std()) == pytest.approx(12.75, rel=0.05)
    assert float(LEVELS * shown.mean()) == pytest.approx(0.0, abs=1.0)
    assert torch.equal(shown, shown_past(state, inputs, fake, recipe))
    for other in (
        shown_past(attrs.evolve(state, step=1), inputs, fake, recipe),
        shown_past(state, attrs.evolve(inputs, frame=1), fake, recipe),
        shown_past(state, inputs, fake, attrs.evolve(recipe, past=attrs.evolve(recipe.past, seed=4))),
    ):
        assert float((other - shown).std()) == pytest.approx(0.1 * 2**0.5, rel=0.05)
    assert shown_past(state, inputs, fake + 1, recipe).max() == 1.0


def test_noise_of_a_clip_does_not_depend_on_how_many_processes_share_the_batch() -> None:
    state, recipe = hardened(noise=10.0)
    inputs, fakes = first_frame(recipe), torch.zeros(2, 3, 32, 64)
    whole = shown_past(state, inputs, fakes, recipe)
    second = attrs.evolve(recipe, ranks=attrs.evolve(ONE, rank=1, count=2))
    assert torch.equal(whole[1:], shown_past(state, inputs, fakes[1:], second))


def test_the_average_makes_the_past_if_it_is_asked_to() -> None:
    state, recipe = hardened(average=True)
    with torch.no_grad():
        for parameter in state.generator_ema.parameters():
            parameter.add_(0.05)
    inputs = first_frame(recipe)
    shown = shown_past(state, inputs, torch.zeros(1, 3, 32, 64), recipe)
    with torch.no_grad():
        expected = state.generator_ema.bind(None)(inputs.label, inputs.past.history).frame
    assert torch.equal(shown, expected)
    assert not shown.requires_grad


@pytest.mark.parametrize("past", [{"past_noise": 20.0}, {"past_frames": "average"}])
def test_a_step_learns_otherwise_by_it_and_repeats(past: dict[str, Any]) -> None:
    config = load_config(TrainConfig, {**DOCUMENT, "curriculum": {"max_length": 4, **past}})
    clip, found = street_clip(2), []
    for each in (config, config, CONFIG):
        state, recipe = setup(each)
        found.append(weights(train_clip(state, clip, recipe)[0].generator))
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])
    assert any(not torch.equal(found[0][name], found[2][name]) for name in found[0])


def test_processes_that_have_a_share_of_the_average_each_cannot_generate_by_it() -> None:
    document = {"curriculum": {"past_frames": "average"}, "distributed": {"shard_optimizer": True}}
    with pytest.raises(ConfigError, match=r"curriculum.past_frames: expected 'generator', got 'average'"):
        load_config(TrainConfig, document)
