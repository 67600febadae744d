"""Buildings: a front with storeys and windows, a flank, and a steep roof with dormers."""

import numpy as np

from vs_data.street.ground import FRONT
from vs_data.street.surfaces import Label, Layer, Material, Patch, Thing, Vec

WALLS: tuple[Vec, ...] = (
    (0.86, 0.78, 0.64),
    (0.90, 0.84, 0.74),
    (0.82, 0.62, 0.44),
    (0.74, 0.48, 0.36),
    (0.80, 0.70, 0.54),
    (0.72, 0.70, 0.66),
    (0.86, 0.68, 0.58),
    (0.66, 0.66, 0.56),
    (0.88, 0.74, 0.50),
)
ROOFS: tuple[Vec, ...] = ((0.40, 0.36, 0.38), (0.56, 0.34, 0.26), (0.34, 0.38, 0.44), (0.48, 0.40, 0.34))
AWNINGS: tuple[Vec, ...] = ((0.70, 0.26, 0.22), (0.24, 0.44, 0.40), (0.78, 0.62, 0.34), (0.30, 0.36, 0.54))


def house(random: np.random.Generator, side: float, start: float, length: float, height: float) -> Thing:
    """Build a house on one side of the street (side -1: left), from `start` along z."""
    setback = float(random.choice([0.0, 0.0, 0.35, 0.7]))
    x, inward, depth, slope = side * (FRONT + setback), 0.95, 13.0, 2.5
    wall = _shifted(random, WALLS[random.integers(len(WALLS))])
    roof = _shifted(random, ROOFS[random.integers(len(ROOFS))])
    awning = AWNINGS[random.integers(len(AWNINGS))]
    floors = max(2, round((height - 4.0) / 3.2))
    storey = (height - 4.0 - 0.5) / floors
    columns = max(2, round(length / float(random.uniform(2.4, 3.2))))
    seed = float(random.integers(4096))
    shape = (float(random.uniform(0.23, 0.30)), float(random.uniform(0.27, 0.34)))
    # parameters of a facade: period, storey, height of the ground floor, window half sizes, height, seed, kind
    front = (length / columns, storey, 4.0, *shape, height, seed, 0.0)
    flank = (depth / 4, storey, 4.0, shape[0] * 0.6, shape[1] * 0.8, height, seed + 7, 1.0)
    dormers = (length / columns, slope, 0.0, shape[0] * 0.8, 0.26, slope + 1.0, seed + 13, 2.0)
    facing: Vec = (-side, 0.0, 0.0)
    eave = side * inward
    patches = (
        Patch(
            (x, 0.0, start), (0.0, 0.0, 1.0), (0.0, 1.0, 0.0),
            ((0, 0), (length, 0), (length, height), (0, height)),
            Material.FACADE, Label.BUILDING, wall, awning, facing, front,
        ),
        Patch(
            (x, 0.0, start), (side, 0.0, 0.0), (0.0, 1.0, 0.0),
            ((0, 0), (depth, 0), (depth, height + slope), (inward, height + slope), (0, height)),
            Material.FACADE, Label.BUILDING, wall, awning, (0.0, 0.0, -1.0), flank,
        ),
        Patch(
            (x, height, start), (0.0, 0.0, 1.0), (eave / slope, 1.0, 0.0),
            ((0, 0), (length, 0), (length, slope), (0, slope)),
            Material.FACADE, Label.BUILDING, roof, wall, (-side, 0.5, 0.0), dormers,
        ),
    )  # fmt: skip
    return Thing(patches, Layer.BEYOND, (x, 4.0, start), (start, start + length))


def _shifted(random: np.random.Generator, colour: Vec) -> Vec:
    drift = random.normal(0.0, 0.035) + random.normal(0.0, 0.02, 3)
    red, green, blue = (float(np.clip(c + d, 0.15, 0.95)) for c, d in zip(colour, drift, strict=True))
    return red, green, blue
