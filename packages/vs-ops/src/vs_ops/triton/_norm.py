"""Launching the kernels of instance norm and of SPADE: how planes are cut, and which strides they have."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from attrs import frozen
from torch import Tensor

from vs_ops._precision import compute_dtype, is_channels_last, memory_format_of
from vs_ops.triton._launch import FULL_GPU, accumulator, blocks, on_device_of, power_of_two, strides, tile
from vs_ops.triton._norm_kernels import grad_x, moments, normalise, sums

__all__ = ["MOST_MAPS", "backward", "forward", "of_planes", "result_of"]

MOST_MAPS = 3
"""Modulations that one pass takes."""

_ELEMENTS = 1024
_MOST_PIECES = 64


@frozen(kw_only=True)
class _Plan:
    """How the planes of x are cut: tiles of channels x pixels, and pieces of a whole number of tiles."""

    samples: int
    channels: int
    pixels: int
    block_c: int
    block_l: int
    piece: int

    @property
    def pieces(self) -> int:
        return blocks(self.pixels, self.piece)

    @property
    def of_pieces(self) -> tuple[int, int, int]:
        """The grid of the reductions."""
        return self.pieces, blocks(self.channels, self.block_c), self.samples

    @property
    def of_tiles(self) -> tuple[int, int, int]:
        """The grid of what is done pixel by pixel."""
        return blocks(self.pixels, self.block_l), blocks(self.channels, self.block_c), self.samples


def _plan(x: Tensor) -> _Plan:
    samples, channels = x.shape[:2]
    pixels = x[0, 0].numel()
    block_c, block_l = tile(x, _ELEMENTS)
    runs, tiles = samples * blocks(channels, block_c), blocks(pixels, block_l)
    pieces = min(max(FULL_GPU // runs, 1), tiles, _MOST_PIECES)
    return _Plan(
        samples=samples,
        channels=channels,
        pixels=pixels,
        block_c=block_c,
        block_l=block_l,
        piece=blocks(tiles, pieces) * block_l,
    )


def result_of(x: Tensor, upsample: bool) -> Tensor:
    """An empty tensor for the result: the dtype and memory format of `x`, but twice its size with `upsample`."""
    if not upsample:
        return torch.empty_like(x)
    samples, channels, height, width = x.shape
    shape = samples, channels, 2 * height, 2 * width
    return torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=memory_format_of(x))


def _all_strides(x: Tensor, result: Tensor) -> tuple[int, ...]:
    """Of x, of the result, and of maps, which have twice its channels and its memory format."""
    of_sample, of_channel, of_pixel = strides(result)
    together = of_channel == 1 and is_channels_last(result)
    of_map = 2 * of_sample, of_channel, 2 * of_pixel if together else of_pixel
    return *strides(x), of_sample, of_channel, of_pixel, *of_map


def _three(maps: Sequence[Tensor | None]) -> list[Tensor | None]:
    return [*maps, *[None] * (MOST_MAPS - len(maps))]


def forward(
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    maps: Sequence[Tensor],
    eps: float,
    slope: float | None,
    upsample: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Result, mean (N * C,) and 1 / deviation (N * C,); `x` is dense, at most three maps have its memory format."""
    result, dtype = result_of(x, upsample), compute_dtype(x)
    plan, result_plan = _plan(x), _plan(result)
    planes = plan.samples * plan.channels
    means, deviations = torch.empty(2, planes * plan.pieces, dtype=dtype, device=x.device)
    mean, scale = (torch.empty(planes, dtype=dtype, device=x.device) for _ in range(2))
    shape = plan.channels, plan.pixels, plan.piece
    accumulate = accumulator(dtype)
    with on_device_of(x):
        moments[plan.of_pieces](
            *(x, means, deviations, *shape, *strides(x)),
            dtype=accumulate,
            block_c=plan.block_c,
            block_l=plan.block_l,
        )
        normalise[result_plan.of_tiles](
            *(x, weight, bias, *_three(maps), means, deviations, result, mean, scale),
            *(*shape, plan.pieces, result_plan.pixels, x.shape[-1], *_all_strides(x, result)),
            eps=eps,
            slope=slope,
            upsample=upsample,
            dtype=accumulate,
            block_s=power_of_two(plan.pieces, _MOST_PIECES),
            block_c=result_plan.block_c,
            block_l=result_plan.block_l,
        )
    return result, mean, scale


def of_planes(x: Tensor) -> tuple[Tensor, Tensor]:
    """Two tensors that look like mean and 1 / deviation in `forward`."""
    planes, dtype = x.shape[0] * x.shape[1], compute_dtype(x)
    return x.new_empty(planes, dtype=dtype), x.new_empty(planes, dtype=dtype)


def backward(
    grad: Tensor,
    x: Tensor,
    weight: Tensor | None,
    maps: Sequence[Tensor],
    mean: Tensor,
    scale: Tensor,
    slope: float | None,
    upsample: bool,
    wants_map: Sequence[bool],
) -> tuple[Tensor, list[Tensor | None], Tensor]:
    """Gradient of x, of the wanted maps, and (2, N, C) sums of g and g * y: the gradients of bias and of weight."""
    plan, grad_plan = _plan(x), _plan(grad)
    dtype = compute_dtype(x)
    partial = torch.empty(2, plan.samples, plan.channels, grad_plan.pieces, dtype=dtype, device=x.device)
    result = torch.empty_like(x)
    grad_maps = [torch.empty_like(each) if want else None for each, want in zip(maps, wants_map, strict=True)]
    layout = x.shape[-1], *_all_strides(x, grad)
    choices = {"slope": slope, "upsample": upsample, "dtype": accumulator(dtype)}
    with on_device_of(x):
        sums[grad_plan.of_pieces](
            *(grad, x, *_three(maps), mean, scale, *_three(grad_maps), partial[0], partial[1]),
            *(plan.channels, grad_plan.pixels, grad_plan.piece, *layout),
            block_c=grad_plan.block_c,
            block_l=grad_plan.block_l,
            **choices,
        )
        grad_x[plan.of_tiles](
            *(grad, x, weight, *_three(maps), mean, scale, partial[0], partial[1], result),
            *(plan.channels, plan.pixels, grad_plan.pieces, *layout),
            block_s=power_of_two(grad_plan.pieces, _MOST_PIECES),
            block_c=plan.block_c,
            block_l=plan.block_l,
            **choices,
        )
    return result, grad_maps, partial.sum(3)
