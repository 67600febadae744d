"""What a street is made of: flat patches, gathered into things that stand or move, as arrays."""

from collections.abc import Callable, Sequence
from enum import IntEnum
from typing import NamedTuple, TypeAlias, TypeVar

import attrs
import numpy as np
from numpy.typing import NDArray

from vs_data.procedural.arrays import F32, F64, Bytes, Ints, Rows

Shared = TypeVar("Shared")
Value = TypeVar("Value", bound=np.generic)

Vec: TypeAlias = tuple[float, float, float]
Outline: TypeAlias = tuple[tuple[float, float], ...]

CORNERS = 10
"""Corners that a patch may have."""

PARAMETERS = 8
"""Numbers that a patch carries for its material."""

UNIT_SQUARE: Outline = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))


class Material(IntEnum):
    """A way to paint a patch."""

    SKY = 0
    HILL = 1
    ROAD = 2
    PAVEMENT = 3
    GRASS = 4
    FACADE = 5
    LEAVES = 6
    PLAIN = 7


class Layer(IntEnum):
    """A layer of things that are painted one after the other: none hides one of a later layer."""

    GROUND = 0
    BACKDROP = 1
    PAVEMENT = 2
    SHADOW = 3
    BEYOND = 4
    SIDEWALK = 5
    PARKED = 6
    DRIVING = 7


class Label(IntEnum):
    """Cityscapes class ids that occur in the street."""

    ROAD = 7
    SIDEWALK = 8
    BUILDING = 11
    POLE = 17
    VEGETATION = 21
    TERRAIN = 22
    SKY = 23
    PERSON = 24
    CAR = 26


class Patch(NamedTuple):
    """A flat convex polygon: points origin + s u + t v for (s, t) inside `outline`.

    Attributes:
        low: Colour at t = 0, before light.
        high: Colour at t = 1.
        facing: Any vector on the visible side; the patch cannot be seen from the other.
        parameters: For the material, see there.
        swing: Added to v, times the sine of the thing's stride.
    """

    origin: Vec
    u: Vec
    v: Vec
    outline: Outline
    material: Material
    label: Label
    low: Vec
    high: Vec
    facing: Vec
    parameters: tuple[float, ...] = ()
    swing: Vec = (0.0, 0.0, 0.0)


class Motion(NamedTuple):
    """A motion of a thing, in closed form. All zeros: it stands.

    Attributes:
        speed: Metres per second along z.
        convoy: 1 when it keeps its distance to the camera, on average.
        surge: Amplitude of its oscillation along z, metres.
        rate: Of that oscillation, radians per second.
        phase: Of that oscillation, radians.
        reach: It goes to and fro between -reach and reach, metres; 0: it does not.
        pace: Metres per second to and fro.
        progress: Where on the way there and back it starts, metres.
        along: 1 when it goes to and fro along the street, 0: across.
        stride: Steps, radians per second.
        shadow: 1 when only its outline moves and what is painted belongs to the ground.
    """

    speed: float = 0.0
    convoy: float = 0.0
    surge: float = 0.0
    rate: float = 0.0
    phase: float = 0.0
    reach: float = 0.0
    pace: float = 0.0
    progress: float = 0.0
    along: float = 0.0
    stride: float = 0.0
    shadow: float = 0.0


STILL = Motion()


class Thing(NamedTuple):
    """Patches that stay together. `anchor` decides its order in depth and its sunlight; `extent` is its z range."""

    patches: Sequence[Patch]
    layer: Layer
    anchor: Vec
    extent: tuple[float, float]
    motion: Motion = STILL
    instance: int = 0


@attrs.frozen(kw_only=True, eq=False)
class Surfaces:
    """All patches of a world, one row each.

    Attributes:
        origin, u, v, swing, normal: (Q,3) float64.
        outline: (Q,CORNERS,3) float64: (s, t, 1), the last corner repeated.
        corners: (Q,) how many corners count.
        thing: (Q,) index of the thing.
        body: (Q,) int32: equal for patches that keep their places to each other; 0: ground and houses.
        plane: (Q,) int32: equal for patches of one body that lie in one plane.
        material, label: (Q,) uint8.
        instance: (Q,) int32.
        low, high: (Q,3) float32 colours before light.
        parameters: (Q,PARAMETERS) float32.
    """

    origin: F64
    u: F64
    v: F64
    swing: F64
    normal: F64
    outline: F64
    corners: Rows
    thing: Rows
    body: Ints
    plane: Ints
    material: Bytes
    label: Bytes
    instance: Ints
    low: F32
    high: F32
    parameters: F32


