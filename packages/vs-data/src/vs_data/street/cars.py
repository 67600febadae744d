"""Cars: a body and a cabin of flat faces, with wheels, lights, plates and bumpers."""

import math
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from vs_data.street.surfaces import UNIT_SQUARE, Label, Layer, Material, Motion, Outline, Patch, Thing, Vec

PAINTS: tuple[Vec, ...] = (
    (0.80, 0.80, 0.80),
    (0.62, 0.64, 0.68),
    (0.34, 0.36, 0.40),
    (0.70, 0.24, 0.20),
    (0.26, 0.38, 0.60),
    (0.84, 0.80, 0.70),
    (0.36, 0.46, 0.40),
    (0.78, 0.58, 0.28),
)
_GLASS_LOW: Vec = (0.20, 0.23, 0.26)
_GLASS_HIGH: Vec = (0.44, 0.52, 0.60)
_TYRE: Vec = (0.13, 0.13, 0.14)
_TRIM: Vec = (0.22, 0.22, 0.24)
_OCTAGON: Outline = tuple((math.cos(a * math.pi / 4 + 0.39), math.sin(a * math.pi / 4 + 0.39)) for a in range(8))
_ROUNDED: Outline = ((0.05, 0), (0.95, 0), (1, 0.15), (1, 1), (0, 1), (0, 0.15))


Face: TypeAlias = Callable[..., Patch]


class Shape(NamedTuple):
    """Sizes of a car, metres.

    Attributes:
        half: Half its width.
        length: Its length.
        body: Height of the top of the body.
        roof: Height of the roof.
        foot: Start and end of the cabin where it meets the body, from the tail.
        top: Start and end of the roof, from the tail.
    """

    half: float
    length: float
    body: float
    roof: float
    foot: tuple[float, float]
    top: tuple[float, float]


SHAPES = (
    Shape(0.88, 4.2, 0.84, 1.44, (0.10, 3.15), (0.55, 2.35)),
    Shape(0.88, 4.5, 0.82, 1.40, (0.55, 3.35), (1.15, 2.55)),
    Shape(0.92, 4.4, 0.95, 1.68, (0.05, 3.40), (0.30, 2.70)),
)


def car(
    shape: Shape, paint: Vec, x: float, z: float, layer: Layer, motion: Motion, instance: int, *, away: bool
) -> Thing:
    """Build a car whose middle is at (x, z); `away`: it shows its tail to whoever looks along z."""
    sign = 1.0 if away else -1.0

    def at(side: float, y: float, along: float) -> Vec:
        return (x + sign * side, y, z + sign * (along - shape.length / 2))

    def vector(side: float, y: float, along: float) -> Vec:
        return (sign * side, y, sign * along)

    def face(origin: Vec, u: Vec, v: Vec, facing: Vec, low: Vec, high: Vec, outline: Outline = UNIT_SQUARE) -> Patch:
        return Patch(
            at(*origin), vector(*u), vector(*v), outline, Material.PLAIN, Label.CAR, low, high, vector(*facing)
        )

    patches = [*_body(shape, paint, face), *_cabin(shape, paint, face)]
    half = shape.length / 2 + 0.1
    return Thing(patches, layer, (x, 0.9, z), (z - half, z + half), motion, instance)


