"""`spade` in few compiled passes, with a backward of its own."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from vs_ops._compiling import fused
from vs_ops._layout import is_channels_last, memory_format_of
from vs_ops.inductor.instance_norm import measured, plane_sum


def spade_inductor(
    x: Tensor, gamma_betas: Sequence[Tensor], eps: float, negative_slope: float | None, upsample: bool
) -> Tensor:
    """Compute `spade` in three compiled passes over the data, and two backward, that keep only their arguments."""
    return _spade(x, eps, negative_slope, upsample, *gamma_betas)


class _Fused(torch.autograd.Function):
    """A node that keeps only its arguments.

    Left to itself, autograd keeps what every map returns, in float32, and Inductor copies the maps' gradients.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, eps: float, negative_slope: float | None, upsample: bool, *gamma_betas: Tensor
    ) -> Tensor:
        result, mean, scale = _fused_forward(x, *gamma_betas, eps=eps, negative_slope=negative_slope, upsample=upsample)
        ctx.save_for_backward(x, mean, scale, *gamma_betas)
        ctx.negative_slope, ctx.upsample = negative_slope, upsample
        return result

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, *others = ctx.saved_tensors
        grad = grad.contiguous(memory_format=memory_format_of(x))
        grad_x, *grads = _fused_backward(grad, x, *others, negative_slope=ctx.negative_slope, upsample=ctx.upsample)
        return grad_x, None, None, None, *grads


_spade: Callable[..., Tensor] = _Fused.apply


@fused
def _fused_forward(
    x: Tensor, *gamma_betas: Tensor, eps: float, negative_slope: float | None, upsample: bool
) -> tuple[Tensor, Tensor, Tensor]:
    result, mean, scale = measured(x, eps)
    result = _modulated(_repeated(result) if upsample else result, gamma_betas)[-1]
    if negative_slope is not None:
        result = torch.where(result > 0, result, negative_slope * result)
    return result.to(x.dtype), mean, scale


@fused
def _fused_backward(
    grad: Tensor,
    x: Tensor,
    mean: Tensor,
    scale: Tensor,
    *gamma_betas: Tensor,
    negative_slope: float | None,
    upsample: bool,
) -> tuple[Tensor, ...]:
    """Compute everything again from `x` and the maps: reading them once more costs less than keeping more."""
    normal = (x.to(mean.dtype) - mean) * scale
    steps = _modulated(_repeated(normal) if upsample else normal, gamma_betas)
    wide = grad.to(mean.dtype)
    if negative_slope is not None:
        wide = torch.where(steps[-1] > 0, wide, negative_slope * wide)
    grads = []
    for step, gamma_beta in zip(reversed(steps[:-1]), reversed(gamma_betas), strict=True):
        # Rounded before they are put together, or Inductor puts them together in float32 first.
        grads.append(torch.cat(((wide * step).to(gamma_beta.dtype), wide.to(gamma_beta.dtype)), dim=1))
        wide = wide * (1 + gamma_beta.chunk(2, dim=1)[0].to(wide.dtype))
    if upsample:
        wide = wide.unflatten(3, (-1, 2)).sum(4).unflatten(2, (-1, 2)).sum(3)
    mean_scale = scale * (1 / x[0, 0].numel())
    through_mean, through_scale = (plane_sum(each) * mean_scale for each in (wide, wide * normal))
    return (wide * scale - through_mean - normal * through_scale).to(x.dtype), *grads[::-1]


def _modulated(result: Tensor, gamma_betas: Sequence[Tensor]) -> list[Tensor]:
    """Return `result` and what it becomes by every map, in the dtype of `result`."""
    steps = [result]
    for gamma_beta in gamma_betas:
        gamma, beta = gamma_beta.to(result.dtype).chunk(2, dim=1)
        steps.append(steps[-1] * (1 + gamma) + beta)
    return steps


def _repeated(x: Tensor) -> Tensor:
    """Return every pixel four times, as a view of what the compiler reads where it is, in the memory format of `x`."""
    n, c, h, w = x.shape
    if is_channels_last(x):
        pixels = x.permute(0, 2, 3, 1)[:, :, None, :, None].expand(n, h, 2, w, 2, c)
        return pixels.reshape(n, 2 * h, 2 * w, c).permute(0, 3, 1, 2)
    return x[:, :, :, None, :, None].expand(n, c, h, 2, w, 2).reshape(n, c, 2 * h, 2 * w)
