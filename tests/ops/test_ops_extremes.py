"""The ends of float16 and bfloat16: values near overflow, subnormal ones, constant planes, and what comes of them.

Everything is compared with float64 on the same, already rounded, input. A result that float64 puts beyond the largest
number of the dtype must overflow and none else; below the smallest normal number a result may be off by its spacing.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
import vs_ops
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from triton_samples import names_here
from vs_ops import Operator

CL = torch.channels_last
quick = settings(max_examples=4, deadline=None)
seeds = st.integers(0, 2**31 - 1)
formats = st.sampled_from([torch.contiguous_format, CL])
low_precision = pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)

MAGNITUDES = (2.0**-22, 2.0**-15, 1.0, 2.0**15)
"""Of float16 a subnormal, the largest subnormal ones, one, and half of the largest: noise of it is clamped to that."""

SUBNORMAL = 2.0**-24
"""The spacing of float16 below its smallest normal number."""


def each_of(operator: Operator) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("impl", names_here(operator))


def noise(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def extreme(seed: int, magnitude: float, dtype: torch.dtype, *shape: int) -> Tensor:
    """Noise of that magnitude; no element is larger than twice it, which float16 just holds for the largest one."""
    return (noise(seed, *shape).clamp(-1.999, 1.999) * magnitude).to(dtype)


def compare(
    function: Callable[..., Any],
    exact: Callable[..., Any],
    inputs: Sequence[Tensor],
    *,
    accuracy: float,
    spacing: float,
) -> None:
    """Results and gradients of both; `accuracy` is relative to the largest of a tensor, `spacing` absolute."""
    leaves = [each.detach().requires_grad_(each.is_floating_point()) for each in inputs]
    wide = [each.detach().double().requires_grad_() for each in inputs]
    for mine, truth in zip(with_gradients(function, leaves), with_gradients(exact, wide), strict=True):
        limit = torch.finfo(mine.dtype).max
        beyond = truth.abs() > limit * (1 + accuracy)
        assert mine[beyond].isinf().all()
        kept = truth.abs() < limit * (1 - accuracy)
        assert mine[kept].isfinite().all()
        error = (mine.double() - truth)[kept].abs()
        assert error.numel() == 0 or error.max() <= accuracy * truth[kept].abs().max() + spacing


def with_gradients(function: Callable[..., Any], leaves: Sequence[Tensor]) -> list[Tensor]:
    result = function(*leaves)
    weights = noise(7, *result.shape).sign().to(result.dtype)
    return [result.detach(), *torch.autograd.grad(result, leaves, weights)]


def accuracy_of(dtype: torch.dtype) -> float:
    return 8 * torch.finfo(dtype).eps


@low_precision
@pytest.mark.parametrize("magnitude", MAGNITUDES)
@each_of(vs_ops.INSTANCE_NORM)
@given(seed=seeds, order=formats)
@quick
def test_instance_norm_at_the_ends(
    impl: str, magnitude: float, dtype: torch.dtype, seed: int, order: torch.memory_format
) -> None:
    """The smallest variance is nothing beside the usual eps, which is nothing beside the largest."""
    x = extreme(seed, magnitude, dtype, 2, 3, 6, 5).contiguous(memory_format=order)
    compare(
        lambda x: vs_ops.instance_norm(x, eps=1e-5, impl=impl),
        lambda x: vs_ops.instance_norm(x, eps=1e-5, impl="reference"),
        [x],
        accuracy=accuracy_of(dtype),
        spacing=SUBNORMAL,
    )


@low_precision
@pytest.mark.parametrize(("features", "maps"), [(2.0**-22, 1.0), (2.0**15, 1.0), (1.0, 2.0**-22), (1.0, 2.0**12)])
@each_of(vs_ops.SPADE)
@given(seed=seeds, order=formats)
@quick
def test_spade_at_the_ends(
    impl: str, features: float, maps: float, dtype: torch.dtype, seed: int, order: torch.memory_format
) -> None:
    """Without the kink, where a rounding decides; with maps of 2^12 results come near the largest float16."""
    x = extreme(seed, features, dtype, 2, 3, 6, 5).contiguous(memory_format=order)
    gamma_beta = extreme(seed + 1, maps, dtype, 2, 6, 6, 5).contiguous(memory_format=order)
    compare(
        lambda x, gamma_beta: vs_ops.spade(x, [gamma_beta], impl=impl),
        lambda x, gamma_beta: vs_ops.spade(x, [gamma_beta], impl="reference"),
        [x, gamma_beta],
        accuracy=accuracy_of(dtype),
        spacing=SUBNORMAL,
    )


@low_precision
@each_of(vs_ops.SPADE)
@given(
    value=st.sampled_from([0.0, 1.0, -6e4, 3e-7]), seed=seeds, order=formats, slope=st.sampled_from([None, 0.0, 0.2])
)
@quick
def test_of_a_constant_plane_spade_keeps_beta(
    impl: str, value: float, dtype: torch.dtype, seed: int, order: torch.memory_format, slope: float | None
) -> None:
    x = torch.full((1, 2, 6, 5), value).to(dtype).contiguous(memory_format=order).requires_grad_()
    gamma_beta = noise(seed, 1, 4, 6, 5).to(dtype).contiguous(memory_format=order)
    result = vs_ops.spade(x, [gamma_beta], eps=0.1, negative_slope=slope, impl=impl)
    beta = gamma_beta[:, 2:].float()
    expected = beta if slope is None else torch.nn.functional.leaky_relu(beta, slope)
    rounding = torch.finfo(dtype).eps + 4 * torch.finfo(torch.float32).eps * abs(value) / math.sqrt(0.1)
    torch.testing.assert_close(result.float(), expected, rtol=torch.finfo(dtype).eps, atol=8 * rounding)
    (grad,) = torch.autograd.grad(result.float().sum(), x)
    assert grad.isfinite().all()


@low_precision
@pytest.mark.parametrize("magnitude", MAGNITUDES)
@each_of(vs_ops.WARP)
@given(seed=seeds, order=formats)
@quick
def test_warping_the_ends(
    impl: str, magnitude: float, dtype: torch.dtype, seed: int, order: torch.memory_format
) -> None:
    """Interpolated values lie between those of the image, so that nothing overflows; flows keep clear of pixels."""
    image = extreme(seed, magnitude, dtype, 2, 3, 5, 7).contiguous(memory_format=order)
    generator = torch.Generator().manual_seed(seed)
    flow = torch.randint(-3, 4, (2, 2, 5, 7), generator=generator) + 0.375
    compare(
        lambda image: vs_ops.warp(image, flow, impl=impl),
        lambda image: vs_ops.warp(image, flow.double(), impl="reference"),
        [image],
        accuracy=accuracy_of(dtype),
        spacing=SUBNORMAL,
    )


@each_of(vs_ops.WARP)
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32], ids=str)
@pytest.mark.parametrize("flow", [6e4, -6e4, math.inf])
def test_a_flow_out_of_every_image_fetches_its_border(impl: str, dtype: torch.dtype, flow: float) -> None:
    image = noise(1, 1, 2, 5, 7).to(dtype)
    flows = torch.tensor([flow, 0.0]).view(1, 2, 1, 1).expand(1, 2, 5, 7).to(dtype)
    border = image[..., -1:] if flow > 0 else image[..., :1]
    result = vs_ops.warp(image, flows, impl=impl)
    torch.testing.assert_close(result, border.expand_as(image), rtol=0, atol=4 * torch.finfo(dtype).eps)


def test_a_flow_that_is_no_number_is_seen_in_the_result_and_ends_no_process() -> None:
    """PyTorch's own kernel makes a pixel of it, and its gradient on the CPU a segmentation fault."""
    image, flow = noise(1, 1, 3, 16, 16).requires_grad_(), noise(2, 1, 2, 16, 16)
    flow[:, 0, 3] = torch.nan
    flow[:, 1, 5:7] = torch.nan
    flow.requires_grad_()
    result = vs_ops.warp(image, flow, impl="reference")
    assert torch.equal(result.isnan(), flow.isnan().any(dim=1, keepdim=True).expand_as(result))
    result.nansum().backward()
    assert image.grad is not None
    assert image.grad.isfinite().all()


