"""Why the label encoder of the few-shot weight generator normalises with eps = 0.1 and not with 1e-5.

A block of that encoder is convolution, instance norm, leaky ReLU. Edge maps are sparse, so that a channel of what the
convolution returns is often constant, or nearly: a few pixels differ, by as little as float16 can tell. The gradient
of instance norm with respect to such a channel x of n pixels is

    dx = r * (g - mean(g) - y * mean(g * y)),  r = 1 / sqrt(variance + eps),  y = (x - mean) * r.

Both subtractions are orthogonal projections but for a factor of at most 1, because rms(y) <= 1, so that
rms(dx) <= r * rms(g) <= rms(g) / sqrt(eps). A channel that is constant comes as near to this as one likes: its gradient
grows 316-fold at 1e-5, and 3.2-fold at 0.1. In mixed precision x, g and dx are float16, whatever is between.
"""

import math
from collections.abc import Callable

import attrs
import pytest
import torch
import torch.nn.functional as F
import vs_ops
from hypothesis import find, given, settings
from hypothesis import strategies as st
from hypothesis.errors import NoSuchExample
from torch import Tensor

EPS, USUAL_EPS = 0.1, 1e-5
SLOPE = 0.2

LARGEST = 256.0
"""Of features and of incoming gradients, 1/256 of float16's range: a loss scale of 2^16 and a gradient of 2^-8."""

LARGEST_SIDE = 6
LARGEST_RESULT = LARGEST_SIDE * LARGEST / math.sqrt(EPS)
"""No gradient is larger at eps = 0.1. An element is at most sqrt(n) * rms(dx), and n is at most 6 * 6: 4858."""

HALF, SINGLE = 2.0**-11, 2.0**-24
"""Relative errors of rounding to float16 and to float32."""

UNDERFLOW = 2.0**-25
"""Absolute error of rounding to float16 near zero."""

MEAN_ERROR = 4 * SINGLE
"""Of the mean of a channel in float32, in units of its largest element; its sums have few terms or are pairwise."""

pytestmark = pytest.mark.draws_shapes
IMPLEMENTATIONS = [
    each.name
    for each in vs_ops.INSTANCE_NORM.implementations
    if each.refuse(vs_ops.DescribedCall(dtype=torch.float16, shape=(1, 2, 2, 2))) is None
]
norms = pytest.mark.parametrize("impl", [name for name in IMPLEMENTATIONS if name != "triton"])
interpreted = pytest.mark.skipif("triton" not in IMPLEMENTATIONS, reason="needs Triton's interpreter")
formats = st.sampled_from([torch.contiguous_format, torch.channels_last])


@attrs.frozen(kw_only=True)
class Case:
    """One (1, 2, H, W) of features in float16, the gradient that comes to the block's result, and the norm's bias."""

    features: Tensor
    upstream: Tensor
    bias: Tensor


def float16_step(value: float) -> float:
    """Between a float16 number and the next larger one."""
    return 2.0 ** (max(math.frexp(value)[1], -13) - 11)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """A constant, a few pixels that differ by steps of float16 or as edges do, and any gradient."""
    height, width = draw(st.integers(2, LARGEST_SIDE)), draw(st.integers(2, LARGEST_SIDE))
    n = height * width
    constant = draw(st.floats(-LARGEST + 1, LARGEST - 1, width=16))
    deviations = st.one_of(
        st.integers(-8, 8).map(lambda steps: steps * float16_step(constant)),
        st.floats(-1, 1, width=16),
    )
    channel = torch.full((n,), constant, dtype=torch.float64)
    for pixel, deviation in draw(st.dictionaries(st.integers(0, n - 1), deviations, max_size=4)).items():
        channel[pixel] += deviation
    gradient = draw(st.lists(st.integers(-16, 16), min_size=n, max_size=n))
    order = draw(formats)
    return Case(
        features=as_planes(channel, height, order),
        upstream=as_planes(torch.tensor(gradient) * (LARGEST / 16), height, order),
        bias=torch.full((2,), draw(st.sampled_from([0.0, -1.0, 1.0]))),
    )


def as_planes(channel: Tensor, height: int, memory_format: torch.memory_format) -> Tensor:
    return channel.view(1, 1, height, -1).repeat(1, 2, 1, 1).half().contiguous(memory_format=memory_format)


def rms(x: Tensor) -> Tensor:
    """Root of the mean square of each channel, (1, C, 1, 1) in float64."""
    return x.double().square().mean((2, 3), keepdim=True).sqrt()


def variance(x: Tensor) -> float:
    return x.double().var((2, 3), correction=0).max().item()


