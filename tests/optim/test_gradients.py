"""What is done to gradients between backward and step, and what may not depend on the loss scale."""

import math

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from vs_optim import scale_loss, take_gradients
from vs_optim.gradients import underflow_fraction


def with_gradients(*values: list[float]) -> list[nn.Parameter]:
    parameters = []
    for value in values:
        parameter = nn.Parameter(torch.ones(len(value)))
        parameter.grad = torch.tensor(value)
        parameters.append(parameter)
    return parameters


def small_network(seed: int) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.LeakyReLU(0.2), nn.Conv2d(8, 3, 3, padding=1))


def gradients_at(scale: float, seed: int, dtype: torch.dtype, parts: int = 1) -> list[Tensor]:
    """Unscaled gradients of a small network on a batch of four, in `parts` micro-batches."""
    network = small_network(seed)
    image = torch.rand(4, 3, 8, 8)
    for part in image.chunk(parts):
        with torch.autocast("cpu", dtype=dtype, enabled=dtype is not torch.float32):
            loss = (network(part) - part).float().pow(2).mean() / parts
        scale_loss(loss, scale).backward()
    report = take_gradients(network.parameters(), scale=scale, underflow_of=torch.float16)
    assume(report.finding == "finite")
    return [p.grad for p in network.parameters() if p.grad is not None]


@settings(max_examples=25)
@given(st.integers(-8, 40), st.integers(0, 99))
def test_unscaled_gradients_do_not_depend_on_a_power_of_two_in_float32(exponent: int, seed: int) -> None:
    plain, scaled = gradients_at(1.0, seed, torch.float32), gradients_at(2.0**exponent, seed, torch.float32)
    assert all(torch.equal(a, b) for a, b in zip(plain, scaled, strict=True))


@settings(max_examples=25)
@given(st.integers(0, 6), st.integers(0, 99))
def test_unscaled_gradients_do_not_depend_on_the_scale_in_float16_where_nothing_leaves_its_range(
    exponent: int, seed: int
) -> None:
    base = 2.0**4
    plain, scaled = (half_products(scale, seed) for scale in (base, base * 2.0**exponent))
    assert torch.equal(plain, scaled)


def half_products(scale: float, seed: int) -> Tensor:
    """Gradient of a float16 matrix product whose factors lie in [1/2, 2]: normal numbers at scales from 1 to 1024."""
    generator = torch.Generator().manual_seed(seed)
    weight = nn.Parameter(torch.rand(6, 5, generator=generator) + 0.5)
    x, target = (torch.rand(4, n, generator=generator) + 0.5 for n in (6, 5))
    with torch.autocast("cpu", dtype=torch.float16):
        out = x @ weight
    scale_loss((out.float() * target).sum(), scale).backward()
    report = take_gradients([weight], scale=scale, underflow_of=torch.float16)
    assert report.finding == "finite"
    assert report.underflow is not None
    assert report.underflow.item() == 0
    assert weight.grad is not None
    return weight.grad


@given(st.lists(st.floats(-1e3, 1e3, width=32), min_size=1, max_size=8), st.floats(0.01, 100.0), st.integers(0, 20))
def test_clipping_is_by_the_norm_of_unscaled_gradients(values: list[float], clip_norm: float, exponent: int) -> None:
    scale = 2.0**exponent
    (parameter,) = with_gradients([value * scale for value in values])
    report = take_gradients([parameter], scale=scale, clip_norm=clip_norm)
    norm = math.sqrt(sum(value**2 for value in values))
    assert report.norm.item() == pytest.approx(norm, rel=1e-5, abs=1e-6)
    assert parameter.grad is not None
    clipped = parameter.grad.double().norm().item()
    assert clipped == pytest.approx(min(norm, clip_norm), rel=1e-5, abs=1e-6)
    if norm < 0.999 * clip_norm:  # a short gradient is left alone, bit for bit
        assert torch.equal(parameter.grad, torch.tensor(values))


def test_the_norm_is_that_of_all_gradients_together() -> None:
    parameters = with_gradients([3.0], [0.0, 4.0])
    empty, without = nn.Parameter(torch.ones(0)), nn.Parameter(torch.ones(2))
    empty.grad = torch.ones(0)
    report = take_gradients([*parameters, empty, without], clip_norm=2.5)
    assert report.norm.item() == pytest.approx(5.0)
    assert [p.grad.tolist() for p in parameters if p.grad is not None] == [[1.5], [0.0, 2.0]]
    assert take_gradients([empty, without]).finding == "finite"


