"""`bias_leaky_relu` that keeps only its result, whose sign says on which side of zero the sum was."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from vs_ops._layout import per_channel
from vs_ops._precision import compute_dtype, without_autocast

_CALL_BOUND_ELEMENTS = 2**17
"""Up to so many elements, calling a function in Python for the gradient costs more than what it spares."""


def bias_leaky_relu_native(x: Tensor, bias: Tensor, negative_slope: float) -> Tensor:
    """Compute `bias_leaky_relu` such that nothing but the result is kept.

    PyTorch's own operators do so too if they work in place. Between 16-bit tensors they keep a float32 result, which is
    more, but where there are few elements a function in Python takes longer.
    """
    dtype = compute_dtype(x)
    if x.dtype is dtype or x.numel() <= _CALL_BOUND_ELEMENTS:
        result = F.leaky_relu_(x + per_channel(bias.to(dtype), x), negative_slope)
        return result if result.dtype is x.dtype else result.to(x.dtype)
    return _bias_leaky_relu(x, bias, negative_slope)


class _BiasLeakyReLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, bias: Tensor, negative_slope: float) -> Tensor:
        result = F.leaky_relu_(_sum(x, bias), negative_slope)
        ctx.save_for_backward(result)
        ctx.negative_slope, ctx.bias_dtype = negative_slope, bias.dtype
        return result

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        (result,) = ctx.saved_tensors
        wants_bias = ctx.needs_input_grad[1]
        return *bias_leaky_relu_gradients(grad, result, ctx.negative_slope, ctx.bias_dtype, wants_bias), None


_bias_leaky_relu: Callable[[Tensor, Tensor, float], Tensor] = _BiasLeakyReLU.apply


def _sum(x: Tensor, bias: Tensor) -> Tensor:
    """Return the sum, rounded once, in the dtype of `x`.

    What adds without a copy in float32 is the kernel of batch norm, for mean 0 and variance 1.
    """
    if x.device.type != "cpu" or x.dim() != 4 or not x.numel():
        return (x + per_channel(bias.to(compute_dtype(x)), x)).to(x.dtype)
    zeros, ones = torch.tensor([[0.0], [1.0]]).expand(2, x.shape[1]).contiguous()
    return torch.native_batch_norm(x, ones, bias.to(ones.dtype), zeros, ones, False, 0.0, 0.0)[0]


def bias_leaky_relu_gradients(
    grad: Tensor, result: Tensor, negative_slope: float, bias_dtype: torch.dtype, wants_bias: bool
) -> tuple[Tensor, Tensor | None]:
    """Return the gradients in x and in the bias, from the result, differentiable in `grad`."""
    with without_autocast(grad):
        grad_x = torch.ops.aten.leaky_relu_backward(grad, result, negative_slope, True)
        if not wants_bias:
            return grad_x, None
        others = [axis for axis in range(grad_x.dim()) if axis != 1]
        return grad_x, grad_x.sum(others, dtype=compute_dtype(grad_x)).to(bias_dtype)
