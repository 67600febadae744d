"""What a body is made of: ellipsoids and cones, each fixed to a bone, and what stuff they show."""

from collections.abc import Iterator
from enum import IntEnum
from functools import lru_cache
from typing import NamedTuple, TypeAlias

import attrs
import numpy as np

from vs_data.dancers.person import Looks, Person, Shape, draw_person
from vs_data.dancers.pose import Bone
from vs_data.procedural.arrays import F32, F64, Bytes, Rows

PARTS = (
    "background",
    "torso, back",
    "torso, front",
    "right hand",
    "left hand",
    "left foot",
    "right foot",
    "right thigh, back",
    "left thigh, back",
    "right thigh, front",
    "left thigh, front",
    "right shin, back",
    "left shin, back",
    "right shin, front",
    "left shin, front",
    "left upper arm, front",
    "right upper arm, front",
    "left upper arm, back",
    "right upper arm, back",
    "left forearm, front",
    "right forearm, front",
    "left forearm, back",
    "right forearm, back",
    "head, right",
    "head, left",
)
"""Parts of a body by id, numbered as DensePose does; 0 is what is no body. A skirt and hair are what they cover."""

_TRUNK = (1, 2)
_HEAD = (23, 24)
_ARMS = ((18, 16), (22, 20), (3, 3)), ((17, 15), (21, 19), (4, 4))
_LEGS = ((7, 9), (11, 13), (6, 6)), ((8, 10), (12, 14), (5, 5))

Vector: TypeAlias = tuple[float, float, float]


class Stuff(IntEnum):
    """What a point of a body is made of."""

    NOTHING = 0
    SKIN = 1
    HAIR = 2
    TOP = 3
    BOTTOM = 4
    SHOES = 5
    FACE = 6
    """The head in front of the hairline: skin, eyes, brows, mouth."""


class Solid(NamedTuple):
    """An ellipsoid, or a cone without ends whose axis is y; both in the coordinates of a bone.

    Attributes:
        bone: What it is fixed to.
        parts: Ids of `PARTS`: at its back and its front; of the head on its right and its left.
        centre: Of the ellipsoid; or of the cone's upper end.
        radii: Of the ellipsoid; or of the cone's upper end, its length for y.
        end: Radius x of the cone's lower end; None: it is an ellipsoid.
        hem: y at which its stuff changes.
        above, below: Stuff above and below the hem.
        across: Whether its two parts are right and left of each other, not back and front.
        length: (y of the start, y of the end) of the part that it belongs to, for the place along it.
    """

    bone: Bone
    parts: tuple[int, int]
    centre: Vector
    radii: Vector
    end: float | None = None
    hem: float = -9.0
    above: Stuff = Stuff.SKIN
    below: Stuff = Stuff.SKIN
    across: bool = False
    length: tuple[float, float] = (-0.1, 0.3)


@attrs.frozen(kw_only=True, eq=False)
class Body:
    """A person and their n solids as tables.

    A solid is where square @ (x*x, y*y, z*z) + 2 * linear @ (x, y, z) + constant <= 0 in its bone's coordinates, and
    y is from `low` to `high`. It is the hull of two ellipsoids, `ends`, or within.

    Attributes:
        person: Who it is.
        bone: (n,).
        square, linear: (n,3).
        constant, low, high: (n,).
        ends: (n,2,3) centres of its two ends.
        ends_radii: (n,2,3).
        hem: (n,).
        stuff: (n,2) above and below the hem.
        parts: (n,2) ids of `PARTS`.
        across: (n,) whether these are right and left of each other.
        length: (n,2) y at which the part begins and ends.
    """

    person: Person
    bone: Rows
    square: F64
    linear: F64
    constant: F64
    low: F64
    high: F64
    ends: F64
    ends_radii: F64
    hem: F32
    stuff: Bytes
    parts: Bytes
    across: Bytes
    length: F32


@lru_cache(maxsize=64)
def build_body(seed: int, number: int) -> Body:
    """Build person `number` of a family of people."""
    return body_of(draw_person(seed, number))


def body_of(person: Person) -> Body:
    """Build the body of a person."""
    solids = (*_trunk(person), *_head(person), *(solid for side in (0, 1) for solid in _limbs(person, side)))
    square, linear, constant, low, high, ends, radii = (
        np.array(values) for values in zip(*(_quadric(solid) for solid in solids), strict=True)
    )
    return Body(
        person=person,
        bone=np.array([solid.bone for solid in solids]),
        square=square,
        linear=linear,
        constant=constant,
        low=low,
        high=high,
        ends=ends,
        ends_radii=radii,
        hem=np.array([solid.hem for solid in solids], np.float32),
        stuff=np.array([(solid.above, solid.below) for solid in solids], np.uint8),
        parts=np.array([solid.parts for solid in solids], np.uint8),
        across=np.array([solid.across for solid in solids], np.uint8),
        length=np.array([solid.length for solid in solids], np.float32),
    )


