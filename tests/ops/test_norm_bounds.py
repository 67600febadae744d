"""How far instance norm and SPADE in float16 are from float64, as a function of eps, for every kind of channel.

A channel x of n pixels, with M the largest of |x|, becomes y = (x - mean) * r with r = 1 / sqrt(variance + eps). What
float32 rounds on the way, in the mean and in x * r - mean * r, is a few units of 2^-24 in numbers of the size of M, and
moves y by no more than

    shift = 8 * 2^-24 * M * r.

The rest is rounding to float16. With r <= 1 / sqrt(eps) and M <= 65504, shift is at most 0.1 at eps = 0.1, whatever the
channel. At 1e-5 it can be 10, which says nothing of a constant channel of huge numbers; others have a smaller r.

In dx = r * (g - mean(g) - y * mean(g * y)) an error of y counts twice, so that

    rms(error of dx) <= r * rms(g) * (2^-11 + 2 * shift + shift^2),  and  rms(dx) <= r * rms(g) <= rms(g) / sqrt(eps).

test_eps_numerics.py has what follows from that for the label encoder of the weight generator.
"""

import math

import attrs
import pytest
import torch
import torch.nn.functional as F
import vs_ops
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

HALF, SINGLE, UNDERFLOW = 2.0**-11, 2.0**-24, 2.0**-25
"""Relative errors of rounding to float16 and to float32, and the absolute one of float16 near zero."""
SUBNORMAL = 2.0**-24
"""The smallest number of float16, and the distance of those below 2^-14."""
LARGEST = 65504.0
FEW, LARGEST_SIDE = 1e-6, 6
"""Room for what float32 rounds beside the mean, relative; and the side of the largest channel."""


def implementations(operator: vs_ops.Operator) -> list[str]:
    """Implementations that take a float16 channel of the CPU, without those that compile for every shape."""
    call = vs_ops.DescribedCall(dtype=torch.float16, shape=(1, 2, 2, 2))
    candidates = vs_ops.explain(operator, call)
    return [c.implementation.name for c in candidates if c.reason is None and c.implementation.name != "inductor"]


CHANNELS = ["constant", "nearly constant", "huge", "subnormal", "any"]


def searches(operator: vs_ops.Operator) -> list[tuple[str, str]]:
    """Implementation and kind of channel of each search; Triton's interpreter is slow, and gets one search for all."""
    alone = [impl for impl in implementations(operator) if impl != "triton"]
    together = [(impl, "each") for impl in implementations(operator) if impl == "triton"]
    return [(impl, kind) for impl in alone for kind in CHANNELS] + together


norms = pytest.mark.parametrize("impl", implementations(vs_ops.INSTANCE_NORM))
epsilons = st.one_of(st.just(0.1), st.just(1e-5), st.floats(-6, 1).map(lambda power: 10.0**power))
orders = st.sampled_from([torch.contiguous_format, torch.channels_last])
bounded = settings(max_examples=15, deadline=None)


@attrs.frozen(kw_only=True)
class Case:
    """Features and upstream gradient, (1, 2, H, W) in float16, and the map of a SPADE, (1, 4, H, W)."""

    features: Tensor
    upstream: Tensor
    modulation: Tensor
    eps: float


def step(value: float) -> float:
    """Between a float16 number and the next larger one."""
    return 2.0 ** (max(math.frexp(value)[1], -13) - 11)


@st.composite
def pixels(draw: st.DrawFn, kind: str, n: int) -> list[float]:
    """A channel of one kind; every number is one of float16."""
    size = st.floats(-LARGEST, LARGEST, width=16)
    if kind == "subnormal":
        units = st.integers(-1023, 1023)
        return [SUBNORMAL * unit for unit in draw(st.lists(units, min_size=n, max_size=n))]
    if kind == "huge":
        huge = st.one_of(st.floats(2.0**14, LARGEST, width=16), st.floats(-LARGEST, -(2.0**14), width=16))
        return draw(st.lists(huge, min_size=n, max_size=n))
    if kind == "any":
        return draw(st.lists(size, min_size=n, max_size=n))
    value = draw(size.filter(lambda x: abs(x) < 2.0**15))
    channel = [value] * n
    if kind == "nearly constant":
        for place in draw(st.sets(st.integers(0, n - 1), min_size=1, max_size=3)):
            channel[place] += draw(st.integers(-4, 4)) * step(value)
    return channel


