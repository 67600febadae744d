"""Frames of a world: pictures, classes, instances, exact flow and its confidence."""

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from vs_data.procedural.arrays import F32, Bytes, Ints, Rows
from vs_data.street.motion import backward_flow, confidence_of, homographies
from vs_data.street.paint import PAINTERS, Fragment, Look, sunlight
from vs_data.street.plain import plain_colours
from vs_data.street.surfaces import PARAMETERS, Label, Material
from vs_data.street.visibility import SKY_ROWS, Shot, column, pixel_grid, shoot
from vs_data.street.world import World


class Frames(NamedTuple):
    """Consecutive frames. Flow and confidence of the first are zeros.

    Attributes:
        rgb: (T,3,H,W) float32 in [0,1].
        labels: (T,H,W) uint8 class ids.
        instances: (T,H,W) int32, 0: none.
        flow: (T,2,H,W) float32, pixels, x then y, to the frame before.
        confidence: (T,1,H,W) float32, 0 or 1.
        plain: (T,3,H,W) float32 in [0,1], the plain rendering (see `plain_colours`), or None.
    """

    rgb: F32
    labels: Bytes
    instances: Ints
    flow: F32
    confidence: F32
    plain: F32 | None = None


def render(world: World, start: int, length: int, size: tuple[int, int], *, plain: bool = False) -> Frames:
    """Return frames `start` to `start + length - 1` of a world, at size (H, W); `plain`: rendered plainly, too."""
    height, width = size
    frames = Frames(
        rgb=np.empty((length, 3, height, width), np.float32),
        labels=np.empty((length, height, width), np.uint8),
        instances=np.empty((length, height, width), np.int32),
        flow=np.zeros((length, 2, height, width), np.float32),
        confidence=np.zeros((length, 1, height, width), np.float32),
        plain=np.empty((length, 3, height, width), np.float32) if plain else None,
    )
    # Flow is exact: the same surfaces are looked up in the frame before.
    before: Shot | None = None
    for index in range(length):
        shot = shoot(world, (start + index) * world.seconds_per_frame, size)
        if before is not None:
            flow, ratio = backward_flow(homographies(world, shot, before), shot)
            frames.flow[index] = flow.reshape(2, height, width)
            frames.confidence[index] = confidence_of(world, shot, before, flow, ratio).reshape(1, height, width)
        frames.labels[index] = column(shot.scene, world.surfaces.label, _SKY_LABELS)[shot.ids].reshape(size)
        frames.instances[index] = column(shot.scene, world.surfaces.instance, (0, 0, 0))[shot.ids].reshape(size)
        frames.rgb[index] = _colours(world, shot)
        if frames.plain is not None:
            frames.plain[index] = plain_colours(world, shot)
        before = shot
    return frames


_SKY_LABELS = (Label.SKY, Label.VEGETATION, Label.VEGETATION)
_SKY_MATERIALS = (Material.SKY, Material.HILL, Material.HILL)


def _look(world: World, shot: Shot) -> Look:
    surfaces, rows = world.surfaces, shot.scene.rows
    thing = surfaces.thing[rows]
    anchor = (world.things.anchor + shot.pose.offset).astype(np.float32)
    # a coarse footprint: what drives out of the shade brightens over a few frames
    x, y, z = anchor.T
    sunny = sunlight(world, float(shot.view.position[2]), x, y, z, np.full(len(anchor), 6.0, np.float32))

    def padded(values: NDArray[np.floating]) -> F32:
        return np.concatenate([np.zeros((SKY_ROWS, *values.shape[1:])), values]).astype(np.float32)

    facing = np.clip(surfaces.normal[rows] @ world.light.sun, 0, None)
    return Look(
        world=world,
        view=shot.view,
        low=padded(surfaces.low[rows]),
        high=padded(surfaces.high[rows]),
        parameters=padded(surfaces.parameters[rows].reshape(-1, PARAMETERS)),
        facing=padded(facing),
        sunlit=padded(sunny[thing]),
    )


def _colours(world: World, shot: Shot) -> F32:
    """Return (3,H,W) float32 in [0,1]."""
    materials = column(shot.scene, world.surfaces.material, _SKY_MATERIALS)[shot.ids]
    look = _look(world, shot)
    picture = np.empty((3, shot.ids.size), np.float32)
    for material, painter in PAINTERS:
        where = np.flatnonzero(materials == material)
        if not where.size:
            continue
        fragment = _fragment(shot, where)
        colours = painter(look, fragment)
        if material > Material.HILL:
            colours = _hazy(world, fragment, colours)
        for channel, colour in zip(picture, colours, strict=True):
            channel[where] = colour
    np.clip(picture, 0, 1, out=picture)
    return _softened(picture.reshape(3, *shot.view.size), shot.ids.reshape(shot.view.size))


def _hazy(world: World, fragment: Fragment, colours: list[F32]) -> list[F32]:
    keep = np.exp(fragment.depth * np.float32(-1 / world.light.haze_length))
    haze = world.light.haze.astype(np.float32)
    return [haze[c] + (colours[c] - haze[c]) * keep for c in range(3)]


def _fragment(shot: Shot, pixels: Rows) -> Fragment:
    view, table, row = shot.view, shot.table, shot.ids[pixels]
    u, v = (grid[pixels] for grid in pixel_grid(view.size, view.centre))

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
    """Return the picture with the steps at the borders of patches smoothed."""
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
