"""The precision policy at work: attempts at a frame until one counts, and nothing left of those that do not."""

from collections.abc import Callable

import attrs
import torch
import vs_optim as optim

from vs_training.divergence import explain
from vs_training.state import Attempt, FrameInputs, FrameReport, Recipe, TrainState

MOST_LATE_PASSES = 5
"""How often a forward pass that has left the range of float16 is made again, see `settle`."""


@attrs.frozen(kw_only=True, eq=False)
class _Before:
    """What an attempt may change before it is known to count; empty where nothing could be cured by going back."""

    discriminator: tuple[optim.KeptTensors | optim.KeptOptimizer, ...] = ()
    generator: tuple[optim.KeptTensors, ...] = ()


def settle(
    state: TrainState,
    inputs: FrameInputs,
    recipe: Recipe,
    attempt: Callable[[TrainState], Attempt],
    *,
    both: bool = True,
) -> tuple[TrainState, FrameReport, Attempt]:
    """Make attempts until the policy (`vs_optim.decide`) says that one counts; G takes its step in here.

    A network whose step does not count is afterwards bit for bit what it was: parameters, optimizer state and the
    vectors of its power iterations. A replay computes everything again from there, with smaller scales; the networks
    draw no random numbers, so that nothing else has to be put back.

    In float16 a forward pass can overflow though no weight is large. The first updates change small weights more than
    any later one does, and one power iteration does not find the new largest singular values: spectral norm divides by
    too little, in every layer, and what the layers have too much multiplies. float32 and bfloat16 hold that for the
    one frame that it lasts. Here the frame is computed again, by vectors that are one iteration further, which stay so.

    Args:
        state: before the frame.
        inputs: the frame, for the message of a divergence.
        recipe: with the policy.
        attempt: computes the gradients of both networks with the scales of the state that it is given, and steps D if
            its gradients are finite. Its gradients of G are G's gradients when it returns.
        both: whether an attempt touches the discriminator at all.

    Raises:
        NonFiniteError: training has diverged.
    """
    before = _keep(state, recipe, both=both)
    replays = late_passes = 0
    while True:
        tried = attempt(state)
        if late_passes < MOST_LATE_PASSES and _left_range(tried, recipe):
            before, late_passes = _keep(state, recipe, both=both), late_passes + 1
            state = attrs.evolve(state, scaling=optim.count_replay(state.scaling))
            continue
        decision = optim.decide(
            recipe.scaler,
            state.scaling,
            discriminator=_finding(tried.discriminator),
            generator=_finding(tried.generator),
            replays=replays,
        )
        if decision.divergence is not None:
            _rewind(before)
            raise explain(decision.divergence, state, tried, inputs, recipe)
        if decision.generator:
            state.generator_optimizer.step()
        _undo(before, decision)
        state = attrs.evolve(state, scaling=decision.state)
        if decision.kind != "replay":
            break
        replays += 1
    report = FrameReport(
        losses=tried.losses, discriminator=tried.discriminator, generator=tried.generator, decision=decision
    )
    return state, report, tried


def _finding(report: optim.GradientReport | None) -> optim.Finding | None:
    """What nobody has waited for counts as finite: it is looked at when the clip ends."""
    return None if report is None else report.finding or "finite"


def _left_range(tried: Attempt, recipe: Recipe) -> bool:
    """Whether losses are not finite in float16, and nobody has stepped by an attempt that can be made again."""
    first = tried.generator if tried.discriminator is None else tried.discriminator
    return recipe.precision.dtype is torch.float16 and _finding(first) == "not_finite"


def _keep(state: TrainState, recipe: Recipe, *, both: bool) -> _Before:
    """Copies of what may have to be put back. Without loss scaling no smaller scale can make a second attempt better.

    D's parameters and optimizer state are needed only where D may have to give a step back.
    """
    if not state.scaling.scaling:
        return _Before()
    discriminator: list[optim.KeptTensors | optim.KeptOptimizer] = []
    if both:
        discriminator.append(optim.keep_tensors(state.discriminator.buffers()))
    if both and recipe.scaler.policy == "paired":
        discriminator.append(optim.keep_optimizer(state.discriminator_optimizer))
    generator = (optim.keep_tensors(state.generator.buffers()),)
    return _Before(discriminator=tuple(discriminator), generator=generator)


def _rewind(before: _Before) -> None:
    """Put back the vectors of power iterations: what the frame is computed from once more is what it was made from."""
    for kept in (*before.discriminator, *before.generator):
        if isinstance(kept, optim.KeptTensors):
            optim.put_back(kept)


def _undo(before: _Before, decision: optim.Decision) -> None:
    for kept in before.discriminator if not decision.discriminator else ():
        optim.put_back(kept)
    for kept in before.generator if not decision.generator else ():
        optim.put_back(kept)
