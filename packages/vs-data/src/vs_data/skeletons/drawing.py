"""Skeletons as pictures: limbs as anti-aliased lines in their colours, or in a map each."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vs_data.errors import VsDataError
from vs_data.landmarks import distance_to
from vs_data.skeletons.skeleton import Skeleton

_UNIT = 256.0  # pixels of the smaller side of a picture in which widths are pixels
_MIN_UNIT = 0.5  # in smaller pictures limbs stay as wide as at 128
_MIN_WIDTH = 1.0  # pixels; thinner lines would be half gone

_F32 = NDArray[np.float32]
_Patch = tuple[slice, slice, _F32]  # rows, columns, how much of each pixel there is covered


def draw_skeleton(points: NDArray[Any], skeleton: Skeleton, size: tuple[int, int]) -> NDArray[np.float32]:
    """Draw the limbs of a skeleton, both of whose points are there, in their colours over black.

    A pixel is as much of a limb's colour as the limb covers of it. Pixel (x, y) has its centre at (x, y). What lies
    outside of the picture is cut off.

    Args:
        points: (n, 3) x and y, pixels, and confidence; a point is there when its confidence is above 0.
        skeleton: Which points they are.
        size: (H, W) of the picture.

    Returns:
        (3, H, W) float32 in [0, 1], RGB.

    Raises:
        VsDataError: not the points of the skeleton, or numbers that are not finite.
    """
    canvas = np.zeros((3, *size), np.float32)
    for limb, rows, columns, covered in _patches(points, skeleton, size):
        part = canvas[:, rows, columns]
        colour = np.array(skeleton.colours[limb], np.float32)[:, None, None]
        part += covered * (colour - part)
    return canvas


def layers_of(skeleton: Skeleton) -> tuple[int, ...]:
    """Return the map of each limb in `draw_layers`: one for every limb of the body, one for each other part."""
    part_of = [next(part for part in skeleton.parts if part.first <= a < part.stop) for a, _ in skeleton.limbs]
    keys = [f"limb {limb}" if part.name == "body" else part.name for limb, part in enumerate(part_of)]
    number = {key: index for index, key in enumerate(dict.fromkeys(keys))}
    return tuple(number[key] for key in keys)


def draw_layers(points: NDArray[Any], skeleton: Skeleton, size: tuple[int, int]) -> NDArray[np.float32]:
    """Draw as `draw_skeleton` does, each limb of the body in a map of its own, and each other part in one.

    Returns:
        (C, H, W) float32 in [0, 1]; of OpenPose's 24 limbs, face and two hands 27 maps.
    """
    layers = layers_of(skeleton)
    canvas = np.zeros((max(layers) + 1, *size), np.float32)
    for limb, rows, columns, covered in _patches(points, skeleton, size):
        part = canvas[layers[limb], rows, columns]
        np.maximum(part, covered, out=part)
    return canvas


def _patches(
    points: NDArray[Any], skeleton: Skeleton, size: tuple[int, int]
) -> Iterator[tuple[int, slice, slice, _F32]]:
    """Yield each limb that is seen: its number, and how much it covers of which pixels."""
    there = _check(points, skeleton)
    unit = max(min(size) / _UNIT, _MIN_UNIT)
    for limb, ((a, b), width) in enumerate(zip(skeleton.limbs, skeleton.widths, strict=True)):
        if there[a, 2] > 0 and there[b, 2] > 0:
            patch = _capsule(there[a, :2], there[b, :2], max(width * unit, _MIN_WIDTH), size)
            if patch is not None:
                yield limb, *patch


def _check(points: NDArray[Any], skeleton: Skeleton) -> NDArray[np.float64]:
    checked = np.asarray(points, np.float64)
    if checked.shape != (len(skeleton.points), 3):
        wanted = f"({len(skeleton.points)}, 3), x, y and confidence of each point of the skeleton"
        raise VsDataError(f"points have the shape {checked.shape}, allowed: {wanted}")
    if not np.isfinite(checked).all():
        raise VsDataError("points hold numbers that are not finite")
    return checked


def _capsule(a: NDArray[np.float64], b: NDArray[np.float64], width: float, size: tuple[int, int]) -> _Patch | None:
    """Return how much a line with round ends covers of the pixels around it, or None where it is not in the picture."""
    reach = width / 2 + 1
    extent = np.array((size[1], size[0]))
    low = np.clip(np.floor(np.minimum(a, b) - reach), 0, extent).astype(np.int64)
    high = np.clip(np.ceil(np.maximum(a, b) + reach) + 1, 0, extent).astype(np.int64)
    if (low >= high).any():
        return None
    x, y = np.arange(low[0], high[0])[None, None], np.arange(low[1], high[1])[None, :, None]
    away = distance_to(x, y, a[None], b[None])[0]
    covered = np.clip(width / 2 + 0.5 - away, 0.0, 1.0).astype(np.float32)
    return slice(low[1], high[1]), slice(low[0], high[0]), covered
