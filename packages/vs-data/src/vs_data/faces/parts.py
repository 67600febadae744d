"""What a person is made of, and the solids beside the head: ears, hair, neck, shoulders."""

from enum import IntEnum
from typing import NamedTuple

import numpy as np

from vs_data.faces.identity import Identity
from vs_data.procedural.arrays import F32, smooth


class Part(IntEnum):
    """A part of a person that a pixel shows; from `BROW` on it is painted on the face."""

    BACKGROUND = 0
    SKIN = 1
    BEARD = 2
    SCALP = 3
    EAR = 4
    NECK = 5
    CHEST = 6
    HAIR = 7
    CLOTHES = 8
    GLASSES = 9
    BROW = 10
    LASH = 11
    SCLERA = 12
    IRIS = 13
    UPPER_LIP = 14
    LOWER_LIP = 15
    TEETH = 16
    MOUTH = 17


_BACKGROUND, _SKIN, _HAIR, _CLOTHES, _FEATURES = range(5)

REGION_OF = np.array(
    [_BACKGROUND, _SKIN, _HAIR, _SKIN, _SKIN, _SKIN, _SKIN, _HAIR, _CLOTHES] + [_FEATURES] * 9, np.uint8
)
"""(18,) uint8: the region (`vs_data.clips.REGIONS`) of each part."""


ON_BODY = np.isin(np.arange(len(Part)), (Part.NECK, Part.CHEST, Part.CLOTHES))
"""(18,) bool: whether a part moves with the body."""


class Cut(NamedTuple):
    """The edge of a shell of hair: its y above the forehead, at the temples and at the back.

    Attributes:
        front, side, back: y of the edge; hair is above it.
        slant: Slope of the edge above the forehead.
        wave: How far the edge above the forehead goes up and down.
    """

    front: float
    side: float
    back: float
    slant: float = 0.0
    wave: float = 0.0


class Solid(NamedTuple):
    """An ellipsoid that moves with the head, or with the body.

    Attributes:
        part: What it shows.
        centre, radii: In the coordinates of what it moves with.
        cut: Of a shell of which only a part is there; None: all of it is.
        body: Whether it moves with the body.
    """

    part: Part
    centre: tuple[float, float, float]
    radii: tuple[float, float, float]
    cut: Cut | None = None
    body: bool = False


def solids_of(identity: Identity) -> tuple[Solid, ...]:
    """Return all ellipsoids of a person."""
    shape = identity.shape
    ear = shape.ears
    ears = tuple(Solid(Part.EAR, (side * (shape.width + 0.01), 0.06, -0.10), (0.10, ear, 0.13)) for side in (-1.0, 1.0))
    body = (
        Solid(Part.NECK, (0.0, 1.10, -0.28), (shape.neck, 0.90, 0.40), body=True),
        Solid(Part.CLOTHES, (0.0, 2.48, -0.35), (shape.shoulders, 1.12, 0.72), body=True),
    )
    covered = identity.looks.style in ("bob", "long")
    return (*(() if covered else ears), _scalp(identity), *_hair(identity), *body)


def _scalp(identity: Identity) -> Solid:
    """Return the back of the skull, which the head's own surface lacks."""
    shape = identity.shape
    radii = (0.985 * shape.width, 0.86 * shape.height, 0.90 * shape.depth)
    return Solid(Part.SCALP, (0.0, -0.13 * shape.height, -0.22), radii)


def _hair(identity: Identity) -> tuple[Solid, ...]:
    shape, looks = identity.shape, identity.looks
    thick, width, top = looks.volume, shape.width, shape.height
    fringe, slant = looks.fringe, looks.parting

    def shell(thickness: float, cut: Cut, low: float = 0.0) -> Solid:
        radii = (width + thickness, top + thickness - 0.04 + low / 2, shape.depth + thickness + 0.12)
        return Solid(Part.HAIR, (0.0, -0.04 + low / 2, -0.12), radii, cut)

    curtain = Solid(Part.HAIR, (0.0, 0.50, -0.62), (width + 0.10 + thick, 1.20 + thick, 0.46))
    bob = Solid(Part.HAIR, (0.0, 0.12, -0.40), (width + 0.06 + thick, 0.98, 0.52))
    short = Cut(fringe - 0.06, -0.10, 0.50, 0.25 * slant)
    match looks.style:
        case "bald":
            return ()
        case "buzz":
            return (shell(0.035, Cut(-0.60, -0.08, 0.5)),)
        case "short":
            return (shell(0.5 * thick + 0.03, short),)
        case "quiff":
            place = (0.18 if slant > 0 else -0.18, -0.93 * top, 0.30)
            tuft = Solid(Part.HAIR, place, (0.50, 0.20 + thick, 0.36))
            return (shell(0.05, Cut(-0.58, -0.06, 0.5)), tuft)
        case "curls":
            return (shell(0.04, short), *_curls(identity))
        case "bob":
            return (shell(thick, Cut(max(fringe, -0.5) + 0.04, 0.35, 0.6, 0.1 * slant, 0.03)), bob)
        case "long":
            return (shell(0.8 * thick, Cut(fringe - 0.06, 0.30, 0.6, slant)), curtain)
        case "bun":
            knot = Solid(Part.HAIR, (0.0, -1.10 * top, -0.25), (0.30 + 0.5 * thick,) * 3)
            return (shell(0.045, Cut(-0.60, -0.02, 0.5)), knot)


def _curls(identity: Identity) -> tuple[Solid, ...]:
    shape, size = identity.shape, 0.20 + 0.8 * identity.looks.volume
    angles = np.linspace(-1.15, 1.15, 7) * (np.pi / 2)
    x, y = shape.width * np.sin(angles) * 1.02, -shape.height * np.cos(angles) * 0.95
    rim = [Solid(Part.HAIR, (float(a), float(b) - 0.05, 0.0), (size,) * 3) for a, b in zip(x, y, strict=True)]
    front = [
        Solid(Part.HAIR, (float(a) * 0.62, float(b) * 0.80 - 0.10, 0.40), (0.9 * size,) * 3)
        for a, b in zip(x[2:5], y[2:5], strict=True)
    ]
    return (*rim, *front)


def hairline(cut: Cut, x: F32, z: F32) -> F32:
    """Return the y above which a shell has hair, at points (n,) of it."""
    front = cut.front + cut.slant * x + cut.wave * np.sin(x * np.float32(24)) + np.float32(0.16) * x * x
    side = front + (cut.side - front) * smooth((np.float32(0.34) - z) * np.float32(5))
    return np.asarray(side + (cut.back - cut.side) * smooth((np.float32(-0.02) - z) * np.float32(6)))