@attrs.frozen(kw_only=True, eq=False)
class Things:
    """All things of a world, one row each: layer (M,), anchor (M,3), extent (M,2), motion (M,11)."""

    layer: Rows
    anchor: F64
    extent: F64
    motion: F64


def gather(things: Sequence[Thing]) -> tuple[Surfaces, Things]:
    """Return the things as arrays."""
    rows = [patch for thing in things for patch in thing.patches]
    owner = np.repeat(np.arange(len(things)), [len(thing.patches) for thing in things])
    columns = list(zip(*rows, strict=True))
    origin, u, v, facing, swing = (np.array(columns[i], np.float64) for i in (0, 1, 2, 8, 10))
    # Patches are made without minding which way round; `facing` says which side is seen.
    normal = np.cross(u, v)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    normal *= np.where((normal * facing).sum(axis=1, keepdims=True) < 0, -1.0, 1.0)
    motion = np.array([thing.motion for thing in things], np.float64)
    labels = np.array(columns[5], np.uint8)
    # By these numbers a pixel is known to show the body, or the plane, that one of the frame before shows.
    body = _bodies(owner, motion, labels, np.abs(swing).sum(axis=1) > 0)
    surfaces = Surfaces(
        origin=origin,
        u=u,
        v=v,
        swing=swing,
        normal=normal,
        outline=_each(columns[3], _outlines),
        corners=_each(columns[3], _counts),
        thing=owner,
        body=body.astype(np.int32),
        plane=_planes(body, normal, origin),
        material=np.array(columns[4], np.uint8),
        label=labels,
        instance=np.array([thing.instance for thing in things], np.int32)[owner],
        low=np.array(columns[6], np.float32),
        high=np.array(columns[7], np.float32),
        parameters=_each(columns[9], _parameters),
    )
    return surfaces, Things(
        layer=np.array([thing.layer for thing in things]),
        anchor=np.array([thing.anchor for thing in things], np.float64),
        extent=np.array([thing.extent for thing in things], np.float64),
        motion=motion,
    )


def _bodies(owner: Rows, motion: F64, labels: Bytes, limbs: NDArray[np.bool_]) -> Rows:
    """Return (Q,) 0 for ground and houses, else a number for each thing or limb."""
    ground = np.isin(labels, (Label.ROAD, Label.SIDEWALK, Label.TERRAIN, Label.BUILDING))
    moving = np.abs(motion).sum(axis=1) > 0
    things = np.where(ground & ~moving[owner], 0, 1 + owner)
    return np.where(limbs, 1 + len(motion) + np.arange(len(owner)), things)


def _planes(body: Rows, normal: F64, origin: F64) -> Ints:
    """Return (Q,) int32 one number for all patches of a body whose planes are equal to a few centimetres."""
    steps = np.rint(normal * 64).astype(np.int64) + 64
    tilts, tilt = np.unique((steps[:, 0] << 16) | (steps[:, 1] << 8) | steps[:, 2], return_inverse=True)
    offset = np.rint((normal * origin).sum(axis=1) * 40).astype(np.int64) + (1 << 23)
    code = (body.astype(np.int64) * len(tilts) + tilt) << 24 | offset
    return np.unique(code, return_inverse=True)[1].astype(np.int32)


def _each(rows: Sequence[Shared], convert: Callable[[list[Shared]], NDArray[Value]]) -> NDArray[Value]:
    """Return `convert` of rows many of which are the same object, done once for each object."""
    distinct = {id(row): row for row in rows}
    place = dict(zip(distinct, range(len(distinct)), strict=True))
    return convert(list(distinct.values()))[[place[id(row)] for row in rows]]


def _outlines(outlines: list[Outline]) -> F64:
    points = np.array([outline + (outline[-1],) * (CORNERS - len(outline)) for outline in outlines], np.float64)
    return np.concatenate([points, np.ones((*points.shape[:2], 1))], axis=2)


def _counts(outlines: list[Outline]) -> Rows:
    return np.array([len(outline) for outline in outlines])


def _parameters(rows: list[tuple[float, ...]]) -> F32:
    return np.array([row + (0.0,) * (PARAMETERS - len(row)) for row in rows], np.float32)
