"""Trees: a trunk and a crown of overlapping clumps of leaves; street lamps stand between them."""

import math
from functools import lru_cache

import numpy as np

from vs_data.street.ground import KERB
from vs_data.street.surfaces import UNIT_SQUARE, Label, Layer, Material, Outline, Patch, Thing, Vec

_BACK: Vec = (0.0, 0.0, -1.0)
_CLUMPS = ((0.0, 0.15, 1.0), (-0.72, -0.25, 0.66), (0.70, -0.20, 0.68), (-0.30, 0.72, 0.62), (0.42, 0.62, 0.58))


def tree(random: np.random.Generator, x: float, z: float, layer: Layer) -> Thing:
    """Build a tree at (x, z), 5 to 8 metres high."""
    radius = float(random.uniform(1.25, 1.75))
    stem = float(random.uniform(2.5, 3.3))
    middle = stem + radius * 0.85
    hue = float(random.normal(0.0, 1.0))
    leaf: Vec = (0.50 + 0.06 * hue, 0.62 + 0.015 * hue, 0.22 - 0.01 * hue)
    deep: Vec = (0.20 + 0.02 * hue, 0.34, 0.20)
    wood: Vec = (0.42, 0.32, 0.24)
    patches = [
        Patch(
            (x - 0.14, KERB, z), (0.28, 0.0, 0.0), (0.0, stem, 0.0), ((0, 0), (1, 0), (0.8, 1), (0.2, 1)),
            Material.PLAIN, Label.VEGETATION, wood, (0.30, 0.24, 0.18), _BACK,
        )
    ]  # fmt: skip
    for index, (dx, dy, size) in enumerate(_CLUMPS):
        clump = radius * size * float(random.uniform(0.9, 1.1))
        sideways = radius * (dx + float(random.normal(0.0, 0.08)))
        upward = radius * (dy + float(random.normal(0.0, 0.06)))
        patches.append(
            Patch(
                (x + sideways, middle + upward, z - 0.12 * index), (clump, 0.0, 0.0), (0.0, clump, 0.0),
                _blob(int(random.integers(24))), Material.LEAVES, Label.VEGETATION, deep, leaf, _BACK,
                (0.30 * dy - 0.24 * dx, float(random.uniform(0, 256)), clump),
            )
        )  # fmt: skip
    return Thing(patches, layer, (x, middle, z), (z - 1.0, z + 0.5))


@lru_cache(maxsize=24)
def _blob(number: int) -> Outline:
    angles = 2 * math.pi * (np.arange(10) + np.random.default_rng(number).uniform(-0.18, 0.18, 10)) / 10
    return tuple((float(math.cos(angle)), float(math.sin(angle))) for angle in angles)


def lamp(x: float, z: float) -> Thing:
    """Build a street lamp whose arm reaches over the road."""
    iron: Vec = (0.30, 0.33, 0.36)
    glass: Vec = (0.95, 0.92, 0.80)
    inward = -1.0 if x > 0 else 1.0
    height, arm = 6.2, 1.3

    def bar(origin: Vec, u: Vec, v: Vec, colour: Vec) -> Patch:
        return Patch(origin, u, v, UNIT_SQUARE, Material.PLAIN, Label.POLE, colour, colour, _BACK)

    patches = (
        bar((x - 0.07, KERB, z), (0.14, 0.0, 0.0), (0.0, height, 0.0), iron),
        bar((x, KERB + height - 0.08, z), (inward * arm, 0.0, 0.0), (0.0, 0.10, 0.0), iron),
        bar((x + inward * (arm - 0.35), KERB + height - 0.2, z), (inward * 0.5, 0.0, 0.0), (0.0, 0.14, 0.0), glass),
    )
    return Thing(patches, Layer.SIDEWALK, (x, 3.0, z), (z - 0.5, z + 0.5))