def _body(shape: Shape, paint: Vec, face: Face) -> list[Patch]:
    half, length, top = shape.half, shape.length, shape.body
    low = _scaled(paint, 0.72)
    patches = []
    for end, facing, lights in ((0.0, -1.0, (0.72, 0.10, 0.08)), (length, 1.0, (0.98, 0.94, 0.80))):
        normal = (0.0, 0.0, facing)

        def strip(x: float, width: float, y: float, height: float, low: Vec, high: Vec, outline: Outline = UNIT_SQUARE,
                  end: float = end, normal: Vec = normal) -> Patch:  # fmt: skip
            return face((x, y, end), (width, 0.0, 0.0), (0.0, height, 0.0), normal, low, high, outline)

        patches += [
            strip(-half + 0.06, 0.24, 0.0, 0.34, _TYRE, _TYRE),
            strip(half - 0.30, 0.24, 0.0, 0.34, _TYRE, _TYRE),
            strip(-half, 2 * half, 0.24, top - 0.24, low, paint, _ROUNDED),
            strip(-half + 0.04, 2 * half - 0.08, 0.26, 0.20, _TRIM, _TRIM),
            strip(-half + 0.05, 0.30, 0.58, 0.16, lights, lights),
            strip(half - 0.35, 0.30, 0.58, 0.16, lights, lights),
            strip(-0.26, 0.52, 0.50, 0.13, (0.9, 0.88, 0.8), (0.9, 0.88, 0.8)),
        ]
    for side in (-1.0, 1.0):
        normal = (side, 0.0, 0.0)
        patches.append(
            face(
                (side * half, 0.24, 0.0), (0.0, 0.0, length), (0.0, top - 0.24, 0.0), normal, low, paint,
                ((0.02, 0), (0.98, 0), (1, 0.15), (1, 1), (0, 1), (0, 0.15)),
            )
        )  # fmt: skip
        for along in (0.19 * length, 0.81 * length):
            for radius, colour in ((0.33, _TYRE), (0.18, (0.5, 0.5, 0.52))):
                patches.append(
                    face(
                        (side * (half + 0.01), 0.33, along), (0.0, 0.0, radius), (0.0, radius, 0.0), normal,
                        colour, colour, _OCTAGON,
                    )
                )  # fmt: skip
    up = (0.0, 1.0, 0.0)
    patches.append(face((-half, top, 0.0), (2 * half, 0.0, 0.0), (0.0, 0.0, length), up, paint, paint))
    return patches


def _cabin(shape: Shape, paint: Vec, face: Face) -> list[Patch]:
    wide, narrow, low, high = shape.half - 0.04, shape.half - 0.20, shape.body, shape.roof
    rise, lean = high - low, (narrow / wide)
    frame: Outline = ((0, 0), (1, 0), (0.5 + lean / 2, 1), (0.5 - lean / 2, 1))
    pane: Outline = ((0.05, 0.04), (0.95, 0.04), (0.5 + lean / 2 - 0.04, 0.88), (0.5 - lean / 2 + 0.04, 0.88))
    patches = []
    for foot, top, facing in ((shape.foot[0], shape.top[0], -1.0), (shape.foot[1], shape.top[1], 1.0)):
        axes = ((-wide, low, foot), (2 * wide, 0.0, 0.0), (0.0, rise, top - foot), (0.0, 0.4, facing))
        patches.append(face(*axes, paint, paint, frame))
        patches.append(face(*axes, _GLASS_LOW, _GLASS_HIGH, pane))
    start, span = shape.foot[0], shape.foot[1] - shape.foot[0]
    ends = tuple((edge - start) / span for edge in shape.top)
    for side in (-1.0, 1.0):
        axes = (
            (side * wide, low, start), (0.0, 0.0, span), (side * (narrow - wide), rise, 0.0), (side, 0.2, 0.0)
        )  # fmt: skip
        outline: Outline = ((0, 0), (1, 0), (ends[1], 1), (ends[0], 1))
        patches.append(face(*axes, paint, paint, outline))
        middle = (ends[0] + ends[1]) / 2
        for left, right in (
            ((0.07, ends[0] + 0.04), (middle - 0.02,) * 2),
            ((middle + 0.02,) * 2, (0.93, ends[1] - 0.03)),
        ):
            window: Outline = ((left[0], 0.06), (right[0], 0.06), (right[1], 0.86), (left[1], 0.86))
            patches.append(face(*axes, _GLASS_LOW, _GLASS_HIGH, window))
    roof = ((-narrow, high, shape.top[0]), (2 * narrow, 0.0, 0.0), (0.0, 0.0, shape.top[1] - shape.top[0]))
    patches.append(face(*roof, (0.0, 1.0, 0.0), paint, paint))
    return patches


def _scaled(colour: Vec, factor: float) -> Vec:
    return (colour[0] * factor, colour[1] * factor, colour[2] * factor)
