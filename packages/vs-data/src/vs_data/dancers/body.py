"""What a body is made of: ellipsoids and cones, each fixed to a bone, and what stuff they show."""

from collections.abc import Iterator
from enum import IntEnum
from functools import lru_cache
from typing import NamedTuple, TypeAlias

import attrs
import numpy as np

from vs_data.dancers.person import HairStyle, Person, draw_person
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


UNBOUNDED = 9.0
"""Metres, farther than any body reaches."""


class Stuff(IntEnum):
    """The stuff that a point of a body is made of."""

    SKIN = 0
    HAIR = 1
    TOP = 2
    BOTTOM = 3
    SHOES = 4
    FACE = 5
    """The head in front of the hairline: skin, eyes, brows, mouth."""


class Section(NamedTuple):
    """A piece of a body, which solids of one bone make up.

    Attributes:
        bone: What it is fixed to.
        parts: Ids of `PARTS`: at its back and its front; of the head on its right and its left.
        length: y of the start and the end of the part that it belongs to, for the place along it.
        above, below: Stuff above and below the hem.
        hem: y at which its stuff changes.
        across: Whether its two parts are right and left of each other, not back and front.
    """

    bone: Bone
    parts: tuple[int, int]
    length: tuple[float, float]
    above: Stuff = Stuff.SKIN
    below: Stuff = Stuff.SKIN
    hem: float = -UNBOUNDED
    across: bool = False


class Solid(NamedTuple):
    """An ellipsoid, or a cone without ends whose axis is y; both in the coordinates of a bone.

    Attributes:
        section: What it is a piece of.
        centre: Of the ellipsoid; or of the cone's upper end.
        radii: Of the ellipsoid; or of the cone's upper end, its length for y.
        end: Radius x of the cone's lower end; None: it is an ellipsoid.
    """

    section: Section
    centre: Vector
    radii: Vector
    end: float | None = None


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
    sections = [solid.section for solid in solids]
    return Body(
        person=person,
        bone=np.array([section.bone for section in sections], np.intp),
        square=square,
        linear=linear,
        constant=constant,
        low=low,
        high=high,
        ends=ends,
        ends_radii=radii,
        hem=np.array([section.hem for section in sections], np.float32),
        stuff=np.array([(section.above, section.below) for section in sections], np.uint8),
        parts=np.array([section.parts for section in sections], np.uint8),
        across=np.array([section.across for section in sections], np.uint8),
        length=np.array([section.length for section in sections], np.float32),
    )


def _quadric(solid: Solid) -> tuple[F64, F64, float, float, float, F64, F64]:
    """Return square, linear, constant, low, high, ends and their radii: see `Body`."""
    centre, radii = np.array(solid.centre), np.array(solid.radii)
    if solid.end is None:
        square = (radii[0] / radii) ** 2
        linear = -square * centre
        constant = float(square @ centre**2 - radii[0] ** 2)
        return square, linear, constant, -UNBOUNDED, UNBOUNDED, np.stack([centre, centre]), np.stack([radii, radii])
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
    """Make hips, skirt, trunk, shoulders and neck."""
    shape, looks = person.shape, person.looks
    hips = max(shape.hips + 0.072 * shape.build, 0.9 * shape.belly)
    flat = 0.64
    belly = (shape.belly, shape.waist, shape.belly * flat)
    belt = Section(
        Bone.PELVIS, _TRUNK, (-shape.torso - shape.waist, 0.12), Stuff.TOP, Stuff.BOTTOM, hem=-0.5 * shape.waist
    )
    yield Solid(belt, (0.0, 0.0, -0.005), (hips, 0.115, hips * 0.70))
    yield Solid(belt, (0.0, -shape.waist, 0.0), belly, end=hips)
    if looks.skirt is not None:
        wide = hips * 1.02
        start = (wide, looks.skirt, wide * 0.74)
        yield Solid(
            belt._replace(hem=-UNBOUNDED), (0.0, -0.6 * shape.waist, 0.0), start, wide * 1.3 + 0.28 * looks.skirt
        )
    chest = Section(
        Bone.CHEST,
        _TRUNK,
        (-shape.torso, shape.waist + 0.12),
        below=Stuff.TOP,
        hem=looks.neckline - shape.torso,
    )
    top = 0.13 - shape.torso
    thick = shape.build**0.5
    neck = 0.047 * thick
    yield Solid(chest, (0.0, 0.0, 0.0), (shape.belly, shape.belly * 0.9, shape.belly * flat))
    yield Solid(chest, (0.0, top, 0.0), (shape.chest, -top, shape.chest * flat), end=shape.belly)
    yield Solid(chest, (0.0, top, 0.0), (shape.chest, 0.125, shape.chest * flat))
    yield Solid(chest, (0.0, 0.045 - shape.torso, 0.0), (shape.shoulders + 0.005, 0.055 * thick, 0.062 * thick))
    yield Solid(
        chest, (0.0, -shape.torso - shape.neck - 0.02, -0.005), (neck, shape.neck + 0.06, neck), end=neck * 1.15
    )


