"""Learning-rate schedules as pure functions of the step."""

import bisect
from collections.abc import Iterator
from typing import Any, ClassVar, assert_never

import attrs
import torch
from vs_config import Check, Problem, Range, check_fields, numbers, real, refuse, whole

from vs_optim._limits import MAX_STEPS

_STEPS = Range(kind=int, low=1, high=MAX_STEPS)


def _warmup_steps() -> Any:
    help_ = "steps over which the rate rises linearly, reaching its full value at the last of them"
    return whole(0, help_, low=0, high=MAX_STEPS)


@attrs.frozen(kw_only=True)
class ConstantSchedule:
    """The same learning rate throughout."""

    kind: ClassVar[str] = "constant"
    warmup_steps: int = _warmup_steps()


def _check_when(config: "StepSchedule") -> Iterator[Problem]:
    if (config.every > 0) == bool(config.milestones):
        expected = "0 beside milestones" if config.milestones else "a whole number > 0 where there are no milestones"
        yield Problem("every", expected=expected, got=config.every)


@attrs.frozen(kw_only=True)
class StepSchedule:
    """A learning rate that is multiplied by gamma every so many steps, or at given steps (one of the two)."""

    kind: ClassVar[str] = "step"
    gamma: float = real(0.1, "factor of each reduction", low=0, high=1, open_low=True)
    every: int = whole(0, "steps from one reduction to the next; 0: at milestones", low=0, high=MAX_STEPS)
    milestones: tuple[int, ...] = numbers((), "steps at which to reduce", _STEPS, rising=True)
    warmup_steps: int = _warmup_steps()

    CHECKS: ClassVar[tuple[Check, ...]] = (Check(("every", "milestones"), _check_when),)

    def __attrs_post_init__(self) -> None:
        check_fields(self)


def _check_decay(config: "LinearSchedule") -> Iterator[Problem]:
    if config.decay_end <= config.decay_start:
        yield Problem("decay_end", expected=f"a step after decay_start, {config.decay_start}", got=config.decay_end)


@attrs.frozen(kw_only=True)
class LinearSchedule:
    """The full learning rate until decay_start, then along a straight line to final_factor at decay_end."""

    kind: ClassVar[str] = "linear"
    decay_start: int = whole(0, "step at which the rate begins to fall", low=0, high=MAX_STEPS)
    decay_end: int = whole(100_000, "step from which on the rate is at final_factor", low=1, high=MAX_STEPS)
    final_factor: float = real(0.0, "what is left of the rate at the end, as a fraction", low=0, high=1)
    warmup_steps: int = _warmup_steps()

    CHECKS: ClassVar[tuple[Check, ...]] = (Check(("decay_start", "decay_end"), _check_decay),)

    def __attrs_post_init__(self) -> None:
        check_fields(self)


Schedule = ConstantSchedule | StepSchedule | LinearSchedule


def lr_factor(schedule: Schedule, step: int) -> float:
    """Return what to multiply the learning rate by at `step` (steps done before this one, from 0); in [0, 1].

    Warm-up multiplies whatever the schedule says by (step + 1) / warmup_steps, up to 1.
    """
    if step < 0:
        raise refuse("step", "a whole number from 0 on", step)
    warmup = min(1.0, (step + 1) / schedule.warmup_steps) if schedule.warmup_steps else 1.0
    return warmup * _decay(schedule, step)


def _decay(schedule: Schedule, step: int) -> float:
    match schedule:
        case ConstantSchedule():
            return 1.0
        case StepSchedule():
            reductions = step // schedule.every if schedule.every else bisect.bisect_right(schedule.milestones, step)
            return float(schedule.gamma**reductions)
        case LinearSchedule():
            done = (step - schedule.decay_start) / (schedule.decay_end - schedule.decay_start)
            done = min(max(done, 0.0), 1.0)
            return (1.0 - done) + done * schedule.final_factor
        case _:
            assert_never(schedule)


def set_lr(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Set the learning rate of every parameter group."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], torch.Tensor):
            group["lr"].fill_(lr)
        else:
            group["lr"] = lr
