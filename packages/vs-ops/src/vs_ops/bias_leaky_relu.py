"""The bias of a convolution and the leaky ReLU after it, as one operator."""

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from vs_ops._compiling import compiled, refuse_inductor
from vs_ops._precision import compute_dtype, without_autocast
from vs_ops._scripting import scripted
from vs_ops._triton import refuse_floats
from vs_ops.dispatch import DescribedCall, Implementation, Operator, select
from vs_ops.errors import DtypeError, ShapeError, VsOpsError

__all__ = ["BIAS_LEAKY_RELU", "bias_leaky_relu"]


def bias_leaky_relu(
    x: Float[Tensor, "n c *space"], bias: Float[Tensor, "c"], *, negative_slope: float = 0.2, impl: str = "auto"
) -> Float[Tensor, "n c *space"]:
    """Add a bias to every channel, then take the leaky ReLU.

    Args:
        x: features (N, C, ...).
        bias: (C,), of any floating dtype.
        negative_slope: slope of the leaky ReLU below zero; 0 is the ReLU.
        impl: which implementation to use.

    Arithmetic is float32 (float64 for float64 input), whatever autocast says; the result has the dtype and the memory
    format of `x`. Differentiable twice. At zero, where there is no derivative, it is the slope.

    Raises:
        ShapeError: `x` is not (N, C, ...) or bias is not (C,).
        DtypeError: `x` or bias is not of a floating dtype.
        VsOpsError: negative_slope is negative.
    """
    if x.dim() < 2 or bias.shape != x.shape[1:2]:
        raise ShapeError("bias_leaky_relu", "expected x (N, C, ...) and bias (C,)", x=x, bias=bias)
    for name, tensor in (("x", x), ("bias", bias)):
        if not tensor.is_floating_point():
            raise DtypeError("bias_leaky_relu", name, tensor.dtype, "of a floating dtype")
    if not negative_slope >= 0:
        raise VsOpsError("bias_leaky_relu", f"negative_slope must not be negative, got {negative_slope}")
    return select(BIAS_LEAKY_RELU, x, impl)(x, bias, negative_slope)  # type: ignore[no-any-return]


def _per_channel(bias: Tensor, x: Tensor) -> Tensor:
    """`bias` in the dtype of the computation, to be added to `x`."""
    return bias.to(compute_dtype(x)).view(-1, *(1,) * (x.dim() - 2))


def bias_leaky_relu_reference(x: Tensor, bias: Tensor, negative_slope: float) -> Tensor:
    """`bias_leaky_relu`, readable."""
    return F.leaky_relu(x.to(compute_dtype(x)) + _per_channel(bias, x), negative_slope).to(x.dtype)


def bias_leaky_relu_native(x: Tensor, bias: Tensor, negative_slope: float) -> Tensor:
    """`bias_leaky_relu` that keeps only its result, whose sign says on which side of zero the sum was.

    PyTorch's own operators do so too if they work in place. Between 16-bit tensors they keep a float32 result, which is
    more, but where there is little of it a function in Python takes longer.
    """
    if x.dtype is compute_dtype(x) or x.numel() <= _LITTLE:
        result = F.leaky_relu_(x + _per_channel(bias, x), negative_slope)
        return result if result.dtype is x.dtype else result.to(x.dtype)
    return _BiasLeakyReLU.apply(x, bias, negative_slope)  # type: ignore[no-any-return, no-untyped-call]


_LITTLE = 2**17


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


def _sum(x: Tensor, bias: Tensor) -> Tensor:
    """The sum, rounded once, in the dtype of `x`.

    What adds without a copy in float32 is the kernel of batch norm, for mean 0 and variance 1.
    """
    if x.device.type != "cpu" or x.dim() != 4 or not x.numel():
        return (x + _per_channel(bias, x)).to(x.dtype)
    zeros, ones = torch.tensor([[0.0], [1.0]]).expand(2, x.shape[1]).contiguous()
    return torch.native_batch_norm(x, ones, bias.to(ones.dtype), zeros, ones, False, 0.0, 0.0)[0]


def bias_leaky_relu_gradients(
    grad: Tensor, result: Tensor, negative_slope: float, bias_dtype: torch.dtype, wants_bias: bool
) -> tuple[Tensor, Tensor | None]:
    """The gradients in x and in the bias, from the result, differentiable in `grad`."""
    with without_autocast(grad):
        grad_x = torch.ops.aten.leaky_relu_backward(grad, result, negative_slope, True)
        if not wants_bias:
            return grad_x, None
        others = [axis for axis in range(grad_x.dim()) if axis != 1]
        return grad_x, grad_x.sum(others, dtype=compute_dtype(grad_x)).to(bias_dtype)


def _refuse_native(call: DescribedCall) -> str | None:
    if call.dtype not in (torch.float32, torch.float64, torch.bfloat16, torch.float16):
        return f"no kernel for {call.dtype}"
    return None


@scripted
def _scripted_bias_leaky_relu(x: Tensor, shift: Tensor, negative_slope: float) -> Tensor:
    return torch.nn.functional.leaky_relu(x.to(shift.dtype) + shift, negative_slope).to(x.dtype)


def bias_leaky_relu_torchscript(x: Tensor, bias: Tensor, negative_slope: float) -> Tensor:
    """`bias_leaky_relu`, scripted."""
    return _scripted_bias_leaky_relu(x, _per_channel(bias, x), float(negative_slope))  # type: ignore[no-any-return]


def bias_leaky_relu_triton(x: Tensor, bias: Tensor, negative_slope: float) -> Tensor:
    """`bias_leaky_relu` by Triton."""
    from vs_ops.triton.bias_leaky_relu import bias_leaky_relu

    return bias_leaky_relu(x, bias, negative_slope)  # type: ignore[no-any-return]


BIAS_LEAKY_RELU = Operator(
    name="bias_leaky_relu",
    implementations=(
        Implementation(name="native", function=bias_leaky_relu_native, refuse=_refuse_native),
        Implementation(name="reference", function=bias_leaky_relu_reference),
        Implementation(name="torchscript", function=bias_leaky_relu_torchscript),
        Implementation(name="inductor", function=compiled(bias_leaky_relu_reference), refuse=refuse_inductor),
        Implementation(name="triton", function=bias_leaky_relu_triton, refuse=refuse_floats, compilable=True),
    ),
)
