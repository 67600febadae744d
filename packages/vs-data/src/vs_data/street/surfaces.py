"""What a street is made of: flat patches, gathered into things that stand or move, as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import NamedTuple, TypeAlias

import attrs
import numpy as np

from vs_data.street.arrays import F32, F64, Bytes, Ints, Rows

Vec: TypeAlias = tuple[float, float, float]
Outline: TypeAlias = tuple[tuple[float, float], ...]

CORNERS = 10
"""Most corners of a patch."""

PARAMETERS = 8
"""Numbers that a patch carries for its material."""

UNIT_SQUARE: Outline = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))


class Material(IntEnum):
    """How a patch is painted."""

    SKY = 0
    HILL = 1
    ROAD = 2
    PAVEMENT = 3
    GRASS = 4
    FACADE = 5
    LEAVES = 6
    PLAIN = 7


class Layer(IntEnum):
    """What is painted before what: a thing never hides one of a later layer."""

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
    """How a thing moves, in closed form. All zeros: it stands.

    Attributes:
        speed: Metres per second along z.
        convoy: 1 when it keeps its distance to the camera, on average.
        surge: Amplitude of its oscillation along z, metres.
        rate: Of that oscillation, radians per second.
        phase: Of that oscillation, radians.
        reach: It crosses the street between -reach and reach, metres; 0: it does not.
        pace: Metres per second across.
        progress: Where on the way across and back it starts, metres.
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
    shared: bool = False


@attrs.frozen(kw_only=True, eq=False)
class Surfaces:
    """All patches of a world, one row each.

    Attributes:
        origin, u, v, swing, normal: (Q,3) float64.
        outline: (Q,CORNERS,3) float64: (s, t, 1), the last corner repeated.
        corners: (Q,) how many corners count.
        thing: (Q,) index of the thing.
        key: (Q,) int32: equal for patches that lie in one plane for ever and may continue each other.
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
    key: Ints
    material: Bytes
    label: Bytes
    instance: Ints
    low: F32
    high: F32
    parameters: F32


@attrs.frozen(kw_only=True, eq=False)
class Things:
    """All things of a world, one row each: layer (M,), anchor (M,3), extent (M,2), motion (M,10)."""

    layer: Rows
    anchor: F64
    extent: F64
    motion: F64


def gather(things: Sequence[Thing]) -> tuple[Surfaces, Things]:
    """The things as arrays. Things that are `shared` have one key for all of their patches of one label."""
    rows = [patch for thing in things for patch in thing.patches]
    owner = np.repeat(np.arange(len(things)), [len(thing.patches) for thing in things])
    columns = list(zip(*rows, strict=True))
    origin, u, v, facing, swing = (np.array(columns[i], np.float64) for i in (0, 1, 2, 8, 10))
    normal = np.cross(u, v)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    normal *= np.where((normal * facing).sum(axis=1, keepdims=True) < 0, -1.0, 1.0)
    labels = np.array(columns[5], np.uint8)
    shared = np.array([thing.shared for thing in things])[owner]
    surfaces = Surfaces(
        origin=origin,
        u=u,
        v=v,
        swing=swing,
        normal=normal,
        outline=_outlines(columns[3]),
        corners=np.array([len(outline) for outline in columns[3]]),
        thing=owner,
        key=np.where(shared, -1 - labels.astype(np.int32), np.arange(len(rows))).astype(np.int32),
        material=np.array(columns[4], np.uint8),
        label=labels,
        instance=np.array([thing.instance for thing in things], np.int32)[owner],
        low=np.array(columns[6], np.float32),
        high=np.array(columns[7], np.float32),
        parameters=np.array([row + (0.0,) * (PARAMETERS - len(row)) for row in columns[9]], np.float32),
    )
    return surfaces, Things(
        layer=np.array([thing.layer for thing in things]),
        anchor=np.array([thing.anchor for thing in things], np.float64),
        extent=np.array([thing.extent for thing in things], np.float64),
        motion=np.array([thing.motion for thing in things], np.float64),
    )


def _outlines(outlines: Sequence[Outline]) -> F64:
    padded = [outline + (outline[-1],) * (CORNERS - len(outline)) for outline in outlines]
    points = np.array(padded, np.float64)
    return np.concatenate([points, np.ones((*points.shape[:2], 1))], axis=2)
