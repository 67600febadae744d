"""What holds of the operators that only read and write: activations, the loss of masks, averages of weights."""

import math

import pytest
import torch
import vs_ops
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from vs_ops import GELU

CL = torch.channels_last
quick = settings(max_examples=25, deadline=None)
seeds = st.integers(0, 2**31 - 1)
floats = pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)


def noise(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def each_of(operator: vs_ops.Operator) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("impl", [each.name for each in operator.implementations])


@each_of(GELU)
@floats
def test_gelu_rounds_once(impl: str, dtype: torch.dtype) -> None:
    """Every value that 16 bits tell apart between -8 and 8, and as many float32 values."""
    x = torch.linspace(-8, 8, 2**16).to(dtype)
    exact = torch.tensor([0.5 * value * math.erfc(-value / math.sqrt(2)) for value in x.tolist()], dtype=torch.float64)
    result = vs_ops.gelu(x, impl=impl)
    assert result.dtype is dtype
    # Half a unit in the last place of the result; 1 + erf costs float32 rounding errors of x where erf is near -1.
    allowed = 0.51 * torch.finfo(dtype).eps * exact.abs() + 4 * torch.finfo(torch.float32).eps * x.double().abs()
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


@each_of(GELU)
def test_gelu_can_be_differentiated_twice(impl: str) -> None:
    x = noise(1, 7).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: vs_ops.gelu(x, impl=impl), (x,))
    assert torch.autograd.gradgradcheck(lambda x: vs_ops.gelu(x, impl=impl), (x,))
