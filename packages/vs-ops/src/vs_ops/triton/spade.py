"""SPADE by Triton: two kernels forward, two backward, whatever the number of modulations (see `_norm_kernels`)."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from vs_ops._layout import dense
from vs_ops._precision import compute_dtype
from vs_ops.reference.spade import spade_reference
from vs_ops.triton import _norm
from vs_ops.triton._launch import differentiable, like, spread
from vs_ops.triton._registration import registered


@registered("vs_ops::spade")
def spade(
    x: Tensor, gamma_betas: Sequence[Tensor], eps: float, negative_slope: float | None, upsample: bool
) -> tuple[Tensor, Tensor]:
    """Return the result, and mean and 1 / deviation of every plane (2, N * C) for the backward; at most three maps."""
    x = dense(x)
    return _norm.forward(x, None, None, [like(each, x) for each in gamma_betas], eps, negative_slope, upsample)


@spade.register_fake
def _(
    x: Tensor, gamma_betas: Sequence[Tensor], eps: float, negative_slope: float | None, upsample: bool
) -> tuple[Tensor, Tensor]:
    return _norm.result_of(dense(x), upsample), _norm.statistics_of(x)


@registered("vs_ops::spade_backward")
def spade_backward(
    grad: Tensor,
    x: Tensor,
    gamma_betas: Sequence[Tensor],
    statistics: Tensor,
    negative_slope: float | None,
    upsample: bool,
    wants_map: Sequence[bool],
) -> list[Tensor]:
    """Return the gradients in x and in the wanted maps, in their dtypes and in the memory format of `x`."""
    x = dense(x)
    maps = [like(each, x) for each in gamma_betas]
    grad = like(grad, x)
    grad_x, grad_maps, _ = _norm.backward(grad, x, None, maps, statistics, negative_slope, upsample, wants_map)
    return [grad_x, *(each for each in grad_maps if each is not None)]


@spade_backward.register_fake
def _(
    grad: Tensor,
    x: Tensor,
    gamma_betas: Sequence[Tensor],
    statistics: Tensor,
    negative_slope: float | None,
    upsample: bool,
    wants_map: Sequence[bool],
) -> list[Tensor]:
    x = dense(x)
    wanted = [each for each, want in zip(gamma_betas, wants_map, strict=True) if want]
    return [torch.empty_like(x), *(torch.empty_like(like(each, x)) for each in wanted)]


def _remember(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    x, gamma_betas, *ctx.rest = inputs
    ctx.save_for_backward(x, output[1], *gamma_betas)
    ctx.mark_non_differentiable(output[1])
    ctx.set_materialize_grads(False)  # what has no gradient gets no zeros


def _gradient(ctx: Any, grad: Tensor | None, _: None) -> tuple[Any, ...]:
    x, statistics, *maps = ctx.saved_tensors
    wants_x, wants_map = ctx.needs_input_grad[:2]
    if grad is None:
        return None, [None] * len(maps), None, None, None
    if torch.is_grad_enabled():

        def reference(features: Tensor, *gamma_betas: Tensor) -> Tensor:
            return spade_reference(features, gamma_betas, *ctx.rest)

        of_x, *of_maps = differentiable(reference, (x, *maps), (grad,), (wants_x, *wants_map))
        return of_x, of_maps, None, None, None
    _, slope, upsample = ctx.rest
    grad_x, *grad_maps = spade_backward(grad, x, maps, statistics, slope, upsample, wants_map)
    return grad_x, list(spread(grad_maps, wants_map)), None, None, None


spade.register_autograd(_gradient, setup_context=_remember)


def spade_triton(
    x: Tensor, gamma_betas: Sequence[Tensor], eps: float, negative_slope: float | None, upsample: bool
) -> Tensor:
    """Compute `vs_ops.spade`.

    One pass takes three maps. Further ones become one with the third: y -> (y (1 + g) + b) (1 + h) + c is a modulation
    by gamma = (1 + g) (1 + h) - 1 and beta = b (1 + h) + c, computed by PyTorch in the dtype of the statistics.
    """
    maps, dtype = list(gamma_betas), compute_dtype(x)
    while len(maps) > _norm.MAX_MAPS:
        (gamma, beta), (next_gamma, next_beta) = (each.to(dtype).chunk(2, dim=1) for each in maps[-2:])
        both = torch.cat((gamma + next_gamma + gamma * next_gamma, beta + beta * next_gamma + next_beta), dim=1)
        maps[-2:] = [both]
    slope = None if negative_slope is None else float(negative_slope)
    return spade(x, maps, float(eps), slope, upsample)[0]
