"""What holds of the operators that only read and write: activations, the loss of masks, averages of weights."""

import math

import pytest
import torch
import vs_ops
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from triton_samples import names_here
from vs_ops import EMA, GELU, MASK_LOSS

CL = torch.channels_last
quick = settings(max_examples=25, deadline=None)
seeds = st.integers(0, 2**31 - 1)
floats = pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)


def noise(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def each_of(operator: vs_ops.Operator) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("impl", names_here(operator))


def each_twice_differentiable_of(operator: vs_ops.Operator) -> pytest.MarkDecorator:
    """What Inductor compiles is differentiable once."""
    return pytest.mark.parametrize("impl", [name for name in names_here(operator) if name != "inductor"])


def half_a_unit(impl: str, dtype: torch.dtype) -> float:
    """The error of rounding in units of the last place. Triton's interpreter cuts bfloat16 off; its compiler rounds."""
    return 1.01 if impl == "triton" and dtype is torch.bfloat16 else 0.51


@each_of(GELU)
@floats
def test_gelu_rounds_once(impl: str, dtype: torch.dtype) -> None:
    """Every value that 16 bits tell apart between -8 and 8, and as many float32 values."""
    x = torch.linspace(-8, 8, 2**12 if impl == "triton" else 2**16).to(dtype)  # the interpreter is slow
    exact = torch.tensor([0.5 * value * math.erfc(-value / math.sqrt(2)) for value in x.tolist()], dtype=torch.float64)
    result = vs_ops.gelu(x, impl=impl)
    assert result.dtype is dtype
    # Half a unit in the last place of the result; 1 + erf costs float32 rounding errors of x where erf is near -1.
    allowed = (
        half_a_unit(impl, dtype) * torch.finfo(dtype).eps * exact.abs()
        + 4 * torch.finfo(torch.float32).eps * x.double().abs()
    )
    allowed += torch.finfo(dtype).smallest_normal * torch.finfo(dtype).eps
    assert ((result.double() - exact).abs() <= allowed).all()


@each_of(GELU)
@given(seed=seeds, scale=st.sampled_from([1.0, 100.0, 6e4]))
@quick
def test_gelu_is_x_where_x_is_large_and_nothing_where_it_is_small(impl: str, seed: int, scale: float) -> None:
    x = scale * noise(seed, 3, 5)
    result = vs_ops.gelu(x, impl=impl)
    torch.testing.assert_close(result - vs_ops.gelu(-x, impl=impl), x)
    assert (result >= -0.17).all()
    assert torch.equal(result[x > 10], x[x > 10])
    assert not result[x < -10].any()


@each_twice_differentiable_of(GELU)
def test_gelu_can_be_differentiated_twice(impl: str) -> None:
    x = noise(1, 7).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: vs_ops.gelu(x, impl=impl), (x,))
    assert torch.autograd.gradgradcheck(lambda x: vs_ops.gelu(x, impl=impl), (x,))


@each_of(MASK_LOSS)
@given(seed=seeds, channels=st.integers(1, 4))
@quick
def test_a_mask_is_pulled_to_where_the_better_pixel_is(impl: str, seed: int, channels: int) -> None:
    frame, mask = noise(seed, 2, channels, 4, 5), noise(seed + 1, 2, 1, 4, 5).sigmoid().requires_grad_()
    wrong = torch.rand(2, 1, 4, 5, generator=torch.Generator().manual_seed(seed)) < 0.5
    loss = vs_ops.mask_loss(mask, frame + 2.0 * wrong / channels, frame, impl=impl)
    torch.testing.assert_close(loss, torch.where(wrong, 1 - mask, mask).mean())
    (grad,) = torch.autograd.grad(loss, mask)
    torch.testing.assert_close(grad, torch.where(wrong, -1.0, 1.0) / mask.numel())
    assert vs_ops.mask_loss(wrong.float(), frame + 2.0 * wrong / channels, frame, impl=impl) < 1e-5


@each_of(MASK_LOSS)
@given(seed=seeds)
@quick
def test_the_loss_of_a_mask_reaches_the_warped_frame(impl: str, seed: int) -> None:
    """A pixel that is nearly right becomes more so if that lowers the loss, that is, where the mask is below a half."""
    frame, mask = noise(seed, 1, 3, 4, 5), noise(seed + 1, 1, 1, 4, 5).sigmoid()
    off = 0.1 * (noise(seed + 2, 1, 3, 4, 5).sign())
    warped = (frame + off).requires_grad_()
    (grad,) = torch.autograd.grad(vs_ops.mask_loss(mask, warped, frame, impl=impl), warped)
    torch.testing.assert_close(grad, off.sign() * (1 - 2 * mask) / mask.numel(), rtol=1e-4, atol=1e-6)