def _head(person: Person) -> Iterator[Solid]:
    high = person.shape.head
    centre, deep = (0.0, -0.82 * high, 0.012), 0.86 * high
    face = Section(Bone.HEAD, _HEAD, (-1.82 * high, 0.2 * high), Stuff.FACE, Stuff.FACE, across=True)
    yield Solid(face, centre, (0.73 * high, high, deep))
    nose = face._replace(above=Stuff.SKIN, below=Stuff.SKIN)
    yield Solid(nose, (0.0, -0.72 * high, 0.012 + deep), (0.11 * high, 0.16 * high, 0.12 * high))
    hair = face._replace(above=Stuff.HAIR, below=Stuff.HAIR)
    for (y, z), (wide, tall, thick) in _HAIR[person.looks.style]:
        place = (0.0, centre[1] + y * high, centre[2] + z * high)
        yield Solid(hair, place, (wide * high, tall * high, thick * high))


_HAIR: dict[HairStyle, tuple[tuple[tuple[float, float], Vector], ...]] = {
    "bald": (),
    "short": (),
    "curls": (((-0.36, -0.30), (1.02, 0.86, 0.92)),),
    "bob": (((-0.02, -0.34), (0.92, 1.00, 0.74)),),
    "long": (((-0.10, -0.30), (0.86, 1.02, 0.78)), ((0.95, -0.58), (0.72, 1.15, 0.38))),
    "bun": (((-0.85, -0.50), (0.38, 0.36, 0.38)),),
    "tail": (((-0.45, -0.95), (0.24, 0.24, 0.24)), ((0.25, -1.15), (0.22, 0.80, 0.20))),
}
"""Lumps of hair on the skull, y and z from its middle and radii, half heights of the head."""


def _limbs(person: Person, side: int) -> Iterator[Solid]:
    first = Bone.LEFT_UPPER_ARM if side else Bone.RIGHT_UPPER_ARM
    upper, fore, hand, thigh, shin, foot = (Bone(first + index) for index in range(6))
    yield from _arm(person, (upper, fore, hand), _ARMS[side])
    yield from _leg(person, (thigh, shin, foot), _LEGS[side])


def _arm(person: Person, bones: tuple[Bone, ...], parts: tuple[tuple[int, int], ...]) -> Iterator[Solid]:
    shape, sleeves = person.shape, person.looks.sleeves
    thick = shape.build**0.7
    upper = Section(bones[0], parts[0], (0.0, shape.upper_arm), Stuff.TOP, hem=sleeves * shape.upper_arm)
    fore = Section(bones[1], parts[1], (0.0, shape.forearm), Stuff.TOP, hem=(sleeves - 1) * shape.forearm)
    # Long sleeves are wider than the arm.
    loose, below = (1.12 if sleeves > least else 1.0 for least in (0.8, 1.0))
    start, elbow, wrist = 0.050 * thick * loose, 0.038 * thick, 0.026 * thick
    yield from _limb(upper, shape.upper_arm, start, elbow * loose)
    yield from _limb(fore, shape.forearm, elbow * below, wrist * below**2)
    hand = Section(bones[2], parts[2], (-0.02, 0.15))
    yield Solid(hand, (0.0, 0.065, 0.0), (0.026 * thick**0.5, 0.085, 0.038 * thick**0.5))


def _leg(person: Person, bones: tuple[Bone, ...], parts: tuple[tuple[int, int], ...]) -> Iterator[Solid]:
    shape, looks = person.shape, person.looks
    covered = 0.0 if looks.skirt is not None else looks.legs
    wider, flare = (looks.flare**power if covered > least else 1.0 for power, least in ((0.4, 0.9), (1.0, 1.5)))
    knee = 0.055 * shape.build * wider
    thigh = Section(bones[0], parts[0], (0.0, shape.thigh), Stuff.BOTTOM, hem=covered * shape.thigh)
    shin = Section(bones[1], parts[1], (0.0, shape.shin), Stuff.BOTTOM, hem=(covered - 1) * shape.shin)
    yield from _limb(thigh, shape.thigh, 0.082 * shape.build, knee)
    yield from _limb(shin, shape.shin, knee, 0.037 * shape.build**0.5 * flare)
    foot = Section(bones[2], parts[2], (-0.05, shape.ankle), Stuff.SHOES, Stuff.SHOES)
    yield Solid(foot, (0.0, 0.0, -0.005), (0.043, shape.ankle * 0.95, 0.052))
    yield Solid(foot, (0.0, shape.ankle - 0.038, 0.065), (0.046, 0.038, 0.125))


def _limb(section: Section, length: float, start: float, end: float) -> Iterator[Solid]:
    """Make a round joint and the cone that hangs on it."""
    yield Solid(section, (0.0, 0.0, 0.0), (start, start, start))
    yield Solid(section, (0.0, 0.0, 0.0), (start, length, start), end)