def _quadric(solid: Solid) -> tuple[F64, F64, float, float, float, F64, F64]:
    """Return square, linear, constant, low, high, ends and their radii: see `Body`."""
    centre, radii = np.array(solid.centre), np.array(solid.radii)
    if solid.end is None:
        square = (radii[0] / radii) ** 2
        linear = -square * centre
        constant = float(square @ centre**2 - radii[0] ** 2)
        return square, linear, constant, -9.0, 9.0, np.stack([centre, centre]), np.stack([radii, radii])
    top, length, flat = centre[1], radii[1], radii[2] / radii[0]
    slope = (solid.end - radii[0]) / length  # the radius at y is start + slope * y
    start = radii[0] - slope * top
    square = np.array([1.0, -(slope**2), flat**-2])
    linear = np.array([-centre[0], -start * slope, -centre[2] / flat**2])
    constant = float(centre[0] ** 2 + (centre[2] / flat) ** 2 - start**2)
    ends = np.stack([centre, centre + np.array([0.0, length, 0.0])])
    widths = np.array([(radii[0], 0.0, radii[2]), (solid.end, 0.0, solid.end * flat)])
    return square, linear, constant, float(top), float(top + length), ends, widths


def _trunk(person: Person) -> Iterator[Solid]:
    shape, looks = person.shape, person.looks
    belt, middle = -0.5 * shape.waist, (-shape.torso - shape.waist, 0.12)
    flat = 0.64
    hips = max(shape.hips + 0.072 * shape.build, 0.9 * shape.belly)
    clothed = {"above": Stuff.TOP, "below": Stuff.BOTTOM, "hem": belt, "length": middle}
    yield Solid(Bone.PELVIS, _TRUNK, (0.0, 0.0, -0.005), (hips, 0.115, hips * 0.70), **clothed)
    yield Solid(
        Bone.PELVIS,
        _TRUNK,
        (0.0, -shape.waist, 0.0),
        (shape.belly, shape.waist, shape.belly * flat),
        end=hips,
        **clothed,
    )
    if looks.skirt is not None:
        start = -0.6 * shape.waist
        wide = hips * 1.02
        yield Solid(
            Bone.PELVIS, _TRUNK, (0.0, start, 0.0), (wide, looks.skirt, wide * 0.74), wide * 1.3 + 0.28 * looks.skirt,
            **clothed | {"hem": -9.0},
        )  # fmt: skip
    yield from _chest(shape, looks, flat)


def _chest(shape: Shape, looks: Looks, flat: float) -> Iterator[Solid]:
    neckline = looks.neckline - shape.torso
    clothed = {"above": Stuff.SKIN, "below": Stuff.TOP, "hem": neckline, "length": (-shape.torso, shape.waist + 0.12)}
    belly = (shape.belly, shape.belly * 0.9, shape.belly * flat)
    yield Solid(Bone.CHEST, _TRUNK, (0.0, 0.0, 0.0), belly, **clothed)
    top = 0.13 - shape.torso
    trunk = (shape.chest, -top, shape.chest * flat)
    yield Solid(Bone.CHEST, _TRUNK, (0.0, top, 0.0), trunk, end=shape.belly, **clothed)
    yield Solid(Bone.CHEST, _TRUNK, (0.0, top, 0.0), (shape.chest, 0.125, shape.chest * flat), **clothed)
    yoke = (shape.shoulders + 0.005, 0.055 * shape.build**0.5, 0.062 * shape.build**0.5)
    yield Solid(Bone.CHEST, _TRUNK, (0.0, 0.045 - shape.torso, 0.0), yoke, **clothed)
    neck = 0.047 * shape.build**0.5
    place = (0.0, -shape.torso - shape.neck - 0.02, -0.005)
    yield Solid(Bone.CHEST, _TRUNK, place, (neck, shape.neck + 0.06, neck), end=neck * 1.15, **clothed)


