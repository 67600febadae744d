"""Casting points of the screen against a person: which surface is nearest, and where it is hit."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from vs_data.faces.arrays import F32, F64, Bytes, Rows
from vs_data.faces.features import jaw_rest
from vs_data.faces.head import EXTENT, Subject, look_up
from vs_data.faces.identity import Glasses, Shape
from vs_data.faces.parts import ON_BODY, Part, Solid, hairline, solids_of
from vs_data.faces.stage import Stage, from_screen

_STEPS = 6
_NEAR_ENOUGH = 3e-3  # of z*z - q
_SHALLOW = 0.02  # the least slope of z*z - q along a ray that can still be followed
_LENS_GAP = 0.10
_TEMPLE = 0.030


class Hits(NamedTuple):
    """What some points of the screen show.

    Attributes:
        part: (n,) uint8 `Part`.
        point: (3,n) float32: where that is, in the coordinates of the head or of the body; zeros in the background.
    """

    part: Bytes
    point: F32


class _Buffer(NamedTuple):
    """The points of the screen (n,) and what is nearest there so far."""

    x: F32
    y: F32
    depth: F32
    part: Bytes


def cast(subject: Subject, stage: Stage, x: F32, y: F32) -> Hits:
    """What points (n,) of the screen show: the surfaces alone, nothing yet of what is painted on the face."""
    buffer = _Buffer(x, y, np.full(x.shape, -np.inf, np.float32), np.zeros(x.shape, np.uint8))
    for solid in solids_of(subject.identity):
        _cast_solid(buffer, solid, stage)
    _cast_head(buffer, subject, stage)
    if subject.identity.looks.glasses is not None:
        _cast_glasses(buffer, subject.identity.shape, subject.identity.looks.glasses, stage)
    return _hits(buffer, stage)


def _hits(buffer: _Buffer, stage: Stage) -> Hits:
    point = np.zeros((3, buffer.x.size), np.float32)
    on_body = ON_BODY[buffer.part]
    there = buffer.part != Part.BACKGROUND
    for placement, mask in ((stage.head, there & ~on_body), (stage.body, there & on_body)):
        rows = np.flatnonzero(mask)
        point[:, rows] = from_screen(placement, buffer.x[rows], buffer.y[rows], buffer.depth[rows])
    return Hits(buffer.part, point)


def _put(buffer: _Buffer, rows: Rows, depth: F32, part: Part) -> None:
    """Show a surface at the points `rows` (m,) where it is nearer than what is there; depth (m,) may be -inf."""
    nearer = depth > buffer.depth[rows]
    rows = rows[nearer]
    buffer.depth[rows] = depth[nearer]
    buffer.part[rows] = part


def _within(buffer: _Buffer, middle: F64, reach: F64) -> Rows:
    """The points inside of a rectangle."""
    return np.flatnonzero(
        (np.abs(buffer.x - np.float32(middle[0])) <= np.float32(reach[0]))
        & (np.abs(buffer.y - np.float32(middle[1])) <= np.float32(reach[1]))
    )


def _cast_solid(buffer: _Buffer, solid: Solid, stage: Stage) -> None:
    placement = stage.body if solid.body else stage.head
    middle = placement.matrix @ np.array(solid.centre) + placement.offset
    axes = placement.matrix * np.array(solid.radii)
    rows = _within(buffer, middle, np.sqrt((axes * axes).sum(axis=1)))
    form = np.linalg.inv(axes @ axes.T)
    x, y = buffer.x[rows] - np.float32(middle[0]), buffer.y[rows] - np.float32(middle[1])
    a, b = form[2, 2], form[0, 2] * x + form[1, 2] * y
    c = form[0, 0] * x * x + 2 * form[0, 1] * x * y + form[1, 1] * y * y - 1
    inside = b * b - a * c
    seen = inside > 0
    rows, root, b = rows[seen], np.sqrt(inside[seen]), b[seen]
    front, back = ((sign * root - b) / np.float32(a) + np.float32(middle[2]) for sign in (1, -1))
    if solid.cut is None:
        _put(buffer, rows, front, solid.part)
        return
    for depth in (front, back):  # through the opening one sees the shell from inside
        px, py, pz = from_screen(placement, buffer.x[rows], buffer.y[rows], depth)
        _put(buffer, rows, np.where(py < hairline(solid.cut, px, pz), depth, -np.inf), solid.part)


def _cast_head(buffer: _Buffer, subject: Subject, stage: Stage) -> None:
    """Newton's method from outside: along a ray z*z - q is nearly a parabola, which it never overshoots."""
    shape, placement = subject.identity.shape, stage.head
    radii = np.array([shape.width + 0.06, shape.height + 0.10 + stage.moment.open, shape.depth + shape.nose_height])
    axes = placement.matrix * radii
    rows = _within(buffer, placement.offset, np.sqrt((axes * axes).sum(axis=1)))
    depth = np.full(rows.shape, placement.offset[2] + 1.25 * stage.moment.scale, np.float32)
    x, y, z = from_screen(placement, buffer.x[rows], buffer.y[rows], depth)
    dx, dy, dz = placement.inverse[:, 2].astype(np.float32)
    gone = np.zeros_like(depth)
    for step in range(_STEPS + 1):
        q, along_x, along_y = look_up(subject.surface, x, jaw_rest(shape, stage.moment, x, y)).T
        value = z * z - q
        slope = 2 * z * dz - along_x * dx - along_y * dy
        if step < _STEPS:
            back = value / np.maximum(slope, np.float32(_SHALLOW))
            back = np.minimum(back, np.float32(0.8))
            x, y, z, gone = x - back * dx, y - back * dy, z - back * dz, gone + back
    hit = (np.abs(value) < _NEAR_ENOUGH) & (slope > 0) & (np.abs(x) < EXTENT) & (np.abs(y) < EXTENT)
    _put(buffer, rows, np.where(hit, depth - gone, -np.inf), Part.SKIN)


