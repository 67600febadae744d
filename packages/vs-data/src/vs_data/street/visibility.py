"""Which patch each pixel shows: patches are projected, culled, sorted and painted from far to near."""

from functools import lru_cache
from typing import TypeVar

import attrs
import cv2
import numpy as np
from numpy.typing import NDArray

from vs_data.procedural.arrays import F32, F64, Ints, Rows
from vs_data.street.camera import View, view_at
from vs_data.street.movement import offsets_at, strides_at
from vs_data.street.surfaces import Layer, Surfaces
from vs_data.street.world import DETAIL_RANGE, VIEW_RANGE, World

Value = TypeVar("Value", bound=np.generic)

NEAR = 0.4
"""Nothing nearer than this is painted, metres."""

SKY_ROWS = 3
"""The first rows of a scene are the sky and two ranges of hills, at infinity."""

_SHIFT = 6


@attrs.frozen(kw_only=True, eq=False)
class Pose:
    """The places of things at a moment: offset (M,3) from where they were made, sine of their stride (M,)."""

    offset: F64
    stride: F64


def pose_at(world: World, seconds: float) -> Pose:
    """Return the pose of all things."""
    motion = world.things.motion
    return Pose(offset=offsets_at(motion, world.path, seconds), stride=strides_at(motion, seconds))


@attrs.frozen(kw_only=True, eq=False)
class Scene:
    """Everything that may be visible at a moment.

    Attributes:
        rows: (A,) indices into the world's surfaces, in painting order; row i here is i + SKY_ROWS in the maps.
        matrices: (SKY_ROWS+A,3,3) from a patch's (s, t, 1) to (u, v, 1) * depth.
    """

    rows: Rows
    matrices: F64


@attrs.frozen(kw_only=True, eq=False)
class Shot:
    """The surfaces that the pixels show at a moment.

    Attributes:
        view: The camera.
        pose: Of all things.
        scene: The patches that may be visible.
        ids: (H*W,) row of the scene that each pixel shows.
        inverse: (rows,3,3): for each row of the scene the matrix from (u, v, 1) to (s, t, 1) / depth.
        table: (9,rows) float32, the same for use per pixel.
    """

    view: View
    pose: Pose
    scene: Scene
    ids: Rows
    inverse: F64
    table: F32


def shoot(world: World, seconds: float, size: tuple[int, int]) -> Shot:
    """Return what a picture of size (H, W) at a moment shows."""
    view, pose = view_at(world.path, seconds, size), pose_at(world, seconds)
    scene = visible_scene(world, view, pose)
    inverse = np.asarray(np.linalg.inv(scene.matrices), np.float64)
    return Shot(
        view=view,
        pose=pose,
        scene=scene,
        ids=paint(world, scene, view).ravel().astype(np.intp),
        inverse=inverse,
        table=np.ascontiguousarray(inverse.reshape(-1, 9).T, np.float32),
    )


@lru_cache(maxsize=8)
def pixel_grid(size: tuple[int, int], centre: tuple[float, float]) -> tuple[F32, F32]:
    """Return (H*W,) u and v of the pixels from the principal point."""
    height, width = size
    u = np.arange(width, dtype=np.float32) - np.float32(centre[0])
    v = np.arange(height, dtype=np.float32) - np.float32(centre[1])
    return np.tile(u, height), np.repeat(v, width)


def column(scene: Scene, values: NDArray[Value], sky: tuple[float, ...]) -> NDArray[Value]:
    """Return the values of the rows of a scene, those of the sky first."""
    return np.concatenate([np.array(sky, values.dtype), values[scene.rows]])


def nearness(shot: Shot, pixels: Rows) -> F32:
    """Return (n,) one over the depth of what some pixels show; of no meaning in the sky."""
    u, v = pixel_grid(shot.view.size, shot.view.centre)
    row = shot.ids[pixels]
    return np.asarray(shot.table[6][row] * u[pixels] + shot.table[7][row] * v[pixels] + shot.table[8][row])


def candidates(world: World, view: View, pose: Pose) -> Rows:
    """Return (A,) surfaces of the things in range, in painting order."""
    things, camera = world.things, view.position
    anchor = things.anchor + pose.offset
    extent = things.extent + pose.offset[:, 2:]
    far = np.where(things.layer <= Layer.PAVEMENT, np.inf, DETAIL_RANGE)
    far[things.layer == Layer.BEYOND] = VIEW_RANGE
    far[things.layer == Layer.PAVEMENT] = VIEW_RANGE
    seen = (extent[:, 1] > camera[2] + NEAR) & (extent[:, 0] < camera[2] + far)
    layer = np.where((things.layer == Layer.SIDEWALK) & (np.abs(anchor[:, 0]) < 5.5), Layer.DRIVING, things.layer)
    layer = np.where((layer == Layer.DRIVING) & (np.abs(anchor[:, 0]) > 3.2), Layer.PARKED, layer)
    chosen = np.flatnonzero(seen)
    order = np.lexsort((-anchor[chosen, 2], layer[chosen]))
    rank = np.full(len(seen), -1)
    rank[chosen[order]] = np.arange(len(order))
    owner = rank[world.surfaces.thing]
    rows = np.flatnonzero(owner >= 0)
    return rows[np.argsort(owner[rows], kind="stable")]