def block(case: Case, eps: float, impl: str) -> tuple[Tensor, Tensor, Tensor]:
    """Result, gradient, and which slope the leaky ReLU took, all in float16."""
    x = case.features.clone().requires_grad_()
    normalized = vs_ops.instance_norm(x, None, case.bias, eps=eps, impl=impl)
    result = F.leaky_relu(normalized, SLOPE)
    (gradient,) = torch.autograd.grad(result, x, case.upstream)
    assert {result.dtype, gradient.dtype} == {torch.float16}
    return result.detach(), gradient, torch.where(normalized.detach() > 0, 1.0, SLOPE)


def exact_block(case: Case, eps: float, slopes: Tensor) -> tuple[Tensor, Tensor]:
    """Result and gradient in float64; where the result is at the kink, a rounding may take either slope."""
    x = case.features.double().requires_grad_()
    normalized = vs_ops.instance_norm(x, None, case.bias.double(), eps=eps, impl="reference")
    (gradient,) = torch.autograd.grad(normalized, x, case.upstream.double() * slopes.double())
    return F.leaky_relu(normalized.detach(), SLOPE), gradient


def is_finite_and_near_float64(impl: str, case: Case) -> None:
    result, gradient, slopes = block(case, EPS, impl)
    exact, exact_gradient = exact_block(case, EPS, slopes)
    # The error of the mean, amplified, is an error of y everywhere.
    shift = MEAN_ERROR * LARGEST / math.sqrt(EPS)
    # Forward: that, and two roundings to float16 (norm, activation), which leave room for those to float32.
    bound = shift + 3 * (HALF * (exact.abs() + case.bias.abs().max()) + UNDERFLOW)
    assert ((result.double() - exact).abs() <= bound).all()
    # Backward: two roundings to float16 (slope times g, then dx), of which the first is amplified and the second is of
    # what has been amplified; and y, which occurs twice, is off by `shift`. Again with room for roundings to float32.
    error = rms(gradient.double() - exact_gradient)
    assert (error <= ((3 * HALF + 3 * shift) * rms(case.upstream) + 3 * UNDERFLOW) / math.sqrt(EPS)).all()
    assert gradient.abs().max() <= LARGEST_RESULT


@norms
@given(case=cases())
@settings(max_examples=100, deadline=None)
def test_at_a_tenth_float16_is_finite_and_near_float64(impl: str, case: Case) -> None:
    is_finite_and_near_float64(impl, case)


@interpreted
@given(case=cases())
@settings(max_examples=20, deadline=None)
def test_at_a_tenth_triton_is_finite_and_near_float64_too(case: Case) -> None:
    """Fewer examples, because the interpreter is slow."""
    is_finite_and_near_float64("triton", case)


@norms
@pytest.mark.parametrize("eps", [EPS, USUAL_EPS])
@given(
    case=cases().filter(lambda case: variance(case.features) <= USUAL_EPS / 20),
    pixels=st.sets(st.integers(0, 3), min_size=2, max_size=2).map(sorted),
)
@settings(max_examples=30, deadline=None)
def test_a_nearly_constant_channel_gets_all_of_the_amplification(
    impl: str, eps: float, case: Case, pixels: list[int]
) -> None:
    """For variance <= eps / 20, r is at least 0.97 / sqrt(eps) and y takes at most 1 / 21 away from g: 0.93 remain."""
    upstream = torch.zeros_like(case.upstream)
    upstream[..., pixels[0] // 2, pixels[0] % 2], upstream[..., pixels[1] // 2, pixels[1] % 2] = 1.0, -1.0
    clear_of_the_kink = torch.full((2,), 2.0)  # |y| <= sqrt(n) * rms(y) <= 6 * sqrt(1 / 21)
    (_, gradient, slopes) = block(Case(features=case.features, upstream=upstream, bias=clear_of_the_kink), eps, impl)
    assert (slopes == 1).all()
    amplification = rms(gradient) / rms(upstream)
    assert (amplification > 0.9 / math.sqrt(eps)).all()
    assert (amplification <= (1 + 2 * HALF) / math.sqrt(eps)).all()


def overflows(eps: float, impl: str) -> Callable[[Case], bool]:
    return lambda case: not block(case, eps, impl)[1].isfinite().all()


@norms
def test_a_search_finds_gradients_that_overflow_at_the_usual_eps_and_none_at_a_tenth(impl: str) -> None:
    search = settings(max_examples=150, derandomize=True, database=None, deadline=None)
    found = find(cases(), overflows(USUAL_EPS, impl), settings=search)
    result, gradient, slopes = block(found, USUAL_EPS, impl)
    assert result.isfinite().all()
    assert max(found.features.abs().max(), found.upstream.abs().max()) <= LARGEST
    _, exact = exact_block(found, USUAL_EPS, slopes)
    assert exact.isfinite().all()
    assert exact.abs().max() > torch.finfo(torch.float16).max  # it is float16 that has no such number
    assert gradient.isinf().any()
    assert not overflows(EPS, impl)(found)
    with pytest.raises(NoSuchExample):
        find(cases(), overflows(EPS, impl), settings=search)