def _cast_glasses(buffer: _Buffer, shape: Shape, glasses: Glasses, stage: Stage) -> None:
    """Two rims and the bridge in a plane before the eyes, temples in planes from there to the ears."""
    lens = _lens_depth(shape)
    outer = shape.eye_x + glasses.width
    ear = shape.width + 0.05
    reach = np.abs(stage.head.matrix[:, :2]) @ (ear + 0.05, shape.eye_width + glasses.height + 0.3)
    middle = stage.head.matrix @ (0.0, shape.eye_y, 0.5 * lens) + stage.head.offset
    reach = reach + np.abs(stage.head.matrix[:, 2]) * 0.7 * lens
    rows = _within(buffer, middle, reach)

    def hit(normal: tuple[float, float, float], distance: float) -> tuple[F32, F32]:
        """Depth (m,) and point (3,m) where the points' rays meet the plane normal * point = distance."""
        tilt = stage.head.inverse.T @ np.array(normal)
        away = distance + tilt @ stage.head.offset
        depth = (np.float32(away) - tilt[0] * buffer.x[rows] - tilt[1] * buffer.y[rows]) / np.float32(tilt[2])
        return depth.astype(np.float32), from_screen(stage.head, buffer.x[rows], buffer.y[rows], depth)

    depth, (x, y, _) = hit((0.0, 0.0, 1.0), lens)
    _put(buffer, rows, np.where(_on_rim(shape, glasses, x, y), depth, -np.inf), Part.GLASSES)
    for side in (-1.0, 1.0):
        normal = (side * lens, 0.0, ear - outer)
        depth, (x, y, z) = hit(normal, outer * lens)
        on = (z > 0) & (z < lens) & (np.abs(y - np.float32(shape.eye_y - 0.04)) < _TEMPLE)
        _put(buffer, rows, np.where(on & (side * x > 0), depth, -np.inf), Part.GLASSES)


def _lens_depth(shape: Shape) -> float:
    """The z of the glasses: before the eyes and the bridge of the nose."""
    return shape.depth * float(np.sqrt(1 - (0.55 * shape.eye_x / shape.width) ** 2)) + _LENS_GAP


def _on_rim(shape: Shape, glasses: Glasses, x: F32, y: F32) -> F32:
    across, down = np.abs(x) - np.float32(shape.eye_x), y - np.float32(shape.eye_y)
    power = glasses.roundness
    radius = (
        (np.abs(across) * np.float32(1 / glasses.width)) ** power
        + (np.abs(down) * np.float32(1 / glasses.height)) ** power
    ) ** np.float32(1 / power)
    rim = np.abs(radius - 1) < np.float32(2 * glasses.rim / (glasses.width + glasses.height) * 1.15)
    inner = shape.eye_x - glasses.width
    bridge = (np.abs(x) < np.float32(inner)) & (
        np.abs(down + np.float32(0.05) + 0.5 * x * x) < np.float32(1.1 * glasses.rim)
    )
    return np.asarray(rim | bridge)