@low_precision
@pytest.mark.parametrize("magnitude", MAGNITUDES)
@each_of(vs_ops.WARP_AND_BLEND)
@given(seed=seeds)
@quick
def test_blending_the_ends(impl: str, magnitude: float, dtype: torch.dtype, seed: int) -> None:
    image, hallucinated = (extreme(seed + index, magnitude, dtype, 1, 3, 5, 7) for index in range(2))
    flow, mask = torch.full((1, 2, 5, 7), 0.375), noise(seed + 2, 1, 1, 5, 7).sigmoid()
    compare(
        lambda image, mask, other: vs_ops.warp_and_blend(image, flow, mask, other, impl=impl)[0],
        lambda image, mask, other: vs_ops.warp_and_blend(image, flow.double(), mask, other, impl="reference")[0],
        [image, mask, hallucinated],
        accuracy=2 * accuracy_of(dtype),
        spacing=4 * SUBNORMAL,
    )


LOSSES: dict[str, Callable[..., Tensor]] = {
    "hinge_d_real": lambda a, b, impl: vs_ops.hinge_d_real(a - 0 * b, impl=impl),
    "hinge_d_fake": lambda a, b, impl: vs_ops.hinge_d_fake(a - 0 * b, impl=impl),
    "hinge_g": lambda a, b, impl: vs_ops.hinge_g(a - 0 * b, impl=impl),
    "masked_l1": lambda a, b, impl: vs_ops.masked_l1(a, b, torch.ones_like(a[:, :1]), impl=impl),
    "feature_matching": lambda a, b, impl: vs_ops.feature_matching([[a, b]], [[b.detach(), a.detach()]], impl=impl),
}


