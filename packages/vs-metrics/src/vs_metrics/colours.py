"""Tensors as pictures: frames, flows, label maps and masks as 8-bit RGB arrays."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float, Integer
from torch import Tensor

from vs_metrics.errors import ClassIdError, ShapeError

Image = npt.NDArray[np.uint8]
"""An RGB picture (H, W, 3), or a stack of them (..., H, W, 3)."""

CITYSCAPES_PALETTE: tuple[tuple[int, int, int], ...] = (
    (0, 0, 0),  # 0 unlabeled
    (0, 0, 0),  # 1 ego vehicle
    (0, 0, 0),  # 2 rectification border
    (0, 0, 0),  # 3 out of region of interest
    (0, 0, 0),  # 4 static
    (111, 74, 0),  # 5 dynamic
    (81, 0, 81),  # 6 ground
    (128, 64, 128),  # 7 road
    (244, 35, 232),  # 8 sidewalk
    (250, 170, 160),  # 9 parking
    (230, 150, 140),  # 10 rail track
    (70, 70, 70),  # 11 building
    (102, 102, 156),  # 12 wall
    (190, 153, 153),  # 13 fence
    (180, 165, 180),  # 14 guard rail
    (150, 100, 100),  # 15 bridge
    (150, 120, 90),  # 16 tunnel
    (153, 153, 153),  # 17 pole
    (153, 153, 153),  # 18 pole group
    (250, 170, 30),  # 19 traffic light
    (220, 220, 0),  # 20 traffic sign
    (107, 142, 35),  # 21 vegetation
    (152, 251, 152),  # 22 terrain
    (70, 130, 180),  # 23 sky
    (220, 20, 60),  # 24 person
    (255, 0, 0),  # 25 rider
    (0, 0, 142),  # 26 car
    (0, 0, 70),  # 27 truck
    (0, 60, 100),  # 28 bus
    (0, 0, 90),  # 29 caravan
    (0, 0, 110),  # 30 trailer
    (0, 80, 100),  # 31 train
    (0, 0, 230),  # 32 motorcycle
    (119, 11, 32),  # 33 bicycle
    (0, 0, 142),  # 34 license plate
)
"""Published colours of the Cityscapes class ids 0..34 (34 stands for the licence plate's id -1)."""

IGNORE_COLOUR = (255, 255, 255)
"""Colour of pixels without a class (id 255)."""


def generated_palette(num_classes: int) -> tuple[tuple[int, int, int], ...]:
    """Return distinct colours for any number of classes up to 2^24; class 0 is black.

    The bits of the class number are dealt out to red, green and blue, highest bit first (the colour map of the PASCAL
    VOC challenge), so that neighbouring ids differ most.
    """
    return tuple((_dealt_bits(index), _dealt_bits(index >> 1), _dealt_bits(index >> 2)) for index in range(num_classes))


def palette_for(num_classes: int) -> tuple[tuple[int, int, int], ...]:
    """Return the Cityscapes colours for their 35 classes, generated ones for any other number."""
    return CITYSCAPES_PALETTE if num_classes == len(CITYSCAPES_PALETTE) else generated_palette(num_classes)


def labels_to_rgb(ids: Integer[Tensor, "*batch h w"], palette: Sequence[tuple[int, int, int]]) -> Image:
    """Paint class ids (..., H, W) as pictures (..., H, W, 3); id 255 is white unless the palette reaches that far.

    Raises:
        ClassIdError: an id has no colour.
    """
    index = ids.detach().cpu().numpy().astype(np.int64)
    table = np.full((max(len(palette), 256), 3), IGNORE_COLOUR, dtype=np.uint8)
    table[: len(palette)] = np.asarray(palette, dtype=np.uint8).reshape(-1, 3)
    wrong = index[((index < 0) | (index >= len(palette))) & (index != 255)]
    if wrong.size:
        raise ClassIdError(int(wrong[0]), len(palette))
    return np.asarray(table[index], dtype=np.uint8)


def frame_to_uint8(frames: Float[Tensor, "*batch 3 h w"]) -> Image:
    """Return frames (..., 3, H, W) in [-1, 1], clipped, as pictures (..., H, W, 3): -1 is 0, 1 is 255.

    Rounded to the nearest level: cutting off would darken every picture by half a level.

    Raises:
        ShapeError: there are not three channels.
    """
    if frames.ndim < 3 or frames.shape[-3] != 3:
        raise ShapeError("frames", tuple(frames.shape), "(..., 3, H, W)")
    levels = frames.detach().float().cpu().nan_to_num(nan=-1.0).add(1).mul(127.5).round().clamp(0, 255)
    return np.ascontiguousarray(levels.to(torch.uint8).movedim(-3, -1).numpy())


def flow_to_rgb(flow: Float[Tensor, "*batch 2 h w"], max_magnitude: float | int | None = None) -> Image:
    """Paint flow (..., 2, H, W), pixels, as pictures (..., H, W, 3): hue is the direction, white is no motion.

    Red points right (+x), going round over yellow-green (down, +y), cyan (left) and violet (up). The colour is full at
    `max_magnitude` pixels and beyond; a vector that is not finite is black.

    Args:
        flow: displacement, x then y.
        max_magnitude: pixels at which a colour is full; None: the largest finite magnitude given, at least 1 pixel.

    Raises:
        ShapeError: there are not two channels.
    """
    if flow.ndim < 3 or flow.shape[-3] != 2:
        raise ShapeError("flow", tuple(flow.shape), "(..., 2, H, W)")
    x, y, finite = _finite_vectors(flow)
    magnitude = np.hypot(x, y)
    full = max(1.0, float(magnitude.max(initial=0.0))) if max_magnitude is None else max_magnitude
    strength = np.clip(magnitude / full, 0.0, 1.0)[..., None]
    colour = 1.0 - strength * (1.0 - _hue_to_rgb(np.arctan2(y, x) / (2 * np.pi)))
    return np.asarray(np.rint(np.where(finite[..., None], colour, 0.0) * 255), dtype=np.uint8)


def longest_vector(flow: Float[Tensor, "*batch 2 h w"]) -> float:
    """Return the length in pixels of the longest finite vector of a flow (..., 2, H, W); 0 if there is none."""
    x, y, _ = _finite_vectors(flow)
    return float(np.hypot(x, y).max(initial=0.0))


def mask_to_rgb(mask: Float[Tensor, "*batch 1 h w"]) -> Image:
    """Return masks (..., 1, H, W) in [0, 1] as pictures (..., H, W, 3) in grey, 1 in white.

    Raises:
        ShapeError: there is not one channel.
    """
    if mask.ndim < 3 or mask.shape[-3] != 1:
        raise ShapeError("mask", tuple(mask.shape), "(..., 1, H, W)")
    levels = mask.detach().float().cpu().nan_to_num(nan=0.0).mul(255).round().clamp(0, 255)
    return np.repeat(levels.to(torch.uint8).squeeze(-3).numpy()[..., None], 3, axis=-1)


def check_picture(image: npt.NDArray[Any]) -> None:
    """Raise `ShapeError` unless `image` is an RGB picture: (H, W, 3) uint8 with at least one pixel."""
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or image.size == 0:
        raise ShapeError("image", image.shape, f"(H, W, 3) of uint8, at least one pixel; its type is {image.dtype}")


def _finite_vectors(
    flow: Tensor,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Return components (..., H, W), x and y, 0 where a vector is not finite, and where vectors are finite."""
    x, y = (component.detach().cpu().double().numpy() for component in flow.unbind(dim=-3))
    finite = np.isfinite(x) & np.isfinite(y)
    return np.where(finite, x, 0.0), np.where(finite, y, 0.0), finite


def _dealt_bits(index: int) -> int:
    """Return every third bit of `index`, lowest first, as the bits of a byte, highest first."""
    return sum(((index >> (3 * bit)) & 1) << (7 - bit) for bit in range(8))


def _hue_to_rgb(turns: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return fully saturated colours (..., 3) in [0, 1] of hues in turns: 0 red, 1/3 green, 2/3 blue."""
    offsets = np.array([0.0, 2.0, 4.0])
    distances = np.abs((turns[..., None] * 6 - offsets + 3) % 6 - 3)  # (..., 3) sixths of a turn
    return np.asarray(np.clip(2 - distances, 0.0, 1.0), dtype=np.float64)
