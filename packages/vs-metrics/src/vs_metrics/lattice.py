"""The grid that up-sampling leaves in generated frames: patterns that repeat every few pixels, whatever is shown."""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from vs_metrics.errors import ShapeError, VsMetricsError

GRID_PERIOD = 8
"""Pixels after which the coarsest grid repeats that is looked for: that of three up-samplings by 2."""


def grid_amplitudes(frames: Float[Tensor, "*batch c h w"], period: int = GRID_PERIOD) -> Float[Tensor, "*batch"]:
    """Return per frame the strength of the pattern that repeats every `period` pixels, in both directions.

    This is `tile_amplitudes(grid_tiles(frames, period))`. Tiles add up: the mean tile of many frames keeps a grid that
    stays where it is, and little of what moves, so that it shows a much weaker grid.

    A layer that doubles the size of its input treats even and odd pixels unlike; a pile of them leaves a pattern of 2,
    4, 8 ... pixels in every frame (the checkerboard of Odena et al. 2016, the spectral peaks at N/2, N/4, N/8 of Zhang
    et al. 2019). What is measured is the energy at just these frequencies, all multiples of N / period that are not 0:
    the image, less its local mean over a period, is averaged over all places that are alike modulo the period, and the
    result is the root mean square of that tile, over the channels too. A checkerboard of +-a levels has a,
    whatever smooth picture they lie on. A period of 8 finds patterns of 2 and 4 pixels too.

    Limits: one frame is enough. Pictures themselves leave about their fine detail divided by the root of the number of
    tiles, so compare with real frames; what repeats in the world itself (a fence that faces the camera) counts too.
    Less than one period at each border is not looked at.

    Source: ours, after Odena et al. 2016 ("Deconvolution and Checkerboard Artifacts") and Zhang et al. 2019
    ("Detecting and Simulating Artifacts in GAN Fake Images").

    Args:
        frames: (..., C, H, W), at least 3 periods high and wide.
        period: an even number of pixels.

    Returns:
        (...) float32, in the frames' units (times 127.5: levels of 255).

    Raises:
        ShapeError: a side is too short.
        VsMetricsError: the period is odd, or below 2.
    """
    return tile_amplitudes(grid_tiles(frames, period))


def grid_tiles(
    frames: Float[Tensor, "*batch c h w"], period: int = GRID_PERIOD
) -> Float[Tensor, "*batch c period period"]:
    """Return per frame and channel the pattern that repeats every `period` pixels, of mean 0: see `grid_amplitudes`.

    Args:
        frames: (..., C, H, W), at least 3 periods high and wide.
        period: an even number of pixels.

    Raises:
        ShapeError: a side is too short.
        VsMetricsError: the period is odd, or below 2.
    """
    if period < 2 or period % 2:
        raise VsMetricsError(f"period must be an even number of pixels, got {period}")
    if frames.ndim < 3 or min(frames.shape[-2:]) < 3 * period:
        raise ShapeError("frames", tuple(frames.shape), f"(..., C, H, W), sides of at least {3 * period} pixels")
    fine = _less_local_mean(frames.detach().float().reshape(-1, 1, *frames.shape[-2:]), period)
    height, width = (side - side % period for side in fine.shape[-2:])
    tiles = fine[..., :height, :width].unflatten(-1, (-1, period)).unflatten(-3, (-1, period))
    tile: Tensor = tiles.mean(dim=(-4, -2))  # (N, 1, period, period)
    return (tile - tile.mean(dim=(-2, -1), keepdim=True)).reshape(*frames.shape[:-2], period, period)


def tile_amplitudes(tiles: Float[Tensor, "*batch c period period"]) -> Float[Tensor, "*batch"]:
    """Return the root mean square of patterns, over their channels too."""
    return tiles.square().mean(dim=(-3, -2, -1)).sqrt()


def _less_local_mean(images: Tensor, period: int) -> Tensor:
    """Return (N, 1, H, W) less the mean over a period around each pixel, without half a period at each border.

    The window is a period and one pixel long, both ends counting half: it is symmetric, so that it takes ramps away,
    and sees every phase of a pattern alike, so that it leaves patterns as they are.
    """
    window = images.new_ones(period + 1)
    window[0] = window[-1] = 0.5
    window = window / period
    half = period // 2
    blurred = F.conv2d(F.conv2d(images, window.view(1, 1, -1, 1)), window.view(1, 1, 1, -1))
    return images[..., half:-half, half:-half] - blurred
