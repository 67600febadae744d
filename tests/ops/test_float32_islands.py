"""What 16 bits would cost where an operator computes in float32, and that under autocast it does not cost that.

Each test computes the operator's formula in 16 bits throughout, shows by how much that is wrong, and holds every
implementation, called under autocast, to float32's accuracy.
"""

import pytest
import torch
import torch.nn.functional as F
import vs_ops
from torch import Tensor

LOW = [torch.float16, torch.bfloat16]
in_low = pytest.mark.parametrize("dtype", LOW, ids=str)


def implementations(operator: vs_ops.Operator, shape: tuple[int, ...], dtype: torch.dtype) -> list[str]:
    """Those that take the call on the CPU, but for those that compile for every shape."""
    candidates = vs_ops.explain(operator, vs_ops.DescribedCall(dtype=dtype, shape=shape))
    return [c.implementation.name for c in candidates if c.reason is None and c.implementation.name != "inductor"]


def noise(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def positions(flow: Tensor, dtype: torch.dtype) -> Tensor:
    """Horizontal positions that a sampling grid (-1 to 1) made in `dtype` stands for, in float64."""
    width = flow.shape[3]
    x = torch.arange(width, dtype=dtype) + flow[:, 0].to(dtype)
    grid = 2 * x / (width - 1) - 1
    return ((grid.double() + 1) / 2 * (width - 1)).clamp(0, width - 1)


@pytest.mark.parametrize(
    ("dtype", "width", "error"),
    [(torch.float16, 1024, 0.4), (torch.float16, 2048, 0.9), (torch.bfloat16, 1024, 4.0)],
    ids=str,
)
def test_coordinates_in_16_bits_are_off_by_up_to_pixels(dtype: torch.dtype, width: int, error: float) -> None:
    """Warping a ramp shows where each pixel was fetched: half a pixel off in float16, several in bfloat16."""
    flow = torch.zeros(1, 2, 4, width)
    flow[:, 0] = 40 * torch.rand((1, 4, width), generator=torch.Generator().manual_seed(0)) - 20
    ramp = torch.arange(float(width)).expand(1, 1, 4, width)
    exact = (ramp.double() + flow[:, :1].double()).clamp(0, width - 1)
    assert (positions(flow, dtype) - exact[:, 0]).abs().max() > error
    with torch.autocast("cpu", dtype):
        for impl in implementations(vs_ops.WARP, tuple(ramp.shape), ramp.dtype):
            assert (vs_ops.warp(ramp, flow, impl=impl).double() - exact).abs().max() < 1e-3
        mask = torch.zeros(1, 1, 4, width)
        for impl in implementations(vs_ops.WARP_AND_BLEND, tuple(ramp.shape), ramp.dtype):
            blended, _ = vs_ops.warp_and_blend(ramp, flow, mask, ramp, impl=impl)
            assert (blended.double() - exact).abs().max() < 1e-3


def iterated(weight: Tensor, u: Tensor, steps: int) -> Tensor:
    """Sigma by power iteration in the dtype of the arguments throughout."""
    for _ in range(steps):
        v = weight.t() @ u
        v = v / v.norm().clamp_min(1e-12)
        u = weight @ v
        u = u / u.norm().clamp_min(1e-12)
    return u @ (weight @ v)


@in_low
def test_sigma_in_16_bits_is_off_and_ours_is_not(dtype: torch.dtype) -> None:
    """A well separated singular value, so that what remains after 20 iterations is rounding and nothing else."""
    left, right = F.normalize(noise(1, 256), dim=0), F.normalize(noise(2, 1152), dim=0)
    weight, u = 0.02 * noise(0, 256, 1152) + 3 * torch.outer(left, right), F.normalize(noise(3, 256), dim=0)
    exact = torch.linalg.svdvals(weight.double())[0]
    assert (iterated(weight.to(dtype), u.to(dtype), 20) / exact - 1).abs() > (1e-4 if dtype is torch.float16 else 5e-4)
    with torch.autocast("cpu", dtype):
        v = torch.zeros(1152)
        for _ in range(20):
            u, v = vs_ops.power_iteration(weight, u, v)
        for impl in implementations(vs_ops.SINGULAR_VALUES, (256, 1152), weight.dtype):
            (sigma,) = vs_ops.singular_values([weight], [u], [v], impl=impl)
            assert (sigma / exact - 1).abs() < 2e-6
        for impl in implementations(vs_ops.SPECTRAL_NORMALIZE, (256, 1152), weight.dtype):
            normalised = vs_ops.spectral_normalize(weight, u, v, impl=impl)
            assert (normalised.double() * exact - weight.double()).abs().max() < 1e-6
        for impl in implementations(vs_ops.SPECTRAL_NORMALIZE_ALL, (256, 1152), weight.dtype):
            (normalised,), _, _ = vs_ops.spectral_normalize_all([weight], [u], [v], impl=impl)
            assert (normalised.double() * exact - weight.double()).abs().max() < 1e-6


def test_power_iteration_of_a_large_weight_overflows_in_float16_and_not_here() -> None:
    weight, u = 200 * torch.ones(64, 4096), F.normalize(torch.ones(64), dim=0)
    assert not iterated(weight.half(), u.half(), 1).isfinite()
    with torch.autocast("cpu", torch.float16):
        u, v = vs_ops.power_iteration(weight, u, torch.zeros(4096))
        (sigma,) = vs_ops.singular_values([weight], [u], [v])
    torch.testing.assert_close(sigma, torch.tensor(200.0 * 64**0.5 * 4096**0.5))


@in_low
def test_statistics_in_16_bits_are_off_and_those_of_spade_are_not(dtype: torch.dtype) -> None:
    """Features far from zero: their mean, rounded to 16 bits, is off by a good part of their deviation."""
    x = (noise(0, 1, 2, 16, 16) * (1 if dtype is torch.float16 else 4) + 700).to(dtype)
    maps = [0.1 * noise(1, 1, 4, 16, 16)]
    exact = vs_ops.spade(x.double(), [maps[0].double()], impl="reference")
    wrong = x - x.mean((2, 3), keepdim=True)
    wrong = wrong * torch.rsqrt(wrong.square().mean((2, 3), keepdim=True) + 1e-5)
    gamma, beta = maps[0].to(dtype).chunk(2, dim=1)
    assert ((wrong * (1 + gamma) + beta).double() - exact).abs().max() > 0.05
    step = torch.finfo(dtype).eps
    with torch.autocast("cpu", dtype):
        for impl in implementations(vs_ops.SPADE, tuple(x.shape), dtype):
            result = vs_ops.spade(x, maps, impl=impl)
            assert (result.double() - exact).abs().max() < 4 * step * exact.abs().max()


@in_low
def test_softmax_of_16_bits_is_off_and_ours_is_not(dtype: torch.dtype) -> None:
    """Large logits that differ by little: rounded, their softmax has nothing to do with what they were."""
    label = 1000 + 0.3 * noise(0, 1, 5, 4, 4)
    image = noise(1, 1, 3, 4, 4)
    exact = torch.einsum("nchw,ndhw->ncd", image.double(), label.double().softmax(1))
    wrong = torch.einsum("nchw,ndhw->ncd", image.double(), label.to(dtype).softmax(1).double())
    assert (wrong - exact).abs().max() > 0.1
    with torch.autocast("cpu", dtype):
        for impl in implementations(vs_ops.REFERENCE_MATRIX, tuple(image.shape), image.dtype):
            assert (vs_ops.reference_matrix(image, label, impl=impl).double() - exact).abs().max() < 2e-3


@in_low
@pytest.mark.parametrize("side", [3, 46])
def test_attention_in_16_bits_is_off_and_ours_is_not(dtype: torch.dtype, side: int) -> None:
    """Dot products of about 400 (with 46x46 positions the native implementation takes part)."""
    query, keys = 20 + noise(0, 1, 1, side, side), 20 + 0.05 * noise(1, 1, 2, 1, side, side)
    values = noise(2, 1, 2, 3, side, side)
    exact, exact_weights = vs_ops.attend(query.double(), keys.double(), values.double(), impl="reference")

    def weights(dtype: torch.dtype) -> Tensor:
        offered = keys.transpose(1, 2).flatten(2).to(dtype)
        return (query.flatten(2).mT.to(dtype) @ offered).softmax(2).double()  # (1, H * W, K * H * W)

    assert (weights(dtype) / weights(torch.float64) - 1).abs().max() > 0.1
    with torch.autocast("cpu", dtype):
        for impl in implementations(vs_ops.ATTEND, tuple(keys.shape), keys.dtype):
            merged, reference_weights = vs_ops.attend(query, keys, values, impl=impl)
            assert (merged.double() - exact).abs().max() < 1e-3
            assert (reference_weights.double() - exact_weights).abs().max() < 1e-3


def test_dot_products_that_float16_cannot_hold_are_attended_to() -> None:
    query, keys, values = torch.full((1, 8, 1, 2), 200.0), 200 * noise(0, 1, 1, 8, 1, 2), noise(1, 1, 1, 3, 1, 2)
    assert (query.flatten(2).mT @ keys.flatten(3)[0]).abs().max() > torch.finfo(torch.float16).max
    with torch.autocast("cpu", torch.float16):
        merged, _ = vs_ops.attend(query.half(), keys.half(), values)
    best = (query.flatten(2).mT @ keys.half().float().flatten(3)[0]).argmax(2)  # (1, H * W)
    torch.testing.assert_close(merged.flatten(2), values[:, 0].flatten(2)[:, :, best[0]])