@st.composite
def cases(draw: st.DrawFn, kind: str) -> Case:
    kind = draw(st.sampled_from(CHANNELS)) if kind == "each" else kind
    height, width = draw(st.integers(2, LARGEST_SIDE)), draw(st.integers(2, LARGEST_SIDE))
    order = draw(orders)

    def planes(channels: list[list[float]]) -> Tensor:
        each = torch.tensor(channels, dtype=torch.float64).view(1, len(channels), height, width)
        return each.half().contiguous(memory_format=order)

    n = height * width
    gradients = st.lists(st.integers(-32, 32).map(float), min_size=n, max_size=n)
    modulations = st.lists(st.integers(-16, 16).map(lambda x: x / 8), min_size=n, max_size=n)
    return Case(
        features=planes([draw(pixels(kind, n)) for _ in range(2)]),
        upstream=planes([draw(gradients) for _ in range(2)]),
        modulation=planes([draw(modulations) for _ in range(4)]),
        eps=draw(epsilons),
    )


def rms(x: Tensor) -> Tensor:
    """Root of the mean square of each channel, (1, C, 1, 1)."""
    return x.square().mean((2, 3), keepdim=True).sqrt()


def scale_of(case: Case) -> Tensor:
    """r of each channel, (1, C, 1, 1) in float64."""
    return (case.features.double().var((2, 3), correction=0, keepdim=True) + case.eps).rsqrt()


def shift_of(case: Case) -> Tensor:
    """By how much float32 may move y, (1, C, 1, 1) in float64."""
    return 8 * SINGLE * case.features.double().abs().amax((2, 3), keepdim=True) * scale_of(case)


def check_gradient(found: Tensor, exact: Tensor, upstream: Tensor, stored: Tensor, case: Case) -> None:
    """`found` is within the bound on gradients, and finite wherever the bound says that float16 holds it.

    `upstream` is what arrives at the norm, exactly; `stored` is the magnitude, summed, of what was rounded to float16
    to find it.
    """
    shift, scale = shift_of(case), scale_of(case)
    relative = HALF + 2 * shift + shift.square() + FEW
    bound = scale * (relative * rms(upstream) + (1 + relative) * HALF * rms(stored) + 3 * UNDERFLOW) + UNDERFLOW
    if math.sqrt(exact[0, 0].numel()) * (scale * rms(upstream) + bound).max() < LARGEST:
        assert found.isfinite().all()
    fits = found.isfinite() & (exact.abs() <= LARGEST)
    assert (rms(torch.where(fits, found.double() - exact, 0.0)) <= bound).all()
    assert (rms(exact) <= rms(upstream) / math.sqrt(case.eps) * (1 + FEW)).all()


@pytest.mark.parametrize(("impl", "kind"), searches(vs_ops.INSTANCE_NORM))
@given(data=st.data())
@bounded
def test_instance_norm_is_within_the_bounds_of_its_eps(impl: str, kind: str, data: st.DataObject) -> None:
    case = data.draw(cases(kind))
    x, exact_x = case.features.clone().requires_grad_(), case.features.double().requires_grad_()
    result = vs_ops.instance_norm(x, eps=case.eps, impl=impl)
    exact = vs_ops.instance_norm(exact_x, eps=case.eps, impl="reference")
    assert ((result.double() - exact).abs() <= shift_of(case) + (HALF + FEW) * (exact.abs() + 1) + UNDERFLOW).all()
    (gradient,) = torch.autograd.grad(result, x, case.upstream)
    (exact_gradient,) = torch.autograd.grad(exact, exact_x, case.upstream.double())
    assert (gradient.dtype, result.dtype) == (torch.float16, torch.float16)
    upstream = case.upstream.double()
    check_gradient(gradient, exact_gradient, upstream, torch.zeros_like(upstream), case)


