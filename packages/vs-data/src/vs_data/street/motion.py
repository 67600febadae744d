"""Exact backward flow from the geometry, and where it may be trusted."""

from __future__ import annotations

from functools import lru_cache

import attrs
import numpy as np
from numpy.typing import NDArray

from vs_data.street.arrays import F32, F64, Ints, Rows
from vs_data.street.camera import View
from vs_data.street.visibility import Pose, Scene, matrices_of
from vs_data.street.world import World

_MARGIN = 0.01
"""How far outside of the picture a position counts as on its border, pixels: rounding."""


@attrs.frozen(kw_only=True, eq=False)
class Seen:
    """What of a frame the next one needs.

    Attributes:
        keys: (H,W) int32 keys of the surfaces.
        calm: (H-1,W-1) where a pixel and its neighbours to the right, below and across show one surface.
    """

    keys: Ints
    calm: NDArray[np.bool_]


def seen_in(keys: Ints) -> Seen:
    """What is remembered of a map of keys (H,W)."""
    corner = keys[:-1, :-1]
    calm = (corner == keys[:-1, 1:]) & (corner == keys[1:, :-1]) & (corner == keys[1:, 1:])
    return Seen(keys=keys, calm=calm)


@lru_cache(maxsize=8)
def pixel_grid(size: tuple[int, int], centre: tuple[float, float]) -> tuple[F32, F32]:
    """(H*W,) u and v of the pixels from the principal point."""
    height, width = size
    u = np.arange(width, dtype=np.float32) - np.float32(centre[0])
    v = np.arange(height, dtype=np.float32) - np.float32(centre[1])
    return np.tile(u, height), np.repeat(v, width)


def homographies(world: World, scene: Scene, before: tuple[View, Pose], now: Pose) -> F64:
    """(rows,3,3) from (u, v, 1) of this frame to the frame before, for each row of a scene."""
    shadow = world.things.motion[:, 9:10] > 0
    view, pose = before
    # what a moving shadow shows is ground that stands still: only the camera's motion counts
    still = Pose(offset=np.where(shadow, now.offset, pose.offset), stride=pose.stride)
    return matrices_of(world.surfaces, scene.rows, view, still) @ np.linalg.inv(scene.matrices)


def backward_flow(transforms: F64, ids: Rows, view: View) -> F32:
    """(2,H*W) float32 flow of pixels that show rows `ids` (H*W,)."""
    u, v = pixel_grid(view.size, view.centre)
    table = np.ascontiguousarray(transforms.reshape(-1, 9).T, np.float32)

    def row(first: int) -> F32:
        return np.asarray(table[first][ids] * u + table[first + 1][ids] * v + table[first + 2][ids])

    scale = np.float32(1) / np.clip(row(6), 1e-3, None)
    flow = np.empty((2, u.size), np.float32)
    np.subtract(row(0) * scale, u, out=flow[0])
    np.subtract(row(3) * scale, v, out=flow[1])
    return flow


def confidence_of(flow: F32, keys: Ints, before: Seen, view: View) -> F32:
    """(H*W,) float32: 1 where all four pixels that a bilinear look-up takes in the frame before show the same surface.

    Args:
        flow: (2,H*W) backward flow, pixels.
        keys: (H*W,) keys of this frame's surfaces.
        before: The frame before.
        view: The view of this frame.
    """
    height, width = view.size
    u, v = pixel_grid(view.size, view.centre)
    x = flow[0] + u + np.float32(view.centre[0])
    y = flow[1] + v + np.float32(view.centre[1])
    inside = (x >= -_MARGIN) & (x <= width - 1 + _MARGIN) & (y >= -_MARGIN) & (y <= height - 1 + _MARGIN)
    left = np.clip(x, 0, width - 2).astype(np.int32)
    top = np.clip(y, 0, height - 2).astype(np.int32)
    good = np.take(before.keys.ravel(), top * width + left, mode="clip") == keys
    good &= np.take(before.calm.ravel(), top * (width - 1) + left, mode="clip")
    good &= inside
    return np.asarray(good, np.float32)
