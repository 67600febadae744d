"""Launching the kernels of instance norm and of SPADE: how planes are cut, and which strides they have.

A launch takes more of the host's time than these kernels take on the device, for all but the largest images: so what
follows from a shape is computed once, and little is allocated.
"""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from vs_ops._layout import is_channels_last, memory_format_of
from vs_ops._precision import compute_dtype
from vs_ops.triton._launch import FULL_GPU, blocks, element_of, on_device_of, power_of_two, strides_of, tile_of
from vs_ops.triton._norm_kernels import grad_x, moments, normalise, sums

MAX_MAPS = 3
"""Modulations that one pass takes."""

_ELEMENTS = 1024
_MAX_PIECES = 64
_SHAPES = 1024
"""So many shapes are remembered: some fifty a network."""


class _Plan(NamedTuple):
    """A way to cut the planes of x: tiles of channels x pixels, and pieces of a whole number of tiles."""

    pixels: int
    block_c: int
    block_l: int
    piece: int
    pieces: int
    piece_grid: tuple[int, int, int]
    """The grid of the reductions."""
    tile_grid: tuple[int, int, int]
    """The grid of what is done pixel by pixel."""
    strides: tuple[int, int, int]


@functools.lru_cache(maxsize=_SHAPES)
def _plan_of(shape: torch.Size, channels_last: bool) -> _Plan:
    """Return the plan of a dense tensor."""
    samples, channels = shape[:2]
    pixels = shape[2:].numel()
    block_c, block_l = tile_of(channels, pixels, channels_last, _ELEMENTS)
    runs, tiles = blocks(channels, block_c), blocks(pixels, block_l)
    piece = blocks(tiles, min(max(FULL_GPU // (samples * runs), 1), tiles, _MAX_PIECES)) * block_l
    pieces = blocks(pixels, piece)
    return _Plan(
        pixels=pixels,
        block_c=block_c,
        block_l=block_l,
        piece=piece,
        pieces=pieces,
        piece_grid=(pieces, runs, samples),
        tile_grid=(tiles, runs, samples),
        strides=strides_of(channels, pixels, channels_last),
    )


def _plan(x: Tensor) -> _Plan:
    return _plan_of(x.shape, is_channels_last(x))


def result_of(x: Tensor, upsample: bool) -> Tensor:
    """Return an empty tensor for the result: the dtype and memory format of `x`, but twice its size with `upsample`."""
    if not upsample:
        return torch.empty_like(x)
    samples, channels, height, width = x.shape
    shape = samples, channels, 2 * height, 2 * width
    return torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=memory_format_of(x))


@functools.lru_cache(maxsize=_SHAPES)
def _all_strides(plan: _Plan, result: _Plan, channels_last: bool) -> tuple[int, ...]:
    """Return those of x, of the result, and of maps, which have twice its channels and its memory format."""
    stride_n, stride_c, stride_p = result.strides
    return *plan.strides, *result.strides, 2 * stride_n, stride_c, 2 * stride_p if channels_last else stride_p


def _three(maps: Sequence[Tensor | None]) -> list[Tensor | None]:
    return [*maps, *[None] * (MAX_MAPS - len(maps))]


def forward(
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    maps: Sequence[Tensor],
    eps: float,
    slope: float | None,
    upsample: bool,
) -> tuple[Tensor, Tensor]:
    """Return the result, and mean and 1 / deviation (2, N * C); `x` is dense, and up to three maps lie like it."""
    result, statistics = result_of(x, upsample), statistics_of(x)
    plan = _plan(x)
    result_plan = _plan(result) if upsample else plan
    piece_moments = statistics.new_empty(2 * plan.pieces * statistics.shape[1])
    channels, accumulate = x.shape[1], element_of(statistics.dtype)
    with on_device_of(x):
        moments[plan.piece_grid](
            *(x, piece_moments, channels, plan.pixels, plan.piece, *plan.strides),
            dtype=accumulate,
            block_c=plan.block_c,
            block_l=plan.block_l,
        )
        normalise[result_plan.tile_grid](
            *(x, weight, bias, *_three(maps), piece_moments, result, statistics),
            *(channels, plan.pixels, plan.piece, plan.pieces, result_plan.pixels, x.shape[-1]),
            *_all_strides(plan, result_plan, is_channels_last(x)),
            eps=eps,
            slope=slope,
            upsample=upsample,
            dtype=accumulate,
            block_s=power_of_two(plan.pieces, _MAX_PIECES),
            block_c=result_plan.block_c,
            block_l=result_plan.block_l,
        )
    return result, statistics


def statistics_of(x: Tensor) -> Tensor:
    """Return an empty tensor for mean and 1 / deviation of every plane, (2, N * C)."""
    return x.new_empty((2, x.shape[0] * x.shape[1]), dtype=compute_dtype(x))


def backward(
    grad: Tensor,
    x: Tensor,
    weight: Tensor | None,
    maps: Sequence[Tensor],
    statistics: Tensor,
    slope: float | None,
    upsample: bool,
    wants_map: Sequence[bool],
) -> tuple[Tensor, list[Tensor | None], Tensor]:
    """Return the gradient of x, of the wanted maps, and sums (2, N, C, pieces) of g and g * y.

    Those are the gradients of bias and weight: what the sums of all samples and all pieces add up to.
    """
    plan = _plan(x)
    grad_plan = _plan(grad) if upsample else plan
    samples, channels = x.shape[:2]
    piece_sums = statistics.new_empty((2, samples, channels, grad_plan.pieces))
    result = torch.empty_like(x)
    grad_maps = [torch.empty_like(each) if want else None for each, want in zip(maps, wants_map, strict=True)]
    layout = x.shape[-1], *_all_strides(plan, grad_plan, is_channels_last(x))
    choices = {"slope": slope, "upsample": upsample, "dtype": element_of(statistics.dtype)}
    with on_device_of(x):
        sums[grad_plan.piece_grid](
            *(grad, x, *_three(maps), statistics, *_three(grad_maps), piece_sums),
            *(channels, grad_plan.pixels, grad_plan.piece, *layout),
            block_c=grad_plan.block_c,
            block_l=grad_plan.block_l,
            **choices,
        )
        grad_x[plan.tile_grid](
            *(grad, x, weight, *_three(maps), statistics, piece_sums, result),
            *(channels, plan.pixels, grad_plan.pieces, *layout),
            block_s=power_of_two(grad_plan.pieces, _MAX_PIECES),
            block_c=plan.block_c,
            block_l=plan.block_l,
            **choices,
        )
    return result, grad_maps, piece_sums
