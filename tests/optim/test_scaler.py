"""Loss scaling of one network: what is stepped, what is skipped, and how the scale moves."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from vs_config import ConfigError
from vs_optim import (
    Decision,
    Pair,
    Precision,
    ScalerConfig,
    ScalingState,
    decide,
    initial_scaling,
    scale_loss,
    take_gradients,
)
from vs_optim.scaler import ScaleState, grown, left_out, lowered

HALF = Precision(level="O1", dtype=torch.float16, scaling=True)
PLAIN = Precision(level="O0", dtype=None, scaling=False)


def one_parameter(value: float = 1.0) -> tuple[nn.Parameter, torch.optim.SGD]:
    parameter = nn.Parameter(torch.full((3,), value))
    return parameter, torch.optim.SGD([parameter], lr=0.5)


def backward(state: ScalingState, parameter: nn.Parameter, factor: float) -> None:
    parameter.grad = None
    scale_loss((parameter * factor).sum(), state.scales.generator.scale).backward()


def step(config: ScalerConfig, state: ScalingState, optimizer: torch.optim.Optimizer) -> Decision:
    """A step of a network that trains alone: nobody updates the other one."""
    parameters: list[Tensor] = [p for group in optimizer.param_groups for p in group["params"]]
    found = take_gradients(parameters, scale=state.scales.generator.scale)
    decision = decide(config, state, Pair(generator=found.finding, discriminator=None))
    if decision.steps.generator:
        optimizer.step()
    return decision


def test_a_scaled_step_is_the_plain_step() -> None:
    config = ScalerConfig(init_scale=1024.0)
    state = initial_scaling(config, HALF)
    parameter, optimizer = one_parameter()
    backward(state, parameter, 0.25)
    assert parameter.grad is not None
    assert parameter.grad.tolist() == [256.0] * 3
    decision = step(config, state, optimizer)
    assert parameter.tolist() == [0.875] * 3
    assert parameter.grad.tolist() == [0.25] * 3
    assert decision.state.scales.generator == ScaleState(scale=1024.0, good_steps=1)


@pytest.mark.parametrize("bad", [math.inf, -math.inf, math.nan])
def test_an_overflow_skips_the_step_halves_the_scale_and_counts(bad: float) -> None:
    config = ScalerConfig(init_scale=1024.0)
    state = initial_scaling(config, HALF)
    parameter, optimizer = one_parameter()
    backward(state, parameter, 1.0)
    assert parameter.grad is not None
    parameter.grad[1] = bad
    state = step(config, state, optimizer).state
    assert parameter.tolist() == [1.0] * 3
    assert state.scales.generator == ScaleState(scale=512.0, skips_in_row=1, skipped_total=1)
    backward(state, parameter, 1.0)
    state = step(config, state, optimizer).state
    assert state.scales.generator == ScaleState(scale=512.0, good_steps=1, skipped_total=1)
    assert parameter.tolist() == [0.5] * 3


def test_without_scaling_it_only_steps() -> None:
    state = initial_scaling(ScalerConfig(), PLAIN)
    parameter, optimizer = one_parameter()
    loss = parameter.sum()
    assert scale_loss(loss, state.scales.generator.scale) is loss
    loss.backward()  # type: ignore[no-untyped-call]
    assert step(ScalerConfig(), state, optimizer).state == state
    assert parameter.tolist() == [0.5] * 3


def test_float16_overflows_and_recovers_by_itself() -> None:
    """A real float16 backward whose gradients (about 3 * scale) fit only below a scale of 2**15."""
    config = ScalerConfig(init_scale=2.0**18)
    state = initial_scaling(config, HALF)
    parameter = nn.Parameter(torch.ones(1, 1))
    optimizer = torch.optim.SGD([parameter], lr=0.0)
    stepped = []
    for _ in range(6):
        optimizer.zero_grad()
        with torch.autocast("cpu", dtype=torch.float16):
            out = torch.full((1, 1), 3.0) @ parameter
        scale_loss(out.float().sum(), state.scales.generator.scale).backward()
        decision = step(config, state, optimizer)
        state = decision.state
        stepped.append(decision.steps.generator)
    assert stepped == [False, False, False, False, True, True]


@settings(max_examples=30)
@given(st.lists(st.booleans(), min_size=1, max_size=40), st.integers(1, 4))
def test_the_scale_moves_as_that_of_pytorch_does(overflows: list[bool], interval: int) -> None:
    config = ScalerConfig(
        init_scale=256.0, growth_interval=interval, min_scale=1e-30, max_scale=1e30, max_skips=len(overflows) + 1
    )
    state = initial_scaling(config, HALF)
    theirs = torch.amp.GradScaler("cpu", init_scale=256.0, growth_interval=interval)
    (ours, optimizer), (other, other_optimizer) = one_parameter(), one_parameter()
    for overflow in overflows:
        backward(state, ours, 0.125)
        other.grad = None
        theirs.scale((other * 0.125).sum()).backward()  # type: ignore[no-untyped-call]
        for parameter in (ours, other):
            assert parameter.grad is not None
            if overflow:
                parameter.grad[0] = math.inf
        state = step(config, state, optimizer).state
        theirs.step(other_optimizer)
        theirs.update()
        assert state.scales.generator.scale == theirs.get_scale()
        assert torch.equal(ours, other)
    assert state.scales.generator.skipped_total == sum(overflows)


@given(st.lists(st.booleans(), max_size=200), st.integers(1, 5), st.floats(0.1, 0.9), st.floats(1.1, 4.0))
def test_the_scale_keeps_its_bounds(overflows: list[bool], interval: int, backoff: float, growth: float) -> None:
    config = ScalerConfig(
        init_scale=8.0,
        min_scale=1.0,
        max_scale=64.0,
        growth_interval=interval,
        backoff_factor=backoff,
        growth_factor=growth,
    )
    state = ScaleState(scale=config.init_scale)
    for overflow in overflows:
        before, state = state, left_out(lowered(config, state)) if overflow else grown(config, state)
        assert 1.0 <= state.scale <= 64.0
        assert (state.scale <= before.scale) if overflow else (state.scale >= before.scale)
        assert state.good_steps < interval
    assert state.skipped_total == sum(overflows)


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"init_scale": 0.0}, "init_scale"),
        ({"init_scale": math.nan}, "init_scale"),
        ({"growth_factor": 1.0}, "growth_factor"),
        ({"backoff_factor": 1.0}, "backoff_factor"),
        ({"growth_interval": 0}, "growth_interval"),
        ({"min_scale": 2.0**17}, "init_scale"),
        ({"max_scale": "big"}, "max_scale"),
        ({"policy": "both_wait"}, "policy"),
        ({"max_skips": 0}, "max_skips"),
        ({"max_replays": -1}, "max_replays"),
    ],
)
def test_config_names_the_field(arguments: dict[str, object], field: str) -> None:
    with pytest.raises(ConfigError) as caught:
        ScalerConfig(**arguments)  # type: ignore[arg-type]
    assert caught.value.problems[0].path == field


@pytest.mark.gpu
def test_it_works_on_cuda() -> None:
    config = ScalerConfig(init_scale=4.0)
    state = initial_scaling(config, HALF)
    parameter = nn.Parameter(torch.ones(2, device="cuda"))
    optimizer = torch.optim.Adam([parameter], fused=True)
    stepped = []
    for gradient in ([1.0, 1.0], [1.0, math.inf]):
        parameter.grad = torch.tensor(gradient, device="cuda")
        decision = step(config, state, optimizer)
        state = decision.state
        stepped.append(decision.steps.generator)
    assert stepped == [True, False]
