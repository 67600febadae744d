"""Frames of a world: pictures, classes, instances, exact flow and its confidence."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from vs_data.street.arrays import F32, Bytes, Ints, Rows
from vs_data.street.camera import View, view_at
from vs_data.street.motion import Seen, backward_flow, confidence_of, homographies, pixel_grid, seen_in
from vs_data.street.paint import PAINTERS, Fragment, Look, sunlight
from vs_data.street.surfaces import PARAMETERS, Label, Material
from vs_data.street.visibility import SKY_ROWS, Pose, Scene, paint, pose_at, visible_scene
from vs_data.street.world import World


class Frames(NamedTuple):
    """Consecutive frames. Flow and confidence of the first are zeros.

    Attributes:
        rgb: (T,3,H,W) float32 in [0,1].
        labels: (T,H,W) uint8 class ids.
        instances: (T,H,W) int32, 0: none.
        flow: (T,2,H,W) float32, pixels, x then y, to the frame before.
        confidence: (T,1,H,W) float32, 0 or 1.
    """

    rgb: F32
    labels: Bytes
    instances: Ints
    flow: F32
    confidence: F32


def render(world: World, start: int, length: int, size: tuple[int, int]) -> Frames:
    """Frames `start` to `start + length - 1` of a world, at size (H, W)."""
    height, width = size
    frames = Frames(
        rgb=np.empty((length, 3, height, width), np.float32),
        labels=np.empty((length, height, width), np.uint8),
        instances=np.empty((length, height, width), np.int32),
        flow=np.zeros((length, 2, height, width), np.float32),
        confidence=np.zeros((length, 1, height, width), np.float32),
    )
    before: tuple[View, Pose, Seen] | None = None
    for index in range(length):
        seconds = (start + index) * world.seconds_per_frame
        view, pose = view_at(world.path, seconds, size), pose_at(world, seconds)
        scene = visible_scene(world, view, pose)
        ids = paint(world, scene, view).astype(np.intp)
        keys = np.concatenate([np.arange(-103, -100), world.surfaces.key[scene.rows]]).astype(np.int32)[ids]
        if before is not None:
            transforms = homographies(world, scene, before[:2], pose)
            flow = backward_flow(transforms, ids.ravel(), view)
            frames.flow[index] = flow.reshape(2, height, width)
            frames.confidence[index, 0] = confidence_of(flow, keys.ravel(), before[2], view).reshape(height, width)
        frames.labels[index] = _column(scene, world.surfaces.label, _SKY_LABELS)[ids]
        frames.instances[index] = _column(scene, world.surfaces.instance, (0, 0, 0))[ids]
        frames.rgb[index] = _colours(world, scene, view, pose, ids)
        before = view, pose, seen_in(keys)
    return frames


_SKY_LABELS = (Label.SKY, Label.VEGETATION, Label.VEGETATION)


def _column(scene: Scene, values: NDArray[np.generic], sky: tuple[int, ...]) -> NDArray[np.generic]:
    """The values of the rows of a scene, those of the sky first."""
    return np.concatenate([np.array(sky, values.dtype), values[scene.rows]])


def _look(world: World, scene: Scene, view: View, pose: Pose) -> Look:
    surfaces, rows = world.surfaces, scene.rows
    thing = surfaces.thing[rows]
    anchor = (world.things.anchor + pose.offset).astype(np.float32)
    sunny = sunlight(world, anchor[:, 0], anchor[:, 1], anchor[:, 2], np.full(len(anchor), 0.5, np.float32))

    def padded(values: NDArray[np.floating]) -> F32:
        return np.concatenate([np.zeros((SKY_ROWS, *values.shape[1:])), values]).astype(np.float32)

    facing = np.clip(surfaces.normal[rows] @ world.light.sun, 0, None)
    return Look(
        world=world,
        view=view,
        low=padded(surfaces.low[rows]),
        high=padded(surfaces.high[rows]),
        parameters=padded(surfaces.parameters[rows].reshape(-1, PARAMETERS)),
        facing=padded(facing),
        sunlit=padded(sunny[thing]),
    )


def _colours(world: World, scene: Scene, view: View, pose: Pose, ids: Rows) -> F32:
    """(3,H,W) float32 in [0,1]."""
    flat = ids.ravel()
    u, v = pixel_grid(view.size, view.centre)
    table = np.ascontiguousarray(np.linalg.inv(scene.matrices).reshape(-1, 9).T, np.float32)
    materials = _column(scene, world.surfaces.material, (Material.SKY, Material.HILL, Material.HILL))[flat]
    look = _look(world, scene, view, pose)
    picture = np.empty((3, flat.size), np.float32)
    for material, painter in PAINTERS:
        where = np.flatnonzero(materials == material)
        if not where.size:
            continue
        fragment = _fragment(view, table, flat[where], u[where], v[where])
        colours = painter(look, fragment)
        if material > Material.HILL:
            colours = _hazy(world, fragment, colours)
        for channel, colour in zip(picture, colours, strict=True):
            channel[where] = colour
    np.clip(picture, 0, 1, out=picture)
    return _softened(picture.reshape(3, *view.size), ids)


def _hazy(world: World, fragment: Fragment, colours: list[F32]) -> list[F32]:
    keep = np.exp(fragment.depth * np.float32(-1 / world.light.haze_length))
    haze = world.light.haze.astype(np.float32)
    return [haze[c] + (colours[c] - haze[c]) * keep for c in range(3)]


def _fragment(view: View, table: F32, row: Rows, u: F32, v: F32) -> Fragment:
    def along(first: int) -> F32:
        return np.asarray(table[first][row] * u + table[first + 1][row] * v + table[first + 2][row])

    depth = 1 / np.clip(along(6), 1e-5, None)
    away = np.linalg.inv(view.matrix).astype(np.float32)
    x, y, z = (np.float32(view.position[k]) + depth * (away[k, 0] * u + away[k, 1] * v + away[k, 2]) for k in range(3))
    return Fragment(
        row=row, s=along(0) * depth, t=along(3) * depth, depth=depth, footprint=depth * np.float32(1.5 / view.focal),
        x=x, y=y, z=z,
    )  # fmt: skip


def _softened(picture: F32, ids: Rows) -> F32:
    """The picture with the steps at the borders of patches smoothed."""
    border = np.zeros(ids.shape, np.bool_)
    sideways, upright = ids[:, 1:] != ids[:, :-1], ids[1:] != ids[:-1]
    border[:, 1:] |= sideways
    border[:, :-1] |= sideways
    border[1:] |= upright
    border[:-1] |= upright
    where = np.flatnonzero(border)
    for channel in picture:
        blurred = cv2.GaussianBlur(channel, (3, 3), 0.6)
        channel.reshape(-1)[where] = blurred.reshape(-1)[where]
    return picture
