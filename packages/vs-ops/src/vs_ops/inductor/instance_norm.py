"""`instance_norm` in few compiled passes, with a backward of its own."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from vs_ops._compiling import fused
from vs_ops._layout import laid_out_as, per_channel
from vs_ops._precision import compute_dtype

_PIXELS_SUMMED_AT_ONCE = 2**14
"""Pixels of a plane that lies together up to which one sum keeps the digits that float32 has for them."""


def instance_norm_inductor(x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float) -> Tensor:
    """Compute `instance_norm` in two compiled passes over the data, and three backward."""
    return _instance_norm(x, weight, bias, eps)


class _Fused(torch.autograd.Function):
    """A node that keeps one tensor, `x`, where autograd would keep the normalised one in float32 too."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float) -> Tensor:
        result, mean, scale = _fused_forward(x, weight, bias, eps=eps)
        ctx.save_for_backward(x, weight, bias, mean, scale)
        return result

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None, None]:
        x, *others = ctx.saved_tensors
        return (*_fused_backward(laid_out_as(grad, x), x, *others), None)


_instance_norm: Callable[[Tensor, Tensor | None, Tensor | None, float], Tensor] = _Fused.apply


@fused
def _fused_forward(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, *, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    result, mean, scale = measured(x, eps)
    if weight is not None:
        result = result * per_channel(weight.to(result.dtype), result)
    if bias is not None:
        result = result + per_channel(bias.to(result.dtype), result)
    return result.to(x.dtype), mean, scale


@fused
def _fused_backward(
    grad: Tensor, x: Tensor, weight: Tensor | None, bias: Tensor | None, mean: Tensor, scale: Tensor
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    wide = grad.to(mean.dtype)
    result = (x.to(mean.dtype) - mean) * scale
    grad_sum, product_sum = plane_sum(wide), plane_sum(wide * result)
    factor = scale if weight is None else scale * per_channel(weight.to(wide.dtype), wide)
    mean_factor = factor * (1 / x[0, 0].numel())
    grad_x = wide * factor - grad_sum * mean_factor - result * (product_sum * mean_factor)
    grad_weight = None if weight is None else product_sum.sum(0).flatten().to(weight.dtype)
    grad_bias = None if bias is None else grad_sum.sum(0).flatten().to(bias.dtype)
    return grad_x.to(x.dtype), grad_weight, grad_bias


def measured(x: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return `x` normalised, its mean and 1 / deviation (N, C, 1, ...): `normalized` as Inductor compiles it best."""
    wide, pixels = x.to(compute_dtype(x)), x[0, 0].numel()
    mean = plane_sum(wide) / pixels
    centred = wide - mean
    scale = torch.rsqrt(plane_sum(centred.square()) / pixels + eps)
    return centred * scale, mean, scale


def plane_sum(x: Tensor) -> Tensor:
    """Return sums over space (N, C, 1, ...).

    Rows are summed first and then their sums, which keeps digits, and all threads busy in channels-last. Planes that
    lie together are summed at once if they are small, with an accumulator for every lane of a vector.
    """
    space = tuple(range(2, x.dim()))
    if x.is_contiguous() and x[0, 0].numel() <= _PIXELS_SUMMED_AT_ONCE:
        return x.sum(space, keepdim=True)
    rows = x.sum(-1, keepdim=True)
    return rows if len(space) == 1 else rows.sum(space[:-1], keepdim=True)