@each_of(MASK_LOSS)
@floats
def test_differences_are_taken_in_float32(impl: str, dtype: torch.dtype) -> None:
    frame = torch.full((1, 3, 2, 2), 0.25, dtype=dtype)
    warped = frame + torch.finfo(dtype).eps
    loss = vs_ops.mask_loss(torch.ones(1, 1, 2, 2, dtype=dtype), warped, frame, impl=impl)
    assert loss == 1 - 3 * (warped - frame).double()[0, 0, 0, 0]


@each_of(MASK_LOSS)
def test_where_there_are_no_channels_every_pixel_is_right(impl: str) -> None:
    mask, nothing = noise(1, 2, 1, 3, 4).sigmoid(), torch.zeros(2, 0, 3, 4)
    torch.testing.assert_close(vs_ops.mask_loss(mask, nothing, nothing, impl=impl), mask.mean())


@each_of(EMA)
@given(seed=seeds, weight=st.floats(0, 1), scaled=st.booleans(), autocast=st.booleans())
@quick
def test_averages_move_towards_their_values_in_place(
    impl: str, seed: int, weight: float, scaled: bool, autocast: bool
) -> None:
    averages, values = [noise(seed, 3, 4), noise(seed + 1, 5)], [noise(seed + 2, 3, 4), noise(seed + 3, 5)]
    scales = [torch.tensor(0.5), torch.tensor(-3.0)]
    targets = [value * scale for value, scale in zip(values, scales, strict=True)] if scaled else values
    expected = [(1 - weight) * each + weight * target for each, target in zip(averages, targets, strict=True)]
    places = [each.data_ptr() for each in averages]
    given_values = [each.clone().requires_grad_() for each in values]
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        vs_ops.ema(averages, given_values, weight=weight, scales=scales if scaled else None, impl=impl)
    torch.testing.assert_close(averages, expected, rtol=1e-5, atol=1e-6)
    assert [each.data_ptr() for each in averages] == places
    assert not any(each.requires_grad for each in averages)
    assert all(torch.equal(each, value) for each, value in zip(given_values, values, strict=True))


@each_of(EMA)
@pytest.mark.parametrize("scales", [None, [torch.tensor(2.0)]], ids=["plain", "scaled"])
@floats
def test_a_weight_of_one_copies_and_one_of_zero_changes_nothing(
    impl: str, scales: list[Tensor] | None, dtype: torch.dtype
) -> None:
    average, value = noise(1, 4, 5), noise(2, 4, 5).to(dtype)
    kept = average.clone()
    vs_ops.ema([average], [value], weight=0.0, scales=scales, impl=impl)
    assert torch.equal(average, kept)
    vs_ops.ema([average], [value], weight=1.0, scales=scales, impl=impl)
    assert torch.equal(average, value.float() * (1 if scales is None else scales[0]))


@each_of(EMA)
@pytest.mark.parametrize("scales", [None, [torch.tensor(1.0)]], ids=["plain", "scaled"])
def test_the_average_of_a_constant_stays_what_it_is(impl: str, scales: list[Tensor] | None) -> None:
    """Ten thousand small weights of 1/3: weights that do not add up to one would show after a thousand."""
    average = torch.full((3,), 1 / 3)
    steps, rtol = (10, 0.0) if impl == "triton" else (10_000, 1e-5)  # the interpreter is slow
    for _ in range(steps):
        vs_ops.ema([average], [torch.full((3,), 1 / 3)], weight=0.0007, scales=scales, impl=impl)
    torch.testing.assert_close(average, torch.full((3,), 1 / 3), rtol=rtol, atol=0)


@each_of(EMA)
def test_averages_may_be_parameters_in_another_memory_format(impl: str) -> None:
    average = torch.nn.Parameter(noise(1, 2, 3, 4, 5).contiguous(memory_format=CL))
    value = torch.nn.Parameter(noise(2, 2, 3, 4, 5))
    expected = (average + value).detach() / 2
    vs_ops.ema([average], [value], weight=0.5, impl=impl)
    torch.testing.assert_close(average.detach(), expected)
    assert average.is_contiguous(memory_format=CL)
    assert average.is_leaf
    vs_ops.ema([], [], weight=0.5, impl=impl)


@each_of(EMA)
def test_averages_with_gaps_are_moved_where_they_are_and_in_their_own_dtype(impl: str) -> None:
    whole = noise(1, 4, 6).double()
    kept, average, value = whole.clone(), whole[:, ::2], noise(2, 4, 3).double()
    expected = average + 0.1 * (value - average)
    vs_ops.ema([average], [value], weight=0.1, impl=impl)
    torch.testing.assert_close(average, expected, rtol=1e-14, atol=1e-15)
    assert torch.equal(whole[:, 1::2], kept[:, 1::2])