def _head(person: Person) -> Iterator[Solid]:
    shape, looks = person.shape, person.looks
    high = shape.head
    wide, deep = 0.73 * high, 0.86 * high
    centre = (0.0, -0.82 * high, 0.012)
    length = (-1.82 * high, 0.2 * high)
    usual = {"across": True, "length": length}
    yield Solid(Bone.HEAD, _HEAD, centre, (wide, high, deep), above=Stuff.FACE, below=Stuff.FACE, **usual)
    nose = (0.0, -0.72 * high, 0.012 + deep)
    tip = (0.11 * high, 0.16 * high, 0.12 * high)
    yield Solid(Bone.HEAD, _HEAD, nose, tip, **usual)
    hair = {"above": Stuff.HAIR, "below": Stuff.HAIR, **usual}

    def lump(x: float, y: float, z: float, radii: Vector) -> Solid:
        place = (x * high, centre[1] + y * high, centre[2] + z * high)
        return Solid(Bone.HEAD, _HEAD, place, (radii[0] * high, radii[1] * high, radii[2] * high), **hair)

    match looks.style:
        case "bald" | "short":
            pass
        case "curls":
            yield lump(0.0, -0.36, -0.30, (1.02, 0.86, 0.92))
        case "bob":
            yield lump(0.0, -0.02, -0.34, (0.92, 1.00, 0.74))
        case "long":
            yield lump(0.0, -0.10, -0.30, (0.86, 1.02, 0.78))
            yield lump(0.0, 0.95, -0.58, (0.72, 1.15, 0.38))
        case "bun":
            yield lump(0.0, -0.85, -0.50, (0.38, 0.36, 0.38))
        case "tail":
            yield lump(0.0, -0.45, -0.95, (0.24, 0.24, 0.24))
            yield lump(0.0, 0.25, -1.15, (0.22, 0.80, 0.20))


def _limbs(person: Person, side: int) -> Iterator[Solid]:
    first = Bone.LEFT_UPPER_ARM if side else Bone.RIGHT_UPPER_ARM
    upper, fore, hand, thigh, shin, foot = (Bone(first + index) for index in range(6))
    yield from _arm(person, (upper, fore, hand), _ARMS[side])
    yield from _leg(person, (thigh, shin, foot), _LEGS[side])


def _arm(person: Person, bones: tuple[Bone, ...], parts: tuple[tuple[int, int], ...]) -> Iterator[Solid]:
    shape, sleeves = person.shape, person.looks.sleeves
    upper, fore, hand = bones
    thick = shape.build**0.7
    start, elbow, wrist = 0.050 * thick, 0.038 * thick, 0.026 * thick
    # Loose sleeves are wider than the arm.
    loose = 1.12 if sleeves > 0.8 else 1.0
    dressed = {"above": Stuff.TOP, "below": Stuff.SKIN}
    on_upper = dressed | {"hem": sleeves * shape.upper_arm, "length": (0.0, shape.upper_arm)}
    on_fore = dressed | {"hem": (sleeves - 1) * shape.forearm, "length": (0.0, shape.forearm)}
    yield Solid(upper, parts[0], (0.0, 0.0, 0.0), (start * loose,) * 3, **on_upper)
    yield Solid(
        upper, parts[0], (0.0, 0.0, 0.0), (start * loose, shape.upper_arm, start * loose), elbow * loose, **on_upper
    )
    loose = loose if sleeves > 1 else 1.0
    yield Solid(fore, parts[1], (0.0, 0.0, 0.0), (elbow * loose,) * 3, **on_fore)
    wide = (elbow * loose, shape.forearm, elbow * loose)
    yield Solid(fore, parts[1], (0.0, 0.0, 0.0), wide, wrist * loose * loose, **on_fore)
    palm = (0.026 * thick**0.5, 0.085, 0.038 * thick**0.5)
    yield Solid(hand, parts[2], (0.0, 0.065, 0.0), palm, length=(-0.02, 0.15))


def _leg(person: Person, bones: tuple[Bone, ...], parts: tuple[tuple[int, int], ...]) -> Iterator[Solid]:
    shape, looks = person.shape, person.looks
    upper, lower, foot = bones
    covered = 0.0 if looks.skirt is not None else looks.legs
    flare = looks.flare if covered > 0.9 else 1.0
    start, knee, ankle = 0.082 * shape.build, 0.055 * shape.build, 0.037 * shape.build**0.5
    dressed = {"above": Stuff.BOTTOM, "below": Stuff.SKIN}
    on_thigh = dressed | {"hem": covered * shape.thigh, "length": (0.0, shape.thigh)}
    on_shin = dressed | {"hem": (covered - 1) * shape.shin, "length": (0.0, shape.shin)}
    wider = flare**0.4
    yield Solid(upper, parts[0], (0.0, 0.0, 0.0), (start,) * 3, **on_thigh)
    yield Solid(upper, parts[0], (0.0, 0.0, 0.0), (start, shape.thigh, start), knee * wider, **on_thigh)
    yield Solid(lower, parts[1], (0.0, 0.0, 0.0), (knee * wider,) * 3, **on_shin)
    end = ankle * (flare if covered > 1.5 else 1.0)
    yield Solid(lower, parts[1], (0.0, 0.0, 0.0), (knee * wider, shape.shin, knee * wider), end, **on_shin)
    shod = {"above": Stuff.SHOES, "below": Stuff.SHOES, "length": (-0.05, shape.ankle)}
    sole = shape.ankle - 0.038
    yield Solid(foot, parts[2], (0.0, 0.0, -0.005), (0.043, shape.ankle * 0.95, 0.052), **shod)
    yield Solid(foot, parts[2], (0.0, sole, 0.065), (0.046, 0.038, 0.125), **shod)
