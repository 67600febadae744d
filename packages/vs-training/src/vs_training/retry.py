"""Updates of a frame until one counts, and nothing left of those that do not."""

from collections.abc import Callable

import attrs
import torch
import vs_optim as optim

from vs_training.divergence import explain
from vs_training.inputs import FrameInputs
from vs_training.state import FrameUpdate, Recipe, TrainState

MAX_LATE_PASSES = 5
"""How often a forward pass that has left the range of float16 is made again, see `settle`."""

Update = Callable[[TrainState, FrameInputs, Recipe, int], FrameUpdate]
"""`update_frame` or `update_flow`; the number is how often the update has been computed again already."""


@attrs.frozen(kw_only=True, eq=False)
class _Before:
    """All that an update may change before it is known to count; empty where nothing could be cured by going back.

    Attributes:
        vectors: of the power iterations of each network.
        discriminator: D's optimizer with its parameters, and those that other processes step, where D may have to give
            its step back.
    """

    vectors: optim.Pair[optim.KeptTensors]
    discriminator: tuple[optim.KeptOptimizer, optim.KeptTensors] | None = None


def settle(
    update: Update, state: TrainState, inputs: FrameInputs, recipe: Recipe, *, both: bool = True
) -> tuple[TrainState, FrameUpdate]:
    """Update until the policy (`vs_optim.decide`) says that it counts, and return the update that does.

    A network whose step does not count is afterwards bit for bit what it was: parameters, optimizer state and the
    vectors of its power iterations. A replay computes everything again from there, with smaller scales; the networks
    draw no random numbers, so that nothing else has to be put back.

    In float16 a forward pass can overflow though no weight is large. The first updates change small weights more than
    any later one does, and one power iteration does not find the new largest singular values: spectral norm divides by
    too little, in every layer, and what the layers have too much multiplies. float32 and bfloat16 hold that for the
    one frame that it lasts. Here the frame is computed again, by vectors that are one iteration further, which stay so.

    Args:
        update: what to do, in place.
        state: before the frame.
        inputs: the frame.
        recipe: with the policy.
        both: whether the update touches the discriminator at all.

    Raises:
        NonFiniteError: training has diverged.
    """
    before = _keep(state, recipe, both=both)
    replays = late_passes = 0
    while True:
        done = update(state, inputs, recipe, replays)
        if late_passes < MAX_LATE_PASSES and _left_range(done, recipe):
            before, late_passes = _keep(state, recipe, both=both), late_passes + 1
            state = attrs.evolve(state, scaling=optim.count_replay(state.scaling))
            continue
        if done.decision.divergence is not None:
            _rewind(before)
            raise explain(done.decision.divergence, state, done, inputs, recipe)
        _undo(before, done.decision.steps)
        state = attrs.evolve(state, scaling=done.decision.state)
        if done.decision.kind != "replay":
            return attrs.evolve(state, updates=state.updates + 1), done
        replays += 1


def _left_range(done: FrameUpdate, recipe: Recipe) -> bool:
    """Tell whether losses are not finite in float16, and nobody has stepped, so that the update can be made again."""
    first = done.gradients.generator if done.gradients.discriminator is None else done.gradients.discriminator
    return recipe.precision.dtype is torch.float16 and first is not None and first.finding == "not_finite"


def _keep(state: TrainState, recipe: Recipe, *, both: bool) -> _Before:
    """Copy what may have to be put back. Without loss scaling no smaller scale can make a second attempt better.

    D's parameters and optimizer state are needed only where D may have to give a step back.
    """
    scaled = state.scaling.enabled
    vectors = optim.Pair(
        generator=optim.keep_tensors(state.generator.buffers() if scaled else ()),
        discriminator=optim.keep_tensors(state.discriminator.buffers() if scaled and both else ()),
    )
    if not (scaled and both and recipe.scaler.policy == "paired"):
        return _Before(vectors=vectors)
    shards = state.shards.discriminator
    others = () if shards is None else shards.of_others()
    return _Before(
        vectors=vectors,
        discriminator=(optim.keep_optimizer(state.optimizers.discriminator), optim.keep_tensors(others)),
    )


def _rewind(before: _Before) -> None:
    """Put back the vectors of power iterations: what the frame is computed from once more is what it was made from."""
    before.vectors.map(optim.put_back)


def _undo(before: _Before, steps: optim.Pair[bool]) -> None:
    """Put back everything of a network whose step does not count."""
    for network, counts in steps.items():
        if not counts:
            optim.put_back(before.vectors.of(network))
    if before.discriminator is not None and not steps.discriminator:
        for kept in before.discriminator:
            optim.put_back(kept)