@low_precision
@pytest.mark.parametrize("magnitude", MAGNITUDES)
@pytest.mark.parametrize(
    ("name", "impl"),
    [(each.name, impl) for each in vs_ops.OPERATORS if each.name in LOSSES for impl in names_here(each)],
)
@given(seed=seeds)
@quick
def test_losses_at_the_ends(name: str, impl: str, magnitude: float, dtype: torch.dtype, seed: int) -> None:
    """Sums of 60 of the largest numbers, and of 60 subnormal ones, in float32; gradients of 1 / 60."""
    inputs = [extreme(seed + index, magnitude, dtype, 1, 2, 6, 5) for index in range(2)]
    compare(
        lambda a, b: LOSSES[name](a, b, impl),
        lambda a, b: LOSSES[name](a, b, "reference"),
        inputs,
        accuracy=accuracy_of(dtype),
        spacing=SUBNORMAL,
    )


@low_precision
@pytest.mark.parametrize(("features", "labels"), [(2.0**-22, 1.0), (2.0**11, 1.0), (1.0, 2.0**-22), (1.0, 2.0**15)])
@each_of(vs_ops.REFERENCE_MATRIX)
@given(seed=seeds)
@quick
def test_reference_matrices_at_the_ends(
    impl: str, features: float, labels: float, dtype: torch.dtype, seed: int
) -> None:
    image, label = extreme(seed, features, dtype, 2, 3, 4, 5), extreme(seed + 1, labels, dtype, 2, 4, 4, 5)
    compare(
        lambda image, label: vs_ops.reference_matrix(image, label, impl=impl),
        lambda image, label: vs_ops.reference_matrix(image, label, impl="reference"),
        [image, label],
        accuracy=accuracy_of(dtype),
        spacing=4 * SUBNORMAL,
    )


@low_precision
@pytest.mark.parametrize("magnitude", MAGNITUDES)
@each_of(vs_ops.SPECTRAL_NORMALIZE)
@given(seed=seeds)
@quick
def test_spectral_normalisation_at_the_ends(impl: str, magnitude: float, dtype: torch.dtype, seed: int) -> None:
    """Weights of any size come out alike, subnormal ones too, of which float16 has no square."""
    weight = extreme(seed, magnitude, dtype, 4, 3, 2, 2)
    u, v = vs_ops.power_iteration(weight.flatten(1), torch.ones(4), torch.zeros(12))
    compare(
        lambda weight: vs_ops.spectral_normalize(weight, u, v, impl=impl),
        lambda weight: vs_ops.spectral_normalize(weight, u.double(), v.double(), impl="reference"),
        [weight],
        accuracy=accuracy_of(dtype),
        spacing=SUBNORMAL,
    )


