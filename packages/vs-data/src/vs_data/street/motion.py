"""Exact backward flow from the geometry, and where it may be trusted."""

import numpy as np
from numpy.typing import NDArray

from vs_data.procedural.arrays import F32, F64, Rows
from vs_data.street.visibility import Pose, Shot, column, matrices_of, nearness, pixel_grid
from vs_data.street.world import World

_MARGIN = 0.01
"""How far outside of the picture a position counts as on its border, pixels: rounding."""

_TOLERANCE = 0.05
"""Largest difference in depth, relative, between neighbours on a body that do not hide each other."""

_SKY = (-3, -2, -1)


def homographies(world: World, now: Shot, before: Shot) -> F64:
    """Return (rows,3,3) from (u, v, 1) of a shot to (u, v, 1) times the ratio of depths in the one before, by row."""
    shadow = world.things.motion[:, -1:] > 0
    # what a moving shadow shows is ground that stands still: only the camera's motion counts
    pose = Pose(offset=np.where(shadow, now.pose.offset, before.pose.offset), stride=before.pose.stride)
    return matrices_of(world.surfaces, now.scene.rows, before.view, pose) @ now.inverse


def backward_flow(transforms: F64, shot: Shot) -> tuple[F32, F32]:
    """Return where the pixels of a shot were before.

    Returns:
        Flow (2,H*W) float32, pixels, x then y, and depth before relative to depth now (H*W,).
    """
    u, v = pixel_grid(shot.view.size, shot.view.centre)
    table = np.ascontiguousarray(transforms.reshape(-1, 9).T, np.float32)

    def row(first: int) -> F32:
        return np.asarray(table[first][shot.ids] * u + table[first + 1][shot.ids] * v + table[first + 2][shot.ids])

    ratio = np.clip(row(6), 1e-3, None)
    scale = np.float32(1) / ratio
    flow = np.empty((2, u.size), np.float32)
    np.subtract(row(0) * scale, u, out=flow[0])
    np.subtract(row(3) * scale, v, out=flow[1])
    return flow, ratio


def confidence_of(world: World, now: Shot, before: Shot, flow: F32, ratio: F32) -> F32:
    """Return where all four pixels that a bilinear look-up takes in the shot before show the same, unhidden surface.

    They do when they show the plane that the pixel shows now, or at least the same body at the depth expected there
    (where two faces of a body meet). Nothing is compared but geometry.

    Args:
        world: The world.
        now: A shot.
        before: The shot before.
        flow: (2,H*W) as `backward_flow` returns it.
        ratio: (H*W,) likewise.

    Returns:
        (H*W,) float32, 0 or 1.
    """
    height, width = now.view.size
    u, v = pixel_grid(now.view.size, now.view.centre)
    x = flow[0] + u + np.float32(now.view.centre[0])
    y = flow[1] + v + np.float32(now.view.centre[1])
    inside = (x >= -_MARGIN) & (x <= width - 1 + _MARGIN) & (y >= -_MARGIN) & (y <= height - 1 + _MARGIN)
    left = np.clip(x, 0, width - 2).astype(np.int32)
    top = np.clip(y, 0, height - 2).astype(np.int32)
    planes = column(before.scene, world.surfaces.plane, _SKY)[before.ids]
    good = np.take(planes, top * width + left, mode="clip") == column(now.scene, world.surfaces.plane, _SKY)[now.ids]
    good &= np.take(_calm(planes.reshape(height, width)).ravel(), top * (width - 1) + left, mode="clip")
    # in a shadow that moves the ground's flow is exact, but its brightness changes
    steady = world.things.motion[world.surfaces.thing, -1] == 0
    inside &= column(now.scene, steady, (1, 1, 1))[now.ids]
    good &= inside
    doubtful = np.flatnonzero(inside & ~good)
    corner = (top * width + left)[doubtful]
    good[doubtful] = _continues(world, now, before, doubtful, corner, ratio[doubtful])
    return np.asarray(good, np.float32)


def _calm(planes: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Return (H-1,W-1) where a pixel and its neighbours to the right, below and across show one plane."""
    corner = planes[:-1, :-1]
    return np.asarray((corner == planes[:-1, 1:]) & (corner == planes[1:, :-1]) & (corner == planes[1:, 1:]))


def _continues(world: World, now: Shot, before: Shot, pixels: Rows, corner: Rows, ratio: F32) -> NDArray[np.bool_]:
    """Tell which pixels show a body that all four pixels from `corner` on show too, at the depth expected there."""
    bodies = column(before.scene, world.surfaces.body, _SKY)
    body = column(now.scene, world.surfaces.body, _SKY)[now.ids[pixels]]
    expected = nearness(now, pixels) / ratio
    good = np.ones(len(pixels), np.bool_)
    for step in (0, 1, now.view.size[1], now.view.size[1] + 1):
        tap = corner + step
        good &= bodies[before.ids[tap]] == body
        good &= np.abs(nearness(before, tap) - expected) <= _TOLERANCE * expected
    return good
