"""The cross-section of the street, and its ground: road, kerbs, pavements, grass, and shadows that lie on them."""

from vs_data.street.surfaces import STILL, UNIT_SQUARE, Label, Layer, Material, Motion, Outline, Patch, Thing, Vec

ROAD_HALF = 5.5
"""Half the width of the road, metres."""

FRONT = 9.0
"""Distance of the building line from the middle of the road, metres."""

KERB = 0.15
"""Height of the pavement above the road, metres."""

VERGE = (5.85, 6.7)
"""From where to where the strip of grass beside the kerb lies, distance from the middle of the road, metres."""

PARKED_X = 4.45
ONCOMING_X = -1.75
LANE_X = 1.75

FAR = 600.0
"""Where the road ends, metres from the origin of the drive's end."""

_NONE: Vec = (0.0, 0.0, 0.0)
_UP: Vec = (0.0, 1.0, 0.0)


def flat(x: tuple[float, float], z: tuple[float, float], y: float, material: Material, label: Label) -> Patch:
    """Build a horizontal rectangle."""
    return Patch(
        (x[0], y, z[0]),
        (x[1] - x[0], 0.0, 0.0),
        (0.0, 0.0, z[1] - z[0]),
        UNIT_SQUARE,
        material,
        label,
        _NONE,
        _NONE,
        _UP,
    )


def road(start: float, end: float) -> Thing:
    """Build all of the ground at the height of the road."""
    patch = flat((-400.0, 400.0), (start, end), 0.0, Material.ROAD, Label.ROAD)
    return Thing((patch,), Layer.GROUND, (0.0, 0.0, start), (start, end))


def block_ground(start: float, end: float) -> list[Thing]:
    """Build pavements, kerbs and what lies behind the building line on both sides of one block."""
    things = []
    extent = (start, end)
    for side in (-1.0, 1.0):
        pavement = flat(_span(side, ROAD_HALF, FRONT + 0.8), extent, KERB, Material.PAVEMENT, Label.SIDEWALK)
        grass = flat(_span(side, FRONT, 120.0), extent, KERB, Material.GRASS, Label.TERRAIN)
        stone: Vec = (0.86, 0.84, 0.80)
        along = Patch(
            (side * ROAD_HALF, 0.0, start), (0.0, 0.0, end - start), (0.0, KERB, 0.0), UNIT_SQUARE,
            Material.PLAIN, Label.SIDEWALK, stone, stone, (-side, 0.0, 0.0),
        )  # fmt: skip
        ahead = Patch(
            (side * ROAD_HALF, 0.0, start), (side * 60.0, 0.0, 0.0), (0.0, KERB, 0.0), UNIT_SQUARE,
            Material.PLAIN, Label.SIDEWALK, stone, stone, (0.0, 0.0, -1.0),
        )  # fmt: skip
        anchor = (side * ROAD_HALF, 0.1, end)
        things.append(Thing((grass,), Layer.PAVEMENT, anchor, extent))
        things.append(Thing((pavement,), Layer.PAVEMENT, anchor, extent))
        things.append(Thing((along, ahead), Layer.PAVEMENT, anchor, extent))
    return things


def verge(side: float, start: float, end: float) -> Thing:
    """Build a strip of grass between kerb and walkway, with trees in it."""
    grass = flat(_span(side, *VERGE), (start, end), KERB, Material.GRASS, Label.TERRAIN)
    return Thing((grass,), Layer.PAVEMENT, (side * VERGE[0], 0.1, start), (start, end))


def _span(side: float, near: float, far: float) -> tuple[float, float]:
    return (near, far) if side > 0 else (-far, -near)


def shadow(
    centre: tuple[float, float], half: tuple[float, float], dark: float, *, pavement: bool, motion: Motion = STILL
) -> Thing:
    """Build a soft dark patch on the ground around `centre` (x, z). It moves with `motion`; what it shows does not."""
    x, z = centre
    reach = FRONT if pavement else ROAD_HALF
    left, right = ((s * reach - x) / half[0] for s in (-1.0, 1.0))
    if pavement and x > 0:
        left = (VERGE[1] - x) / half[0]
    elif pavement:
        right = (-VERGE[1] - x) / half[0]
    if not pavement and motion.reach > 0:
        left, right = -1.0, 1.0
    left, right = max(left, -1.0), min(right, 1.0)
    outline: Outline = ((left, -1.0), (right, -1.0), (right, 1.0), (left, 1.0))
    moving = motion != Motion()
    patch = Patch(
        (x, KERB if pavement else 0.0, z), (half[0], 0.0, 0.0), (0.0, 0.0, half[1]), outline,
        Material.PAVEMENT if pavement else Material.ROAD,
        Label.SIDEWALK if pavement else Label.ROAD, _NONE, _NONE, _UP, (dark,),
    )  # fmt: skip
    return Thing(
        (patch,), Layer.SHADOW, (x, 0.0, z), (z - half[1], z + half[1]), motion._replace(shadow=float(moving)),
    )  # fmt: skip
