"""Frames of a dancer: pictures, parts of the body, and exact flow between any two of them."""

from typing import NamedTuple

import cv2
import numpy as np

from vs_data.dancers.body import Body
from vs_data.dancers.cast import NONE, Figure, Seen, figure_of, look, nearest, on_screen
from vs_data.dancers.ground import shadow_of, surroundings
from vs_data.dancers.motion import Moment
from vs_data.dancers.paint import Material, colours_of, material_at
from vs_data.dancers.pose import FINER, samples_of, to_pixels
from vs_data.procedural.arrays import F32, F64, Bytes, Rows

_SAME_DEPTH = 0.012
"""What is so much nearer than a point, metres, may be the point itself."""

_SAME_SHADE = 0.03
"""Where shadows differ by less, the floor looks the same."""

_ROUNDING = 1e-3
"""What is less than this outside of the picture, pixels, is on its border."""

_REGION_OF = np.array([1, 2, 3, 3, 3, 1], np.uint8)
"""The region (`vs_data.clips.REGIONS`) of each `Stuff`; a face is skin, its features are too small."""


class Shot(NamedTuple):
    """A figure as a picture of size (H, W) shows it.

    Attributes:
        figure, size: Who in what pose, and the picture's size.
        seen: Of three samples a pixel in both directions.
        rows: (n,) numbers of the pixels whose middle the figure covers, row by row.
        material: What these show.
        shadow: (H,W) float32 how much darker the floor is.
    """

    figure: Figure
    size: tuple[int, int]
    seen: Seen
    rows: Rows
    material: Material
    shadow: F32


def shoot(body: Body, moment: Moment, size: tuple[int, int]) -> Shot:
    """Return what a picture of size (H, W) shows of a body at a moment."""
    figure = figure_of(body, moment)
    x, y = samples_of(size)
    seen = look(figure, x, y)
    middle = slice(FINER // 2, None, FINER)
    solid = seen.solid[middle, middle].ravel()
    rows = np.flatnonzero(solid != NONE)
    depth = seen.depth[middle, middle].ravel()[rows]
    lines, columns = np.divmod(rows, size[1])
    material = material_at(figure, solid[rows], x[middle][columns], y[middle][lines], depth)
    return Shot(figure, size, seen, rows, material, shadow_of(figure, size))


def picture_of(shot: Shot) -> F32:
    """Return (3,H,W) float32 in [0,1]."""
    figure, size = shot.figure, shot.size
    picture = surroundings(figure.body.person.looks, size) * (1 - shot.shadow)
    lines, columns = np.nonzero(shot.seen.solid != NONE)
    if not lines.size:
        return picture
    x, y = samples_of(size)
    where = shot.seen.solid[lines, columns], x[columns], y[lines], shot.seen.depth[lines, columns]
    # Only the rectangle that holds the figure is averaged.
    top, left = lines[0] // FINER, columns.min() // FINER
    bottom, right = lines[-1] // FINER + 1, columns.max() // FINER + 1
    fine = np.zeros(((bottom - top) * FINER, (right - left) * FINER, 4), np.float32)
    fine[lines - top * FINER, columns - left * FINER, :3] = colours_of(figure, material_at(figure, *where)).T
    fine[lines - top * FINER, columns - left * FINER, 3] = 1
    mean = cv2.resize(fine, (right - left, bottom - top), interpolation=cv2.INTER_AREA).transpose(2, 0, 1)
    part = picture[:, top:bottom, left:right]
    part[...] = part * (1 - mean[3]) + mean[:3]
    return picture


def _of_pixels(shot: Shot, values: Bytes) -> Bytes:
    """Return (H,W) values (n,) of the pixels that show the figure, 0 elsewhere."""
    picture = np.zeros(shot.size[0] * shot.size[1], values.dtype)
    picture[shot.rows] = values
    return picture.reshape(shot.size)


def regions_of(shot: Shot) -> Bytes:
    """Return (H,W) uint8 ids of `vs_data.clips.REGIONS`."""
    return _of_pixels(shot, _REGION_OF[shot.material.stuff])


def parts_of(shot: Shot) -> Bytes:
    """Return (H,W) uint8 ids of `vs_data.dancers.body.PARTS`."""
    return _of_pixels(shot, _parts(shot))


def _parts(shot: Shot) -> Bytes:
    body, solid, (x, _, z) = shot.figure.body, shot.material.solid, shot.material.point
    second = np.where(body.across[solid] > 0, x, z) > 0
    return np.asarray(body.parts[solid, second.astype(np.intp)], np.uint8)


def densepose_of(shot: Shot) -> Bytes:
    """Return (H,W,3) uint8 as files hold it: how far along a part and about it a point is, 0 to 255, and the part."""
    body, solid, (x, y, z) = shot.figure.body, shot.material.solid, shot.material.point
    across = body.across[solid] > 0
    around = np.arctan2(np.where(across, z, x), np.abs(np.where(across, x, z))) / np.float32(np.pi) + np.float32(0.5)
    start, end = body.length[solid].T
    along = np.clip((y - start) / (end - start), 0, 1)
    places = (np.asarray(np.rint(part * 255), np.uint8) for part in (along, around))
    return np.stack([_of_pixels(shot, values) for values in (*places, _parts(shot))], axis=-1)


def flow_between(shot: Shot, other: Shot) -> tuple[F32, F32]:
    """Return where what one picture shows is in another picture of the same person.

    Returns:
        (2,H,W) float32 pixels, x then y: pixel p of `shot` shows what is at p + flow in `other`; and (1,H,W) float32, 1
        where that point can be seen in `other`, else 0. The floor is not trusted where the shadow on it is another.
    """
    height, width = shot.size
    flow = np.zeros((2, height * width), np.float32)
    same = np.abs(shot.shadow - other.shadow).ravel() < _SAME_SHADE
    trusted = (_bare(shot) & _bare(other) & same).astype(np.float32)
    place = on_screen(other.figure, other.figure.body.bone[shot.material.solid], shot.material.point)
    there = to_pixels(place, shot.size)
    flow[:, shot.rows] = there - np.stack(np.divmod(shot.rows, width)[::-1])
    trusted[shot.rows] = _visible(other, place, there)
    return flow.reshape(2, height, width), trusted.reshape(1, height, width)


def _bare(shot: Shot) -> Bytes:
    """Return (H*W,) whether a pixel shows nothing of the figure in its middle."""
    bare = np.ones(shot.size[0] * shot.size[1], bool)
    bare[shot.rows] = False
    return bare


def _visible(shot: Shot, place: F64, pixel: F64) -> Bytes:
    """Return (n,) whether points (3,n) of the screen, at pixels (2,n), are in the picture and nothing hides them."""
    last = np.array([[shot.size[1] - 1], [shot.size[0] - 1]])
    inside = ((pixel > -_ROUNDING) & (pixel < last + _ROUNDING)).all(axis=0)
    x, y, z = place.astype(np.float32)
    return np.asarray(inside & (nearest(shot.figure, x, y) < z + np.float32(_SAME_DEPTH)))
