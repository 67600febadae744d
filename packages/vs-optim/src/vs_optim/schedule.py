"""Learning-rate schedules as pure functions of the step."""

from __future__ import annotations

import bisect
from typing import Any, ClassVar

import attrs
import torch

from vs_optim._checks import integer, number, whole_numbers
from vs_optim.errors import ConfigError

__all__ = ["ConstantSchedule", "LinearSchedule", "Schedule", "StepSchedule", "lr_factor", "set_lr"]


def _warmup_steps() -> Any:
    return attrs.field(
        default=0,
        validator=integer(0),
        metadata={"help": "steps over which the rate rises linearly, reaching its full value at the last of them"},
    )


@attrs.frozen(kw_only=True)
class ConstantSchedule:
    """The same learning rate throughout."""

    kind: ClassVar[str] = "constant"
    warmup_steps: int = _warmup_steps()


@attrs.frozen(kw_only=True)
class StepSchedule:
    """The learning rate is multiplied by gamma every so many steps, or at given steps (one of the two)."""

    kind: ClassVar[str] = "step"
    gamma: float = attrs.field(
        default=0.1,
        validator=number("a number in (0, 1]", lambda x: 0 < x <= 1),
        metadata={"help": "factor of each reduction"},
    )
    every: int = attrs.field(
        default=0, validator=integer(0), metadata={"help": "steps from one reduction to the next; 0: at milestones"}
    )
    milestones: tuple[int, ...] = attrs.field(
        default=(), validator=whole_numbers, metadata={"help": "steps at which to reduce, in rising order"}
    )
    warmup_steps: int = _warmup_steps()

    def __attrs_post_init__(self) -> None:
        if (self.every > 0) == bool(self.milestones):
            raise ConfigError("every", self.every, "either every > 0 or milestones, and not both")


@attrs.frozen(kw_only=True)
class LinearSchedule:
    """The full learning rate until decay_start, then along a straight line to final_factor at decay_end."""

    kind: ClassVar[str] = "linear"
    decay_start: int = attrs.field(
        default=0, validator=integer(0), metadata={"help": "step at which the rate begins to fall"}
    )
    decay_end: int = attrs.field(
        default=100_000, validator=integer(1), metadata={"help": "step from which on the rate is at final_factor"}
    )
    final_factor: float = attrs.field(
        default=0.0,
        validator=number("a number in [0, 1]", lambda x: 0 <= x <= 1),
        metadata={"help": "what is left of the rate at the end, as a share"},
    )
    warmup_steps: int = _warmup_steps()

    def __attrs_post_init__(self) -> None:
        if self.decay_end <= self.decay_start:
            raise ConfigError("decay_end", self.decay_end, f"a step after decay_start {self.decay_start}")


Schedule = ConstantSchedule | StepSchedule | LinearSchedule


def lr_factor(schedule: Schedule, step: int) -> float:
    """What to multiply the configured learning rate by at `step` (steps done before this one, from 0); in [0, 1].

    Warm-up multiplies whatever the schedule says by (step + 1) / warmup_steps, up to 1.
    """
    if step < 0:
        raise ConfigError("step", step, "a whole number >= 0")
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


def set_lr(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Set the learning rate of every parameter group."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], torch.Tensor):
            group["lr"].fill_(lr)
        else:
            group["lr"] = lr
