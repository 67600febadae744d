"""Schedules: warm-up, decay, bounds, and setting the rate."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from vs_config import ConfigError
from vs_optim import ConstantSchedule, LinearSchedule, Schedule, StepSchedule, lr_factor, set_lr

WARMUP = st.integers(0, 50)
CONSTANT = st.builds(ConstantSchedule, warmup_steps=WARMUP)
STEP = st.builds(StepSchedule, every=st.integers(1, 100), gamma=st.floats(0.01, 1.0), warmup_steps=WARMUP)
MILESTONES = st.builds(
    StepSchedule,
    milestones=st.lists(st.integers(1, 300), min_size=1, max_size=4, unique=True).map(lambda m: tuple(sorted(m))),
    gamma=st.floats(0.01, 1.0),
    warmup_steps=WARMUP,
)
LINEAR = st.builds(
    lambda start, length, final, warmup: LinearSchedule(
        decay_start=start, decay_end=start + length, final_factor=final, warmup_steps=warmup
    ),
    st.integers(0, 100),
    st.integers(1, 200),
    st.floats(0.0, 1.0),
    WARMUP,
)
ANY = st.one_of(CONSTANT, STEP, MILESTONES, LINEAR)


@given(ANY, st.integers(0, 1000))
def test_the_factor_is_between_0_and_1(schedule: Schedule, step: int) -> None:
    assert 0.0 <= lr_factor(schedule, step) <= 1.0


@given(CONSTANT, st.integers(0, 100))
def test_warm_up_rises_linearly_to_the_full_rate(schedule: ConstantSchedule, step: int) -> None:
    if step + 1 >= schedule.warmup_steps:
        assert lr_factor(schedule, step) == 1.0
    else:
        assert lr_factor(schedule, step) > 0.0
        rise = lr_factor(schedule, step + 1) - lr_factor(schedule, step)
        assert math.isclose(rise, 1 / schedule.warmup_steps, rel_tol=1e-9, abs_tol=1e-12)


@given(ANY, st.integers(0, 1000))
def test_after_warm_up_the_factor_never_rises(schedule: Schedule, step: int) -> None:
    step += schedule.warmup_steps
    assert lr_factor(schedule, step + 1) <= lr_factor(schedule, step)


@given(LINEAR, st.integers(0, 500))
def test_the_line_has_no_jumps_and_ends_where_it_should(schedule: LinearSchedule, step: int) -> None:
    steepest = (1 - schedule.final_factor) / (schedule.decay_end - schedule.decay_start)
    rise = 1 / schedule.warmup_steps if schedule.warmup_steps else 0.0
    assert abs(lr_factor(schedule, step + 1) - lr_factor(schedule, step)) <= max(steepest, rise) + 1e-12
    end = max(schedule.decay_end, schedule.warmup_steps)
    assert lr_factor(schedule, end) == schedule.final_factor
    if not schedule.warmup_steps:
        assert lr_factor(schedule, schedule.decay_start) == 1.0


def test_the_published_cityscapes_schedule() -> None:
    """A tenth of the rate from epoch 60 on; a thousand steps make an epoch here."""
    by_milestone = StepSchedule(milestones=(60_000,))
    by_period = StepSchedule(every=60_000)
    for schedule in (by_milestone, by_period):
        assert [lr_factor(schedule, step) for step in (0, 59_999, 60_000, 80_000)] == [1.0, 1.0, 0.1, 0.1]
    assert lr_factor(StepSchedule(milestones=(10, 20), gamma=0.5), 25) == 0.25
    assert lr_factor(StepSchedule(every=10, gamma=0.5), 25) == 0.25


def test_each_kind_has_its_tag() -> None:
    assert (ConstantSchedule.kind, StepSchedule.kind, LinearSchedule.kind) == ("constant", "step", "linear")


@pytest.mark.parametrize(
    ("build", "field"),
    [
        (lambda: StepSchedule(), "every"),
        (lambda: StepSchedule(every=3, milestones=(4,)), "every"),
        (lambda: StepSchedule(milestones=(4, 4)), "milestones"),
        (lambda: StepSchedule(milestones=(0,)), "milestones[0]"),
        (lambda: StepSchedule(milestones=[4]), "milestones"),  # type: ignore[arg-type]
        (lambda: StepSchedule(every=3, gamma=0.0), "gamma"),
        (lambda: LinearSchedule(decay_start=5, decay_end=5), "decay_end"),
        (lambda: LinearSchedule(final_factor=1.5), "final_factor"),
        (lambda: ConstantSchedule(warmup_steps=-1), "warmup_steps"),
        (lambda: ConstantSchedule(warmup_steps=True), "warmup_steps"),
        (lambda: lr_factor(ConstantSchedule(), -1), "step"),
    ],
)
def test_what_is_not_a_schedule_is_refused_by_field(build: object, field: str) -> None:
    with pytest.raises(ConfigError) as caught:
        build()  # type: ignore[operator]
    assert caught.value.problems[0].path == field


@pytest.mark.parametrize("lr", [0.1, torch.tensor(0.1)])
def test_the_rate_reaches_every_group(lr: float | torch.Tensor) -> None:
    first, second = nn.Parameter(torch.ones(1)), nn.Parameter(torch.ones(1))
    optimizer = torch.optim.SGD([{"params": [first]}, {"params": [second], "lr": 7.0}], lr=lr)
    set_lr(optimizer, 0.25)
    assert [float(group["lr"]) for group in optimizer.param_groups] == [0.25, 0.25]
    if isinstance(lr, torch.Tensor):
        assert optimizer.param_groups[0]["lr"] is lr  # a captured graph holds on to the tensor