@pytest.mark.parametrize(("impl", "kind"), searches(vs_ops.SPADE))
@given(data=st.data())
@bounded
def test_spade_is_within_the_bounds_of_its_eps(impl: str, kind: str, data: st.DataObject) -> None:
    case = data.draw(cases(kind))
    x, exact_x = case.features.clone().requires_grad_(), case.features.double().requires_grad_()
    gamma, beta = case.modulation.double().chunk(2, dim=1)
    result = vs_ops.spade(x, [case.modulation], eps=case.eps, impl=impl)
    normalised = vs_ops.instance_norm(exact_x, eps=case.eps, impl="reference")
    exact = normalised * (1 + gamma) + beta
    # An implementation may store in float16 what is normalised, y, and on the way y * gamma and y * (1 + gamma).
    of_norm = shift_of(case) + (HALF + FEW) * (normalised.abs() + 1) + UNDERFLOW
    stored = (
        (normalised * gamma).abs() + (normalised * (1 + gamma)).abs() + exact.abs() + 3 * of_norm * (1 + gamma.abs())
    )
    bound = of_norm * (1 + gamma).abs() + HALF * stored + 3 * UNDERFLOW + FEW
    assert ((result.double() - exact).abs() <= bound).all()
    activated = vs_ops.spade(x, [case.modulation], eps=case.eps, negative_slope=0.25, impl=impl)
    torch.testing.assert_close(activated, F.leaky_relu(result, 0.25), rtol=2 * HALF, atol=SUBNORMAL)
    (gradient,) = torch.autograd.grad(result, x, case.upstream)
    (exact_gradient,) = torch.autograd.grad(exact, exact_x, case.upstream.double())
    upstream = case.upstream.double()
    stored = (upstream * gamma).abs() + (upstream * (1 + gamma)).abs()
    check_gradient(gradient, exact_gradient, upstream * (1 + gamma), stored, case)


@norms
@given(case=cases("each"))
@bounded
def test_at_a_tenth_no_channel_moves_further_than_a_tenth_nor_amplifies_more_than_three_times(
    impl: str, case: Case
) -> None:
    """The two bounds with the numbers put in, for whatever float16 holds."""
    x, exact_x = case.features.clone().requires_grad_(), case.features.double().requires_grad_()
    result = vs_ops.instance_norm(x, eps=0.1, impl=impl)
    exact = vs_ops.instance_norm(exact_x, eps=0.1, impl="reference")
    assert ((result.double() - exact).abs() <= 0.1 + 2 * HALF * (exact.abs() + 1)).all()
    (gradient,) = torch.autograd.grad(result, x, case.upstream)
    assert gradient.isfinite().all()
    assert (rms(gradient.double()) <= 3.17 * rms(case.upstream.double()) * 1.25).all()


@norms
def test_the_smallest_numbers_are_not_lost(impl: str) -> None:
    """A channel of subnormals is no constant one: with an eps as small as its variance it becomes what it should be."""
    x = (SUBNORMAL * torch.tensor([3.0, -5.0, 900.0, 1.0])).view(1, 1, 2, 2).half()
    eps = float(x.double().var(correction=0))
    result = vs_ops.instance_norm(x, eps=eps, impl=impl)
    exact = vs_ops.instance_norm(x.double(), eps=eps, impl="reference")
    torch.testing.assert_close(result.double(), exact, rtol=2 * HALF, atol=1e-4)
    assert exact.abs().max() > 1


def test_squares_overflow_float16_and_not_the_norm() -> None:
    """What the same formula gives in float16 throughout: the variance is infinite, and every pixel becomes zero."""
    x = torch.tensor([600.0, -600.0, 300.0, 0.0]).view(1, 1, 2, 2).half()
    centred = x - x.mean((2, 3), keepdim=True)
    assert not (centred * torch.rsqrt(centred.square().mean((2, 3), keepdim=True) + 0.1)).any()
    exact = vs_ops.instance_norm(x.double(), eps=0.1, impl="reference")
    for impl in implementations(vs_ops.INSTANCE_NORM):
        torch.testing.assert_close(vs_ops.instance_norm(x, eps=0.1, impl=impl).double(), exact, rtol=HALF, atol=1e-3)
