"""The convolution that divides its result: the numbers of one by a divided weight, and what it leaves undone."""

import pytest
import torch
import torch.nn.functional as F
import vs_ops
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from vs_ops import DtypeError, ShapeError

ORDERS = (torch.contiguous_format, torch.channels_last)


def layer(c_in: int, c_out: int, k: int, order: torch.memory_format) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(c_in + 10 * c_out)
    weight = torch.randn(c_out, c_in, k, k, generator=generator, dtype=torch.float64).to(memory_format=order)
    u, v = torch.randn(c_out, generator=generator).double(), torch.zeros(c_in * k * k).double()
    return weight, torch.randn(c_out, generator=generator).double(), *vs_ops.power_iteration(weight.flatten(1), u, v)


@settings(max_examples=25)
@given(
    st.integers(1, 3),
    st.integers(3, 20),
    st.integers(3, 20),
    st.sampled_from(((1, 1, 0), (3, 1, 1), (3, 2, 1), (4, 2, 2), (4, 1, 2))),
    st.sampled_from(ORDERS),
    st.sampled_from(ORDERS),
)
def test_it_is_the_convolution_by_the_divided_weight_with_all_gradients(
    n: int, h: int, w: int, conv: tuple[int, int, int], of_x: torch.memory_format, of_weight: torch.memory_format
) -> None:
    k, stride, padding = conv
    weight, bias, u, v = layer(4, 5, k, of_weight)
    x = torch.randn(n, 4, h, w, generator=torch.Generator().manual_seed(h * w)).double().to(memory_format=of_x)
    if min(h, w) + 2 * padding < k:
        return
    found = []
    for convolve in (
        lambda x, m, b: vs_ops.spectral_conv2d(x, m, b, u, v, stride=stride, padding=padding),
        lambda x, m, b: F.conv2d(x, m / (u @ (m.flatten(1) @ v)), b, stride, padding),
    ):
        leaves = [t.clone().requires_grad_() for t in (x, weight, bias)]
        y = convolve(*leaves)
        first = torch.autograd.grad(y.pow(3).sum(), leaves, create_graph=True)
        second = torch.autograd.grad(sum(g.square().sum() for g in first), leaves)
        plain = torch.autograd.grad(convolve(*leaves).pow(3).sum(), leaves)
        found.append((y, *first, *second, *plain))
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-8)
    assert found[0][0].is_contiguous(memory_format=of_x)
    assert found[0][-2].is_contiguous(memory_format=of_weight)


def test_only_gradients_that_are_needed_are_made() -> None:
    weight, bias, u, v = layer(4, 5, 3, torch.channels_last)
    x = torch.randn(1, 4, 6, 6).double().requires_grad_()
    vs_ops.spectral_conv2d(x, weight, bias, u, v, padding=1).sum().backward()
    assert x.grad is not None
    assert weight.grad is None
    of_weight = weight.requires_grad_()
    vs_ops.spectral_conv2d(x.detach(), of_weight, bias, u, v, padding=1).sum().backward()
    assert of_weight.grad is not None


def test_power_iterations_are_those_of_the_division() -> None:
    weights, biases, us, vs = zip(layer(3, 4, 3, torch.channels_last), layer(6, 2, 1, ORDERS[0]), strict=True)
    del biases
    for iterations in (0, 1, 3):
        iterated = vs_ops.power_iterations(weights, us, vs, iterations=iterations)
        divided = vs_ops.spectral_normalize_all(weights, us, vs, iterations=iterations)
        for ours, theirs in zip((*iterated.us, *iterated.vs), (*divided.us, *divided.vs), strict=True):
            assert torch.equal(ours, theirs)
        for weight, sigma, normalised in zip(weights, iterated.sigmas, divided.weights, strict=True):
            torch.testing.assert_close(weight / sigma, normalised)


def test_vectors_may_be_overwritten_before_the_backward_pass() -> None:
    grads = []
    for spoiled in (False, True):
        weight, bias, u, v = layer(4, 5, 3, torch.contiguous_format)
        weight.requires_grad_()
        y = vs_ops.spectral_conv2d(torch.ones(1, 4, 5, 5).double(), weight, bias, u, v, padding=1)
        if spoiled:
            u.zero_()
            v.zero_()
        y.square().sum().backward()
        grads.append(weight.grad)
    assert torch.equal(*grads)


def test_under_autocast_it_is_autocasts_convolution() -> None:
    weight, bias, u, v = (t.float() for t in layer(4, 5, 3, torch.channels_last))
    with torch.autocast("cpu", torch.bfloat16):
        assert vs_ops.spectral_conv2d(torch.ones(1, 4, 5, 5), weight, bias, u, v, padding=1).dtype is torch.bfloat16


def test_wrong_arguments_are_refused_with_their_shapes() -> None:
    weight, bias, u, v = layer(4, 5, 3, torch.contiguous_format)
    x = torch.ones(1, 4, 5, 5).double()
    for wrong in (
        lambda: vs_ops.spectral_conv2d(x[:, :3], weight, bias, u, v),
        lambda: vs_ops.spectral_conv2d(x, weight, bias[:2], u, v),
        lambda: vs_ops.spectral_conv2d(x, weight, bias, u, v[:2]),
        lambda: vs_ops.spectral_conv2d(x[..., :2], weight, bias, u, v),
        lambda: vs_ops.power_iterations([weight], [u], [v[:2]]),
    ):
        with pytest.raises(ShapeError, match=r"\(\d"):
            wrong()
    with pytest.raises(DtypeError, match="float32"):
        vs_ops.spectral_conv2d(x, weight.float(), bias, u, v)