def matrices_of(surfaces: Surfaces, rows: Rows, view: View, pose: Pose) -> F64:
    """Return (SKY_ROWS+A,3,3) float64 from (s, t, 1) of each patch to (u, v, 1) * depth."""
    thing = surfaces.thing[rows]
    frame = np.empty((SKY_ROWS + len(rows), 3, 3))
    frame[:SKY_ROWS] = np.eye(3)
    frame[SKY_ROWS:, :, 0] = surfaces.u[rows]
    frame[SKY_ROWS:, :, 1] = surfaces.v[rows] + surfaces.swing[rows] * pose.stride[thing, None]
    frame[SKY_ROWS:, :, 2] = surfaces.origin[rows] + pose.offset[thing] - view.position
    return view.matrix @ frame


def visible_scene(world: World, view: View, pose: Pose) -> Scene:
    """Return the patches that face the camera, in painting order."""
    rows = candidates(world, view, pose)
    surfaces = world.surfaces
    towards = view.position - surfaces.origin[rows] - pose.offset[surfaces.thing[rows]]
    rows = rows[(towards * surfaces.normal[rows]).sum(axis=1) > 0.02]
    return Scene(rows=rows, matrices=matrices_of(surfaces, rows, view, pose))


def paint(world: World, scene: Scene, view: View) -> Ints:
    """Return (H,W) int32: which row of the scene each pixel shows."""
    surfaces = world.surfaces
    ids = np.zeros(view.size, np.int32)
    points = surfaces.outline[scene.rows] @ scene.matrices[SKY_ROWS:].transpose(0, 2, 1)
    corners = surfaces.corners[scene.rows]
    # Most patches are wholly before the camera or out of sight: only the others are cut at the near plane.
    depth = points[..., 2]
    whole = depth.min(axis=1) >= NEAR
    flat = points[..., :2] / np.where(depth < NEAR, 1.0, depth)[..., None] + view.centre
    low, high = flat.min(axis=1), flat.max(axis=1)
    height, width = view.size
    inside = (high > (-0.5, -0.5)).all(axis=1) & (low < (width - 0.5, height - 0.5)).all(axis=1)
    inside &= ((high - low) > 0.5).any(axis=1)
    drawn = np.where(whole, inside, depth.max(axis=1) > NEAR)
    # In painting order; the hills come after the ground and before everything that stands on it.
    fixed = np.rint(flat * (1 << _SHIFT)).astype(np.int32)
    ground = surfaces.thing[scene.rows] == 0
    hills_painted = False
    for row in np.flatnonzero(drawn).tolist():
        if not hills_painted and not ground[row]:
            _paint_hills(world, ids, view)
            hills_painted = True
        polygon = fixed[row, : corners[row]] if whole[row] else _clipped(points[row, : corners[row]], view)
        if len(polygon):
            cv2.fillConvexPoly(ids, polygon, row + SKY_ROWS, cv2.LINE_8, _SHIFT)
    return ids


def _paint_hills(world: World, ids: Ints, view: View) -> None:
    for row, outline in enumerate(world.skyline, start=1):
        directions = np.concatenate([outline, np.ones((len(outline), 1))], axis=1)
        directions[-2:, 1] = -1.0 / view.focal
        points = directions @ view.matrix.T
        flat = points[:, :2] / np.maximum(points[:, 2:], 0.05) + view.centre
        cv2.fillPoly(ids, [np.rint(flat * (1 << _SHIFT)).astype(np.int32)], row, cv2.LINE_8, _SHIFT)


def _clipped(points: F64, view: View) -> Ints:
    """Return the part of a polygon (K,3) beyond the near plane, in fixed point."""
    kept = []
    for here, there in zip(points, np.roll(points, -1, axis=0), strict=True):
        if here[2] >= NEAR:
            kept.append(here)
        if (here[2] >= NEAR) != (there[2] >= NEAR):
            part = (NEAR - here[2]) / (there[2] - here[2])
            kept.append(here + part * (there - here))
    if len(kept) < 3:
        return np.zeros((0, 2), np.int32)
    corners = np.array(kept)
    flat = corners[:, :2] / corners[:, 2:] + view.centre
    return np.asarray(np.rint(np.clip(flat, -1e6, 1e6) * (1 << _SHIFT)), np.int32)
