"""Casting points of the screen against a person: which surface is nearest, and where it is hit."""

from typing import NamedTuple

import numpy as np

from vs_data.faces.features import jaw_rest
from vs_data.faces.head import Subject, look_up
from vs_data.faces.identity import Glasses, Shape
from vs_data.faces.parts import ON_BODY, Part, Solid, hairline
from vs_data.faces.stage import Stage, from_screen
from vs_data.procedural.arrays import F32, F64, Bytes, Rows

_STEPS = 7
_MIN_SLOPE = 1.6  # of a parabola that comes to 0, over the root of its value: beside the nose the slope may be less
_NEAR_ENOUGH = 3e-3  # of z*z - q
_INNER = np.float32(0.88)  # part of a head's half axes
_MAX_RADIUS = 1.5
_SEARCH_STEPS = 41
_LENS_GAP = 0.10
_TEMPLE = 0.030


class Hits(NamedTuple):
    """The surfaces that some points of the screen show.

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
    """Return what points (n,) of the screen show: the surfaces alone, nothing yet of what is painted on the face."""
    buffer = _Buffer(x, y, np.full(x.shape, -np.inf, np.float32), np.zeros(x.shape, np.uint8))
    for solid in subject.solids:
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
    """Return the points inside of a rectangle."""
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
    """Find the head by Newton's method from outside: on a ray z*z - q is nearly a parabola, never overshot.

    Only rays that graze the nose and then meet the cheek may be lost; those are searched step by step.
    """
    shape, placement = subject.identity.shape, stage.head
    radii = np.array([shape.width + 0.06, shape.height + 0.10 + stage.moment.open, shape.depth + shape.nose_height])
    axes = placement.matrix * radii
    rows = _within(buffer, placement.offset, np.sqrt((axes * axes).sum(axis=1)))
    start = np.float32(placement.offset[2] + 1.25 * stage.moment.scale)
    place = from_screen(placement, buffer.x[rows], buffer.y[rows], np.full(rows.shape, start, np.float32))
    way = placement.inverse[:, 2].astype(np.float32)
    gone = np.zeros(rows.shape, np.float32)
    for _ in range(_STEPS):
        value, slope = _above(subject, stage, place, way, gone)
        slope = np.maximum(slope, np.float32(_MIN_SLOPE) * np.sqrt(np.maximum(value, np.float32(1e-4))))
        gone = gone + np.maximum(value / slope, np.float32(-0.2))
    value, slope = _above(subject, stage, place, way, gone)
    hit = (np.abs(value) < _NEAR_ENOUGH) & (slope > 0) & (gone < 3)
    lost = np.flatnonzero(~hit)
    lost = lost[_certain(shape, place[:, lost], way)]
    if lost.size:
        gone[lost], hit[lost] = _search(subject, stage, place[:, lost], way), True
    _put(buffer, rows, np.where(hit, start - gone, -np.inf), Part.SKIN)


def _above(subject: Subject, stage: Stage, place: F32, way: F32, gone: F32) -> tuple[F32, F32]:
    """Return what z*z - q is after going from `place` (3,n) for `gone` (n,) against `way` (3,), and its slope there."""
    x, y, z = (start - gone * step for start, step in zip(place, way, strict=True))
    q, along_x, along_y = look_up(subject.surface, x, jaw_rest(subject.identity.shape, stage.moment, x, y)).T
    return z * z - q, 2 * z * way[2] - along_x * way[0] - along_y * way[1]


def _certain(shape: Shape, place: F32, way: F32) -> F32:
    """Return (n,) whether rays through `place` (3,n) meet an ellipsoid well inside of the head."""
    radii = np.array([[shape.width * (1 - 0.35 * shape.taper)], [shape.height], [shape.depth]], np.float32) * _INNER
    place, way = place / radii, way / radii[:, 0]
    nearest = (place * place).sum(axis=0) - (place * way[:, None]).sum(axis=0) ** 2 / (way * way).sum()
    return np.asarray(nearest < 1)


def _search(subject: Subject, stage: Stage, place: F32, way: F32) -> F32:
    """Return how far (n,) rays that are certain to meet the head go until they do: steps, then bisection."""
    count = place.shape[1]
    inside = np.full(count, _MAX_RADIUS, np.float32)
    for gone in np.linspace(_MAX_RADIUS, 0, _SEARCH_STEPS, dtype=np.float32):
        below = _above(subject, stage, place, way, np.full(count, gone))[0] < 0
        inside = np.where(below, gone, inside)
    outside = inside - np.float32(_MAX_RADIUS / (_SEARCH_STEPS - 1))
    for _ in range(10):
        middle = (outside + inside) / 2
        below = _above(subject, stage, place, way, middle)[0] < 0
        outside, inside = np.where(below, outside, middle), np.where(below, middle, inside)
    return inside


def _cast_glasses(buffer: _Buffer, shape: Shape, glasses: Glasses, stage: Stage) -> None:
    """Cast rays on two rims and the bridge in a plane before the eyes, and temples in planes from there to the ears."""
    # Only points near the glasses are looked at: most of a picture shows none.
    lens = _lens_depth(shape)
    outer = shape.eye_x + glasses.width
    ear = shape.width + 0.05
    reach = np.abs(stage.head.matrix[:, :2]) @ (ear + 0.05, shape.eye_width + glasses.height + 0.3)
    middle = stage.head.matrix @ (0.0, shape.eye_y, 0.5 * lens) + stage.head.offset
    reach = reach + np.abs(stage.head.matrix[:, 2]) * 0.7 * lens
    rows = _within(buffer, middle, reach)

    def hit(normal: tuple[float, float, float], distance: float) -> tuple[F32, F32]:
        """Return depth (m,) and point (3,m) where the points' rays meet the plane normal * point = distance."""
        tilt = stage.head.inverse.T @ np.array(normal)
        away = distance + tilt @ stage.head.offset
        depth = (np.float32(away) - tilt[0] * buffer.x[rows] - tilt[1] * buffer.y[rows]) / np.float32(tilt[2])
        return depth.astype(np.float32), from_screen(stage.head, buffer.x[rows], buffer.y[rows], depth)

    # Rims and bridge are in one plane, the temples in one on each side of the head.
    depth, (x, y, _) = hit((0.0, 0.0, 1.0), lens)
    _put(buffer, rows, np.where(_on_rim(shape, glasses, x, y), depth, -np.inf), Part.GLASSES)
    for side in (-1.0, 1.0):
        normal = (side * lens, 0.0, ear - outer)
        depth, (x, y, z) = hit(normal, outer * lens)
        on = (z > 0) & (z < lens) & (np.abs(y - np.float32(shape.eye_y - 0.04)) < _TEMPLE)
        _put(buffer, rows, np.where(on & (side * x > 0), depth, -np.inf), Part.GLASSES)


def _lens_depth(shape: Shape) -> float:
    """Return the z of the glasses: before the eyes and the bridge of the nose."""
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
