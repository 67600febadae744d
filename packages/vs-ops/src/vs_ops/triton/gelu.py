"""GELU by Triton: one read and one write, backward too, in whatever order the elements lie in memory."""

import math
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from vs_ops._layout import dense
from vs_ops._precision import compute_dtype
from vs_ops.reference.gelu import gelu_reference
from vs_ops.triton._launch import blocks, differentiable, element_of, like, on_device_of, power_of_two
from vs_ops.triton._registration import registered

_BLOCK = 1024
_CONSTANTS = {"root": math.sqrt(0.5), "density": 1 / math.sqrt(2 * math.pi)}


@triton.jit
def _forward(
    x: tl.tensor,
    result: tl.tensor,
    numel: tl.tensor,
    root: tl.constexpr,
    dtype: tl.constexpr,
    block: tl.constexpr,
) -> None:
    """Compute one block per program."""
    offsets = tl.program_id(0) * block + tl.arange(0, block)
    inside = offsets < numel
    value = tl.load(x + offsets, mask=inside, other=0.0).to(dtype)
    value = value * 0.5 * (1.0 + tl.erf(value * root))
    tl.store(result + offsets, value.to(result.dtype.element_ty), mask=inside)


@triton.jit
def _backward(
    grad: tl.tensor,
    x: tl.tensor,
    grad_x: tl.tensor,
    numel: tl.tensor,
    root: tl.constexpr,
    density: tl.constexpr,
    dtype: tl.constexpr,
    block: tl.constexpr,
) -> None:
    """Multiply by the slope: the normal distribution's mass below x, and x times its density there."""
    offsets = tl.program_id(0) * block + tl.arange(0, block)
    inside = offsets < numel
    value = tl.load(x + offsets, mask=inside, other=0.0).to(dtype)
    slope = 0.5 * (1.0 + tl.erf(value * root)) + value * density * tl.exp(-0.5 * value * value)
    slope *= tl.load(grad + offsets, mask=inside, other=0.0).to(dtype)
    tl.store(grad_x + offsets, slope.to(grad_x.dtype.element_ty), mask=inside)


@registered("vs_ops::gelu")
def gelu_triton(x: Tensor) -> Tensor:
    """Compute `vs_ops.gelu`, in the dtype and memory format of `x`."""
    x = dense(x)
    result = torch.empty_like(x)
    numel, block = x.numel(), power_of_two(x.numel(), _BLOCK)
    with on_device_of(x):
        _forward[(blocks(numel, block),)](
            x, result, numel, root=_CONSTANTS["root"], dtype=element_of(compute_dtype(x)), block=block
        )
    return result


@gelu_triton.register_fake
def _(x: Tensor) -> Tensor:
    return torch.empty_like(dense(x))


@registered("vs_ops::gelu_backward")
def gelu_backward(grad: Tensor, x: Tensor) -> Tensor:
    """Return the gradient in `x`, in its dtype and memory format."""
    x = dense(x)
    grad_x = torch.empty_like(x)
    numel, block = x.numel(), power_of_two(x.numel(), _BLOCK)
    with on_device_of(x):
        _backward[(blocks(numel, block),)](
            *(like(grad, x), x, grad_x, numel), **_CONSTANTS, dtype=element_of(compute_dtype(x)), block=block
        )
    return grad_x


@gelu_backward.register_fake
def _(grad: Tensor, x: Tensor) -> Tensor:
    return torch.empty_like(dense(x))


def _remember(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _gradient(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    (x,) = ctx.saved_tensors
    if torch.is_grad_enabled():
        return differentiable(gelu_reference, (x,), (grad,), (True,))
    return (gelu_backward(grad, x),)


gelu_triton.register_autograd(_gradient, setup_context=_remember)
