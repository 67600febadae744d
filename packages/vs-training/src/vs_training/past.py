"""The past that a generator is shown in training: its own frames as they are, or what makes it bear its own faults.

In use a generator goes on from its own frames for thousands of frames, in training for a few: small faults of its past
that it has never seen grow. Noise on past frames (Ho et al. 2022, "Cascaded Diffusion Models", call it conditioning
augmentation) makes it rely less on their details; frames of its average are what it will go on from in use.
"""

import torch
from torch import Tensor
from vs_runtime import derive_seed

from vs_training.inputs import FrameInputs, history_of
from vs_training.quality.scoring import LEVELS
from vs_training.state import Recipe, TrainState


def shown_past(state: TrainState, inputs: FrameInputs, fake: Tensor, recipe: Recipe) -> Tensor:
    """Return what a frame that was just trained on is to be for those after it that look at it: (N, 3, H, W), detached.

    The discriminators go on to see `fake` itself. Noise is drawn for each clip from the seed of the run, the step, the
    frame and the clip's place in the batch, so that neither a resumed run nor another number of processes changes it.

    Args:
        state: after the update.
        inputs: of the frame.
        fake: what the generator made of them.
        recipe: how to train.
    """
    frame = _of_average(state, inputs, recipe) if recipe.past.average else fake
    if not recipe.past.noise:
        return frame
    return (frame + recipe.past.noise / LEVELS * _noise(frame, state.step, inputs.frame, recipe)).clamp(-1, 1)


def _of_average(state: TrainState, inputs: FrameInputs, recipe: Recipe) -> Tensor:
    with torch.no_grad(), recipe.autocast():
        return state.generator_ema.bind(inputs.references)(inputs.label, history_of(inputs)).frame


def _noise(frame: Tensor, step: int, index: int, recipe: Recipe) -> Tensor:
    """Return normal noise in the shape of a frame, drawn on the CPU, clip by clip."""
    first = recipe.ranks.rank * frame.shape[0]
    drawn = []
    for clip in range(first, first + frame.shape[0]):
        random = torch.Generator().manual_seed(derive_seed(recipe.past.seed, "past", step, index, clip))
        drawn.append(torch.randn(frame.shape[1:], generator=random))
    return torch.stack(drawn).to(frame)
