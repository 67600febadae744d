"""The convolution as a product of matrices: against PyTorch's own, at any size, stride and order of memory."""

import pytest
import torch
import torch.nn.functional as F
import vs_ops
from hypothesis import given, settings
from hypothesis import strategies as st
from vs_ops import DtypeError, ShapeError

ORDERS = st.sampled_from([torch.contiguous_format, torch.channels_last])


@settings(max_examples=25)
@given(
    st.tuples(st.integers(0, 3), st.integers(1, 5), st.integers(1, 9), st.integers(1, 9)),
    st.integers(1, 5),
    st.integers(1, 4),
    st.integers(1, 3),
    st.integers(0, 2),
    st.tuples(ORDERS, ORDERS),
)
def test_it_is_the_convolution(
    size: tuple[int, ...],
    c_out: int,
    k: int,
    stride: int,
    padding: int,
    orders: tuple[torch.memory_format, torch.memory_format],
) -> None:
    generator = torch.Generator().manual_seed(sum(size))
    x = torch.randn(size, generator=generator, dtype=torch.float64).to(memory_format=orders[0])
    weight = torch.randn(c_out, size[1], k, k, generator=generator, dtype=torch.float64).to(memory_format=orders[1])
    bias = torch.randn(c_out, generator=generator, dtype=torch.float64)
    if min(size[2:]) + 2 * padding < k:
        with pytest.raises(ShapeError, match="larger than x"):
            vs_ops.product_conv2d(x, weight, bias, stride=stride, padding=padding)
        return
    leaves = tuple(tensor.requires_grad_() for tensor in (x, weight, bias))
    ours, theirs = vs_ops.product_conv2d(*leaves, stride=stride, padding=padding), F.conv2d(*leaves, stride, padding)
    torch.testing.assert_close(ours, theirs)
    assert ours.is_contiguous(memory_format=torch.channels_last)
    gradients = (torch.autograd.grad(made.square().sum(), leaves) for made in (ours, theirs))
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other)


def test_wrong_arguments_are_refused_with_their_shapes() -> None:
    x, weight, bias = torch.zeros(1, 3, 4, 4), torch.zeros(5, 3, 3, 3), torch.zeros(5)
    with pytest.raises(ShapeError, match=r"\(5, 2, 3, 3\)"):
        vs_ops.product_conv2d(x, weight[:, :2], bias)
    with pytest.raises(ShapeError, match="bias"):
        vs_ops.product_conv2d(x, weight, bias[:4])
    with pytest.raises(DtypeError, match="float64"):
        vs_ops.product_conv2d(x, weight.double(), bias)
    with pytest.raises(DtypeError, match="float16"):
        vs_ops.product_conv2d(x.half(), weight.half(), bias.half())
