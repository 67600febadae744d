"""Pedestrians: head, hair, coat, arms and two legs that stride."""

import math

import numpy as np

from vs_data.street.surfaces import Label, Layer, Material, Motion, Outline, Patch, Thing, Vec

COATS: tuple[Vec, ...] = (
    (0.72, 0.22, 0.20),
    (0.20, 0.30, 0.52),
    (0.82, 0.72, 0.40),
    (0.30, 0.46, 0.36),
    (0.84, 0.82, 0.78),
    (0.30, 0.28, 0.34),
    (0.60, 0.36, 0.52),
    (0.36, 0.58, 0.66),
)
TROUSERS: tuple[Vec, ...] = ((0.20, 0.22, 0.32), (0.30, 0.26, 0.22), (0.16, 0.16, 0.18), (0.42, 0.38, 0.32))
SKINS: tuple[Vec, ...] = ((0.90, 0.72, 0.60), (0.76, 0.56, 0.42), (0.50, 0.34, 0.26))
HAIRS: tuple[Vec, ...] = ((0.20, 0.14, 0.10), (0.42, 0.28, 0.16), (0.66, 0.54, 0.34), (0.14, 0.13, 0.14))

_ROUND: Outline = tuple((math.cos(a * math.pi / 4), math.sin(a * math.pi / 4)) for a in range(8))
_CAP: Outline = ((1.0, 0.1), (0.75, 0.75), (0.0, 1.08), (-0.75, 0.75), (-1.0, 0.1))
_COAT: Outline = ((0.10, 0), (0.90, 0), (0.98, 0.55), (0.92, 0.9), (0.70, 1), (0.30, 1), (0.08, 0.9), (0.02, 0.55))
_LIMB: Outline = ((0.12, 0), (0.88, 0), (0.78, 1), (0.22, 1))


def person(
    random: np.random.Generator, x: float, y: float, z: float, layer: Layer, motion: Motion, instance: int
) -> Thing:
    """Build a person whose feet are at (x, y, z)."""
    tall = float(random.uniform(1.55, 1.88))
    coat, legs = (table[random.integers(len(table))] for table in (COATS, TROUSERS))
    skin, hair = (table[random.integers(len(table))] for table in (SKINS, HAIRS))
    across = motion.along == 0
    stride = 0.26 if across else 0.10
    wide, hip, chest, head = 0.44 if not across else 0.34, 0.47 * tall, 0.40 * tall, 0.072 * tall

    def part(origin: Vec, u: float, v: float, outline: Outline, low: Vec, high: Vec, swing: float = 0.0) -> Patch:
        return Patch(
            origin, (u, 0.0, 0.0), (0.0, v, 0.0), outline, Material.PLAIN, Label.PERSON, low, high,
            (0.0, 0.0, -1.0), (), (swing, 0.0, 0.0),
        )  # fmt: skip

    shade = (coat[0] * 0.7, coat[1] * 0.7, coat[2] * 0.7)
    shoe: Vec = (0.10, 0.10, 0.10)
    shoulder, top = y + hip + chest - 0.04, y + tall - head
    patches = (
        part((x - 0.19, y + hip + 0.05, z + 0.02), 0.17, -hip - 0.02, _LIMB, legs, shoe, stride),
        part((x + 0.02, y + hip + 0.05, z + 0.01), 0.17, -hip - 0.02, _LIMB, legs, shoe, -stride),
        part((x - wide / 2 - 0.09, shoulder, z + 0.01), 0.12, -chest * 0.95, _LIMB, coat, shade, -stride * 0.7),
        part((x - wide / 2, y + hip - 0.06, z), wide, chest + 0.08, _COAT, shade, coat),
        part((x + wide / 2 - 0.03, shoulder, z - 0.01), 0.12, -chest * 0.95, _LIMB, coat, shade, stride * 0.7),
        part((x, top, z - 0.01), head * 0.86, head * 1.1, _ROUND, skin, skin),
        part((x, top, z - 0.02), head * 0.92, head * 1.12, _CAP, hair, hair),
    )
    return Thing(patches, layer, (x, y + 1.0, z), (z - 0.5, z + 0.5), motion, instance)
