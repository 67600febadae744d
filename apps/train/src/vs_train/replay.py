"""The precision policy at work: attempts at a frame until one counts, and nothing left of those that do not."""

import itertools
from collections.abc import Callable

import attrs
import vs_optim as optim

from vs_train.divergence import explain
from vs_train.state import Attempt, FrameInputs, FrameReport, Recipe, TrainState


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
    for replays in itertools.count():
        tried = attempt(state)
        verdict = optim.decide(
            recipe.scaler,
            state.scaling,
            discriminator=_finding(tried.discriminator),
            generator=_finding(tried.generator),
            replays=replays,
        )
        if verdict.divergence is not None:
            raise explain(verdict.divergence, state, tried, inputs, recipe)
        if verdict.generator:
            state.generator_optimizer.step()
        _undo(before, verdict)
        state = attrs.evolve(state, scaling=verdict.state)
        if verdict.kind != "replay":
            break
    report = FrameReport(
        losses=tried.losses, discriminator=tried.discriminator, generator=tried.generator, verdict=verdict
    )
    return state, report, tried


def _finding(report: optim.GradientReport | None) -> optim.Finding | None:
    """What nobody has waited for counts as finite: it is looked at when the clip ends."""
    return None if report is None else report.finding or "finite"


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


def _undo(before: _Before, verdict: optim.Verdict) -> None:
    for kept in before.discriminator if not verdict.discriminator else ():
        optim.put_back(kept)
    for kept in before.generator if not verdict.generator else ():
        optim.put_back(kept)
