"""Resizing, cropping and mirroring: planned once per clip, applied alike to every frame and every kind of data."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, TypeVar

import attrs
import cv2
import numpy as np
from numpy.typing import NDArray
from vs_config import Check, Problem, check_fields, real, truth, whole

_Id = TypeVar("_Id", bound=np.generic)


def _check_stretched(config: AugmentConfig) -> Iterator[Problem]:
    if not config.keep_aspect and config.smallest_side is not None:
        expected = "'none' where keep_aspect is false"
        hint = "the picture is stretched to the crop size"
        yield Problem("smallest_side", hint, expected=expected, got=config.smallest_side)


@attrs.frozen(kw_only=True)
class AugmentConfig:
    """A way to make pictures of any size clips of one size, and what varies at random in training.

    Keeping the aspect, the smallest side is resized to `smallest_side` (enlarged further where the crop would not fit)
    and a crop is taken; otherwise width and height are resized independently. In validation nothing is random: no
    scale, no mirroring, the crop from the centre.
    """

    kind: ClassVar[str] = "augment"

    smallest_side: int | None = whole(
        None,
        "smallest side after resizing; none: the smallest that holds the crop",
        low=1,
        high=16_384,
        unit="pixels",
        optional=True,
    )
    keep_aspect: bool = truth(True, "resize width and height by one factor, then crop; false: stretch to the crop size")
    scale: float = real(0.0, "random enlargement in training, up to this fraction (0.2: up to 20 %)", low=0.0, high=4.0)
    flip: float = real(0.0, "probability of mirroring left and right in training", low=0.0, high=1.0)

    CHECKS: ClassVar[tuple[Check, ...]] = (Check(("smallest_side", "keep_aspect"), _check_stretched),)

    def __attrs_post_init__(self) -> None:
        check_fields(self)


@attrs.frozen(kw_only=True)
class Window:
    """A part of a picture, pixels; what of it lies outside of the picture is filled with the picture's edge."""

    top: int
    left: int
    height: int
    width: int


@attrs.frozen(kw_only=True)
class Geometry:
    """A geometry for every picture of a clip: take a window, resize it, crop, mirror.

    Sizes are (height, width) in pixels; `resized` is that of the window, or of the picture when there is no window.
    """

    source: tuple[int, int]
    resized: tuple[int, int]
    top: int
    left: int
    size: tuple[int, int]
    flip: bool
    window: Window | None = None

    @property
    def taken(self) -> tuple[int, int]:
        """Size of what is resized: of the window, or of the picture."""
        return self.source if self.window is None else (self.window.height, self.window.width)


def same_size(size: tuple[int, int]) -> Geometry:
    """Return the geometry that leaves pictures of a size as they are."""
    return Geometry(source=size, resized=size, top=0, left=0, size=size, flip=False)


def plan_geometry(
    source: tuple[int, int],
    size: tuple[int, int],
    config: AugmentConfig,
    rng: np.random.Generator | None,
    window: Window | None = None,
) -> Geometry:
    """Return the geometry for pictures of size `source` that shall have `size`; deterministic when `rng` is None.

    With a window, the window takes the place of the picture.
    """
    enlargement, flip, vertical, horizontal = (0.0, 1.0, 0.5, 0.5) if rng is None else rng.random(4).tolist()
    taken = source if window is None else (window.height, window.width)
    resized = _resized(taken, size, config, 1.0 + config.scale * enlargement)
    return Geometry(
        source=source,
        resized=resized,
        top=round(vertical * (resized[0] - size[0])),
        left=round(horizontal * (resized[1] - size[1])),
        size=size,
        flip=flip < config.flip,
        window=window,
    )


def _resized(
    source: tuple[int, int], size: tuple[int, int], config: AugmentConfig, enlargement: float
) -> tuple[int, int]:
    if not config.keep_aspect:
        return round(size[0] * enlargement), round(size[1] * enlargement)
    fit = max(size[0] / source[0], size[1] / source[1])
    factor = fit if config.smallest_side is None else max(fit, config.smallest_side / min(source))
    height, width = (round(side * factor * enlargement) for side in source)
    return max(size[0], height), max(size[1], width)