@pytest.mark.parametrize("bad", [math.inf, -math.inf, math.nan])
def test_what_is_not_finite_is_told_apart(bad: float) -> None:
    good, loss = torch.tensor(1.0), torch.tensor(bad)
    assert take_gradients(with_gradients([1.0, bad]), losses=[good]).finding == "overflow"
    assert take_gradients(with_gradients([1.0, bad]), losses=[good, loss]).finding == "not_finite"
    assert take_gradients(with_gradients([1.0]), losses=[loss]).finding == "not_finite"
    assert take_gradients([], losses=[loss]).finding == "not_finite"
    parameters = with_gradients([1.0], [bad])
    with torch.no_grad():
        parameters[0][0] = bad
    assert take_gradients(parameters, losses=[good]).finding == "not_finite"
    assert take_gradients(with_gradients([1.0]), losses=[good]).finding == "finite"


def test_a_huge_gradient_whose_square_overflows_is_finite_and_can_be_clipped() -> None:
    parameters = with_gradients([3e30, 4e30])
    report = take_gradients(parameters, clip_norm=1.0)
    assert report.finding == "finite"
    assert report.norm.item() == pytest.approx(5e30, rel=1e-5)
    assert parameters[0].grad is not None
    assert parameters[0].grad.tolist() == pytest.approx([0.6, 0.8])


def test_without_waiting_there_is_a_norm_and_no_finding() -> None:
    report = take_gradients(with_gradients([1.0, math.nan]), wait=False, losses=[torch.tensor(1.0)])
    assert report.finding is None
    assert report.norm.isnan()


def test_underflow_is_the_share_below_the_smallest_normal_number_while_scaled() -> None:
    values = [0.0, 2.0**-15, -(2.0**-15), 2.0**-14, -1.0, 1e-9, 70000.0, 2.0**-14 * 0.999]
    gradients = [torch.tensor(values[:3]), torch.tensor(values[3:])]
    assert underflow_fraction(gradients, torch.float16).item() == pytest.approx(5 / 8)
    assert underflow_fraction(gradients, torch.bfloat16).item() == pytest.approx(1 / 8)
    (parameter,) = with_gradients(values)
    report = take_gradients([parameter], scale=2.0**10, underflow_of=torch.float16)
    assert report.underflow is not None
    assert report.underflow.item() == pytest.approx(5 / 8)  # before unscaling
    assert parameter.grad is not None
    assert parameter.grad[4].item() == -(2.0**-10)


@given(st.integers(0, 99), st.sampled_from([2, 4]))
@settings(max_examples=10)
def test_micro_batches_add_up_to_the_batch(seed: int, parts: int) -> None:
    whole, summed = gradients_at(2.0**10, seed, torch.float32), gradients_at(2.0**10, seed, torch.float32, parts)
    for a, b in zip(whole, summed, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("part", [0, 1, 2])
def test_an_overflow_in_any_micro_batch_is_one_of_the_batch(part: int) -> None:
    parameter = nn.Parameter(torch.ones(2))
    for index in range(3):
        factor = torch.tensor([1.0, math.inf if index == part else 1.0])
        scale_loss((parameter * factor).sum(), 4.0).backward()
    assert take_gradients([parameter], scale=4.0).finding == "overflow"


@pytest.mark.gpu
def test_it_works_on_cuda() -> None:
    parameter = nn.Parameter(torch.ones(4, device="cuda"))
    parameter.grad = torch.tensor([0.0, 3.0, 4.0, 2.0**-16], device="cuda") * 2.0**4
    loss = torch.ones((), device="cuda")
    report = take_gradients([parameter], scale=2.0**4, losses=[loss], clip_norm=1.0, underflow_of=torch.float16)
    assert (report.finding, report.norm.device.type) == ("finite", "cuda")
    assert report.norm.item() == pytest.approx(5.0)
    assert report.underflow is not None
    assert report.underflow.item() == pytest.approx(0.25)
    assert parameter.grad.tolist() == pytest.approx([0.0, 0.6, 0.8, 2.0**-16 / 5])
    parameter.grad[0] = math.inf
    assert take_gradients([parameter], losses=[loss]).finding == "overflow"
    assert take_gradients([parameter], losses=[loss], wait=False).finding is None