@low_precision
@pytest.mark.parametrize("magnitude", MAGNITUDES)
@each_of(vs_ops.POWER_ITERATION)
@given(seed=seeds)
@quick
def test_power_iteration_at_the_ends(impl: str, magnitude: float, dtype: torch.dtype, seed: int) -> None:
    weight, u = extreme(seed, magnitude, dtype, 5, 8), noise(seed + 1, 5)
    exact = vs_ops.power_iteration(weight.double(), u.double(), torch.zeros(8), impl="reference")
    for mine, truth in zip(vs_ops.power_iteration(weight, u, torch.zeros(8), impl=impl), exact, strict=True):
        torch.testing.assert_close(mine.double(), truth, rtol=0, atol=1e-4)


@low_precision
@pytest.mark.parametrize("magnitude", [2.0**-11, 1.0, 2.0**6])
@pytest.mark.parametrize("impl", ["native", "reference"])
@given(seed=seeds)
@quick
def test_hyper_convolution_at_the_ends(impl: str, magnitude: float, dtype: torch.dtype, seed: int) -> None:
    """Products of 2^-22 and of 2^12, of which sums of 36 come near the ends of float16, in which it computes."""
    x, weight = extreme(seed, magnitude, dtype, 1, 4, 5, 6), extreme(seed + 1, magnitude, dtype, 1, 3, 4, 3, 3)
    compare(
        lambda x, weight: vs_ops.hyper_conv2d(x, weight, padding=1, impl=impl),
        lambda x, weight: vs_ops.hyper_conv2d(x, weight, padding=1, impl="reference"),
        [x, weight],
        accuracy=accuracy_of(dtype),
        spacing=64 * SUBNORMAL,
    )


@low_precision
@pytest.mark.parametrize("magnitude", [2.0**-22, 2.0**15])
@each_of(vs_ops.ATTEND)
@given(seed=seeds)
@quick
def test_attention_at_the_ends(impl: str, magnitude: float, dtype: torch.dtype, seed: int) -> None:
    """Values of any size, which are averaged; queries and keys as usual. Every implementation is called by itself."""
    function = next(each.function for each in vs_ops.ATTEND.implementations if each.name == impl)
    query, keys = noise(seed, 1, 4, 3, 4).to(dtype), noise(seed + 1, 1, 2, 4, 3, 4).to(dtype)
    compare(
        lambda values: function(query, keys, values)[0],
        lambda values: vs_ops.attend(query.double(), keys.double(), values, impl="reference")[0],
        [extreme(seed + 2, magnitude, dtype, 1, 2, 3, 3, 4)],
        accuracy=accuracy_of(dtype),
        spacing=4 * SUBNORMAL,
    )


@each_of(vs_ops.SPADE)
@given(value=st.floats(-1e3, 1e3), gamma=st.floats(-2, 2), beta=st.floats(-2, 2))
@quick
def test_a_plane_of_one_pixel_becomes_its_beta(impl: str, value: float, gamma: float, beta: float) -> None:
    x = torch.full((2, 3, 1, 1), value).requires_grad_()
    call = vs_ops.DescribedCall(shape=(2, 3, 1, 1))
    if any(each.implementation.name == impl and each.reason for each in vs_ops.explain(vs_ops.SPADE, call)):
        return
    gamma_beta = torch.tensor([gamma, beta]).repeat_interleave(3).view(1, 6, 1, 1).repeat(2, 1, 1, 1)
    result = vs_ops.spade(x, [gamma_beta], impl=impl)
    assert torch.equal(result, gamma_beta[:, 3:])
    assert not torch.autograd.grad(result.sum(), x)[0].any()