def apply_to_image(geometry: Geometry, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Resize and crop (H,W,3) to (h,w,3): area averaging where it shrinks, bilinear where it grows."""
    return _cut(geometry, _resize(geometry, image, cv2.INTER_AREA, cv2.INTER_LINEAR))


def apply_to_values(geometry: Geometry, values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Resize and crop (H,W,C) to (h,w,C) as `apply_to_image` does."""
    return _cut(geometry, _resize(geometry, values, cv2.INTER_AREA, cv2.INTER_LINEAR).reshape(*geometry.resized, -1))


def apply_to_ids(geometry: Geometry, ids: NDArray[_Id]) -> NDArray[_Id]:
    """Resize and crop (H,W) to (h,w): the nearest id, never a mixture."""
    return _cut(geometry, _resize(geometry, ids, cv2.INTER_NEAREST_EXACT, cv2.INTER_NEAREST_EXACT))


def apply_to_flow(
    geometry: Geometry, flow: NDArray[np.float32], confidence: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Turn flow (H,W,2) and confidence (H,W) of the source into those of the result, in the result's pixels.

    Shrinking takes the nearest vector, since a mean of two motions is neither. Where the flow points outside of the
    crop the confidence becomes 0.
    """
    vectors = _cut(geometry, _resize(geometry, flow, cv2.INTER_NEAREST_EXACT, cv2.INTER_LINEAR))
    known = _take(geometry, confidence, cv2.BORDER_CONSTANT)  # outside of the picture nothing is to be trusted
    trust = _cut(geometry, _scale(geometry, known, cv2.INTER_NEAREST_EXACT, cv2.INTER_LINEAR))
    factor = factor_of(geometry)
    sign = -1.0 if geometry.flip else 1.0
    scaled = vectors * np.array((sign * factor[0], factor[1]), np.float32)
    return scaled, trust * inside(scaled)


def apply_to_points(geometry: Geometry, points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Turn points (..., 2), pixels x, y of the source, into those of the result; (0, 0) is a pixel's centre."""
    corner = (0, 0) if geometry.window is None else (geometry.window.left, geometry.window.top)
    moved = (points - np.array(corner) + 0.5) * np.array(factor_of(geometry)) - 0.5
    moved = moved - np.array((geometry.left, geometry.top))
    if geometry.flip:
        moved = np.stack([geometry.size[1] - 1 - moved[..., 0], moved[..., 1]], axis=-1)
    return np.asarray(moved, np.float64)


def inside(flow: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return where flow (H,W,2) points into the picture (H,W)."""
    height, width = flow.shape[:2]
    x = np.arange(width, dtype=np.float32) + flow[..., 0]
    y = np.arange(height, dtype=np.float32)[:, None] + flow[..., 1]
    result: NDArray[np.bool_] = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    return result


def factor_of(geometry: Geometry) -> tuple[float, float]:
    """Return how much larger the result is than the source: (x, y)."""
    return geometry.resized[1] / geometry.taken[1], geometry.resized[0] / geometry.taken[0]


def _resize(geometry: Geometry, pixels: NDArray[Any], shrink: int, grow: int) -> NDArray[Any]:
    return _scale(geometry, _take(geometry, pixels, cv2.BORDER_REPLICATE), shrink, grow)


def _take(geometry: Geometry, pixels: NDArray[Any], border: int) -> NDArray[Any]:
    """Cut the window out; where it lies outside, the picture's edge is repeated, or zeros (a constant border)."""
    window = geometry.window
    if window is None:
        return pixels
    height, width = geometry.source
    bottom, right = window.top + window.height, window.left + window.width
    part = pixels[max(0, window.top) : min(height, bottom), max(0, window.left) : min(width, right)]
    beyond = (max(0, -window.top), max(0, bottom - height), max(0, -window.left), max(0, right - width))
    return np.asarray(cv2.copyMakeBorder(part, *beyond, border)) if any(beyond) else part


def _scale(geometry: Geometry, pixels: NDArray[Any], shrink: int, grow: int) -> NDArray[Any]:
    if geometry.resized == geometry.taken:
        return pixels
    height, width = geometry.resized
    shrinks = height < geometry.taken[0] or width < geometry.taken[1]
    return np.asarray(cv2.resize(pixels, (width, height), interpolation=shrink if shrinks else grow))


def _cut(geometry: Geometry, pixels: NDArray[Any]) -> NDArray[Any]:
    height, width = geometry.size
    crop = pixels[geometry.top : geometry.top + height, geometry.left : geometry.left + width]
    return np.ascontiguousarray(crop[:, ::-1] if geometry.flip else crop)
