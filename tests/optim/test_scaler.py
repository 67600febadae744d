"""Loss scaling: what is stepped, what is skipped, and how the scale moves."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from vs_config import ConfigError
from vs_optim import (
    GradientOverflowError,
    LossScaler,
    Precision,
    ScalerConfig,
    StateError,
    build_scaler,
)
from vs_optim.scaler import ScaleState, next_scale

HALF = Precision(level="O1", dtype=torch.float16, scaling=True)
PLAIN = Precision(level="O0", dtype=None, scaling=False)


def one_parameter(value: float = 1.0) -> tuple[nn.Parameter, torch.optim.SGD]:
    parameter = nn.Parameter(torch.full((3,), value))
    return parameter, torch.optim.SGD([parameter], lr=0.5)


def backward(scaler: LossScaler, parameter: nn.Parameter, factor: float) -> None:
    parameter.grad = None
    scaler.scale((parameter * factor).sum()).backward()


def test_a_scaled_step_is_the_plain_step() -> None:
    scaler = build_scaler(ScalerConfig(init_scale=1024.0), HALF, "cpu")
    parameter, optimizer = one_parameter()
    backward(scaler, parameter, 0.25)
    assert parameter.grad is not None
    assert parameter.grad.tolist() == [256.0] * 3
    report = scaler.update(optimizer)
    assert parameter.tolist() == [0.875] * 3
    assert parameter.grad.tolist() == [0.25] * 3
    assert (report.scale, report.skipped, report.skipped_total) == (1024.0, False, 0)


@pytest.mark.parametrize("bad", [math.inf, -math.inf, math.nan])
def test_an_overflow_skips_the_step_halves_the_scale_and_counts(bad: float) -> None:
    scaler = build_scaler(ScalerConfig(init_scale=1024.0), HALF, "cpu")
    parameter, optimizer = one_parameter()
    backward(scaler, parameter, 1.0)
    assert parameter.grad is not None
    parameter.grad[1] = bad
    report = scaler.update(optimizer)
    assert parameter.tolist() == [1.0] * 3
    assert (report.scale, report.skipped, report.skipped_total) == (512.0, True, 1)
    backward(scaler, parameter, 1.0)
    report = scaler.update(optimizer)
    assert (report.skipped, report.skipped_total) == (False, 1)
    assert parameter.tolist() == [0.5] * 3


def test_an_overflow_that_no_smaller_scale_cures_is_an_error_that_names_the_parameters() -> None:
    scaler = build_scaler(ScalerConfig(init_scale=2.0, min_scale=1.0), HALF, "cpu")
    good, bad = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    optimizer = torch.optim.SGD([nn.Parameter(torch.ones(1)), good, bad], lr=0.5)  # the first has no gradient
    for expected in (1.0, None):
        good.grad, bad.grad = torch.ones(2), torch.tensor([1.0, math.nan])
        if expected is not None:
            assert scaler.update(optimizer).scale == expected
    with pytest.raises(GradientOverflowError, match=r"loss scale 1, in parameter 2: ") as caught:
        scaler.update(optimizer)
    assert (caught.value.indices, caught.value.names) == ((2,), ())
    assert good.tolist() == [1.0, 1.0]


def test_the_error_calls_parameters_by_the_names_that_it_was_given() -> None:
    network = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 2))
    names = [name for name, _ in network.named_parameters()]
    scaler = build_scaler(ScalerConfig(init_scale=1.0), HALF, "cpu", names=names)
    optimizer = torch.optim.SGD([{"params": p} for p in network.parameters()], lr=0.5)
    for name, parameter in network.named_parameters():
        parameter.grad = torch.full_like(parameter, math.inf if name == "2.bias" else 1.0)
    with pytest.raises(GradientOverflowError, match=r"in 2\.bias: the losses") as caught:
        scaler.update(optimizer)
    assert (caught.value.indices, caught.value.names) == ((5,), ("2.bias",))
    for parameter in network.parameters():
        parameter.grad = torch.full_like(parameter, math.nan)
    with pytest.raises(GradientOverflowError, match=r"in 0\.weight, .*, 2\.weight and 3 more: the losses") as caught:
        scaler.update(optimizer)
    assert caught.value.names == tuple(names)


def test_names_of_another_network_are_refused() -> None:
    scaler = build_scaler(ScalerConfig(), HALF, "cpu", names=["a", "b"])
    parameter, optimizer = one_parameter()
    backward(scaler, parameter, 1.0)
    with pytest.raises(StateError, match="2 names for 1 parameters"):
        scaler.update(optimizer)
    assert parameter.tolist() == [1.0] * 3


def test_without_scaling_it_only_steps() -> None:
    scaler = build_scaler(ScalerConfig(), PLAIN, "cpu")
    parameter, optimizer = one_parameter()
    loss = parameter.sum()
    assert scaler.scale(loss) is loss
    loss.backward()  # type: ignore[no-untyped-call]
    report = scaler.update(optimizer)
    assert parameter.tolist() == [0.5] * 3
    assert (report.scale, report.skipped, report.skipped_total) == (1.0, False, 0)


def test_empty_and_missing_gradients_are_no_obstacle() -> None:
    scaler = build_scaler(ScalerConfig(), HALF, "cpu")
    empty, without = nn.Parameter(torch.ones(0)), nn.Parameter(torch.ones(1))
    empty.grad = torch.ones(0)
    assert not scaler.update(torch.optim.SGD([empty, without], lr=1.0)).skipped


def test_float16_overflows_and_recovers_by_itself() -> None:
    """A real float16 backward whose gradients (about 3 * scale) fit only below a scale of 2**15."""
    scaler = build_scaler(ScalerConfig(init_scale=2.0**18), HALF, "cpu")
    parameter = nn.Parameter(torch.ones(1, 1))
    optimizer = torch.optim.SGD([parameter], lr=0.0)
    skipped = []
    for _ in range(6):
        optimizer.zero_grad()
        with torch.autocast("cpu", dtype=torch.float16):
            out = torch.full((1, 1), 3.0) @ parameter
        scaler.scale(out.float().sum()).backward()
        skipped.append(scaler.update(optimizer).skipped)
    assert skipped == [True, True, True, True, False, False]


@settings(max_examples=30)
@given(st.lists(st.booleans(), min_size=1, max_size=40), st.integers(1, 4))
def test_the_scale_moves_as_that_of_pytorch_does(overflows: list[bool], interval: int) -> None:
    ours = build_scaler(
        ScalerConfig(init_scale=256.0, growth_interval=interval, min_scale=1e-30, max_scale=1e30), HALF, "cpu"
    )
    theirs = torch.amp.GradScaler("cpu", init_scale=256.0, growth_interval=interval)
    first, second = one_parameter(), one_parameter()
    for overflow in overflows:
        for parameter, optimizer, scaler in ((*first, ours), (*second, theirs)):
            parameter.grad = None
            scaler.scale((parameter * 0.125).sum()).backward()
            assert parameter.grad is not None
            if overflow:
                parameter.grad[0] = math.inf
            if isinstance(scaler, LossScaler):
                scaler.update(optimizer)
            else:
                scaler.step(optimizer)
                scaler.update()
        assert ours.state.scale == theirs.get_scale()
        assert torch.equal(first[0], second[0])
    assert ours.state.skipped_total == sum(overflows)


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
        before, state = state, next_scale(config, state, overflowed=overflow)
        assert 1.0 <= state.scale <= 64.0
        assert (state.scale <= before.scale) if overflow else (state.scale >= before.scale)
        assert state.good_steps < interval
    assert state.skipped_total == sum(overflows)


def test_state_goes_on_where_it_was() -> None:
    config = ScalerConfig(init_scale=64.0, growth_interval=3)
    first = build_scaler(config, HALF, "cpu")
    parameter, optimizer = one_parameter()
    for value in (1.0, math.inf, 1.0):
        parameter.grad = torch.full((3,), value)
        first.update(optimizer)
    second = build_scaler(config, HALF, "cpu")
    second.load_state_dict(first.state_dict())
    assert first.state_dict() == {"scale": 32.0, "good_steps": 1, "skips_in_row": 0, "skipped_total": 1}
    assert second.state == first.state
    without = build_scaler(config, PLAIN, "cpu")
    without.load_state_dict(first.state_dict())
    assert without.state_dict() == {"scale": 1.0, "good_steps": 0, "skips_in_row": 0, "skipped_total": 1}


def test_a_foreign_state_is_refused() -> None:
    with pytest.raises(StateError, match=r"expected the keys .*, got \['scale'\]"):
        build_scaler(ScalerConfig(), HALF, "cpu").load_state_dict({"scale": 1.0})


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
    scaler = build_scaler(ScalerConfig(init_scale=4.0), HALF, "cuda")
    parameter = nn.Parameter(torch.ones(2, device="cuda"))
    optimizer = torch.optim.Adam([parameter], fused=True)
    grads: list[Tensor] = [torch.ones(2, device="cuda"), torch.tensor([1.0, math.inf], device="cuda")]
    reports = []
    for grad in grads:
        parameter.grad = grad
        reports.append(scaler.update(optimizer))
    assert [report.skipped for report in reports] == [False, True]
