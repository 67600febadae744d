"""The 3x3 convolution by transformed kernels: against PyTorch's own in float64, forward and backward, at any size."""

import pytest
import torch
import torch.nn.functional as F
import vs_ops
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from vs_ops import DtypeError, ShapeError

ORDERS = (torch.contiguous_format, torch.channels_last)
SIDES = st.integers(1, 13)


def case(
    n: int, c_in: int, c_out: int, h: int, w: int, dtype: torch.dtype, order: torch.memory_format
) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(n * h + 17 * w + c_in)
    x = torch.randn(n, c_in, h, w, generator=generator, dtype=torch.float64).to(dtype).to(memory_format=order)
    weight = torch.randn(c_out, c_in, 3, 3, generator=generator, dtype=torch.float64).to(dtype)
    return x, weight.to(memory_format=order), torch.randn(c_out, generator=generator, dtype=torch.float64).to(dtype)


@settings(max_examples=25)
@given(st.integers(1, 3), st.integers(1, 7), st.integers(1, 7), SIDES, SIDES, st.sampled_from(ORDERS))
def test_in_float64_it_is_the_convolution(
    n: int, c_in: int, c_out: int, h: int, w: int, order: torch.memory_format
) -> None:
    x, weight, bias = case(n, c_in, c_out, h, w, torch.float64, order)
    kernel = vs_ops.winograd_kernel(weight)
    found = []
    for convolve in (
        lambda x, bias: vs_ops.winograd_conv2d(x, kernel, bias),
        lambda x, bias: F.conv2d(x, weight, bias, padding=1),
    ):
        leaves = x.clone().requires_grad_(), bias.clone().requires_grad_()
        y = convolve(*leaves)
        found.append((y, *torch.autograd.grad(y.square().sum(), leaves)))
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-9)
    assert found[0][0].is_contiguous(memory_format=order)


@pytest.mark.parametrize("order", ORDERS)
def test_in_float32_it_rounds_no_more_than_it_says(order: torch.memory_format) -> None:
    x, weight, bias = case(2, 128, 96, 24, 20, torch.float32, order)
    weight = weight / (9 * 128) ** 0.5
    exact = F.conv2d(x.double(), weight.double(), bias.double(), padding=1)
    ours = vs_ops.winograd_conv2d(x, vs_ops.winograd_kernel(weight), bias)
    assert ours.dtype is torch.float32
    assert (ours - exact).abs().max() <= 1e-5 * exact.abs().max()


def test_an_empty_batch_has_an_empty_result() -> None:
    x, weight, bias = case(0, 3, 4, 8, 8, torch.float32, torch.contiguous_format)
    assert vs_ops.winograd_conv2d(x, vs_ops.winograd_kernel(weight), bias).shape == (0, 4, 8, 8)


def test_autocast_leaves_it_in_float32_and_it_is_not_chosen_there() -> None:
    x, weight, bias = case(1, 256, 256, 16, 16, torch.float32, torch.channels_last)
    kernel = vs_ops.winograd_kernel(weight)
    plain = vs_ops.winograd_conv2d(x, kernel, bias)
    assert vs_ops.winograd_pays(x, weight)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(vs_ops.winograd_conv2d(x, kernel, bias), plain)
        assert not vs_ops.winograd_pays(x, weight)


@pytest.mark.parametrize(
    ("x", "weight"),
    [
        ((1, 16, 64, 64), (16, 16, 3, 3)),  # few channels
        ((1, 128, 64, 64), (128, 128, 3, 3)),
        ((1, 256, 8, 8), (256, 256, 3, 3)),  # few tiles
        ((1, 256, 32, 32), (256, 256, 1, 1)),
    ],
)
def test_it_is_not_chosen_where_it_was_slower(x: tuple[int, ...], weight: tuple[int, ...]) -> None:
    assert not vs_ops.winograd_pays(torch.empty(x), torch.empty(weight))
    assert not vs_ops.winograd_pays(torch.empty(x, dtype=torch.float64), torch.empty(weight, dtype=torch.float64))


def test_it_is_not_chosen_where_references_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    x, weight = torch.empty(1, 256, 16, 16), torch.empty(256, 256, 3, 3)
    for wanted, pays in (("native", True), ("reference", False)):
        monkeypatch.setenv("VS_OPS_IMPL", wanted)
        assert vs_ops.winograd_pays(x, weight) is pays


def test_a_kept_kernel_is_made_once_and_follows_its_weight_and_whoever_asks_first() -> None:
    x, weight, _ = case(1, 3, 4, 8, 8, torch.float64, torch.contiguous_format)
    kept = vs_ops.WinogradKernel()
    with torch.inference_mode():
        first = kept.of(weight)
    assert kept.of(weight) is first
    vs_ops.winograd_conv2d(x.requires_grad_(), first).sum().backward()
    weight.mul_(2)
    torch.testing.assert_close(kept.of(weight), 2 * first)


def test_wrong_arguments_are_refused_with_their_shapes() -> None:
    x, weight, bias = case(1, 3, 4, 8, 8, torch.float32, torch.contiguous_format)
    kernel = vs_ops.winograd_kernel(weight)
    with pytest.raises(ShapeError, match=r"winograd_kernel.*\(4, 3, 1, 1\)"):
        vs_ops.winograd_kernel(weight[..., :1, :1])
    with pytest.raises(ShapeError, match=r"\(36, 3, 4\)"):
        vs_ops.winograd_conv2d(x[:, :2], kernel, bias)
    with pytest.raises(ShapeError, match="bias"):
        vs_ops.winograd_conv2d(x, kernel, bias[:2])
    with pytest.raises(DtypeError, match="bfloat16"):
        vs_ops.winograd_conv2d(x.bfloat16(), kernel, bias)
    with pytest.raises(DtypeError, match="kernel"):
        vs_ops.winograd_conv2d(x, kernel.double(), bias)
