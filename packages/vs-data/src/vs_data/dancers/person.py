"""Who somebody is: proportions, clothes, colours and hair, drawn from a seed."""

from typing import Literal, TypeAlias

import attrs
import numpy as np

from vs_data.procedural.colours import SKIN_TONES, Colour, darker, hair_colour, tone_between, vivid

HairStyle: TypeAlias = Literal["bald", "short", "curls", "bob", "long", "bun", "tail"]
Pattern: TypeAlias = Literal["plain", "stripes", "bars", "checks", "dots", "print"]
Floor: TypeAlias = Literal["planks", "tiles", "stage"]
Wall: TypeAlias = Literal["plain", "panels", "bricks", "glow"]

HAIR_STYLES: tuple[HairStyle, ...] = ("bald", "short", "curls", "bob", "long", "bun", "tail")
_PATTERNS: tuple[Pattern, ...] = ("plain", "stripes", "bars", "checks", "dots", "print")
_FLOORS: tuple[Floor, ...] = ("planks", "tiles", "stage")
_WALLS: tuple[Wall, ...] = ("plain", "panels", "bricks", "glow")


@attrs.frozen(kw_only=True)
class Shape:
    """Proportions of a body, metres.

    Attributes:
        thigh, shin, ankle: Lengths of the leg: hip to knee, to the ankle, to the ground.
        waist, torso, neck: From between the hips to the waist, to the root of the neck, to the skull.
        head: Half the height of the head.
        shoulders, hips: Half the distance between the joints.
        upper_arm, forearm: Lengths.
        build: How thick limbs and trunk are, 1: as usual.
        chest, belly: Half the width of the trunk at the chest and at the waist.
    """

    thigh: float
    shin: float
    ankle: float
    waist: float
    torso: float
    neck: float
    head: float
    shoulders: float
    hips: float
    upper_arm: float
    forearm: float
    build: float
    chest: float
    belly: float


@attrs.frozen(kw_only=True)
class Cloth:
    """A piece of clothing: its colour, that of its pattern, the pattern and how large it is (repeats a metre)."""

    colour: Colour
    trim: Colour
    pattern: Pattern
    repeats: float


@attrs.frozen(kw_only=True)
class Looks:
    """Clothes, colours and surroundings.

    Attributes:
        skin, hair, shoes: Colours.
        style: Of the hair.
        top, bottom: Clothes; of a dress both are one.
        sleeves: Down to where arms are covered: 0: the shoulders, 1: the elbow, 2: the wrist.
        legs: Down to where trousers cover the legs: 1: the knee, 2: the ankle. Under a skirt they are bare.
        flare: How much wider than the leg trousers are at their end.
        skirt: Length of the skirt, metres; None: trousers.
        neckline: How far below the root of the neck the top begins, metres.
        floor, wall: What there is around.
        ground, behind: Their two colours.
        detail: Seed of what is random in the surroundings.
    """

    skin: Colour
    hair: Colour
    shoes: Colour
    style: HairStyle
    top: Cloth
    bottom: Cloth
    sleeves: float
    legs: float
    flare: float
    skirt: float | None
    neckline: float
    floor: Floor
    wall: Wall
    ground: tuple[Colour, Colour]
    behind: tuple[Colour, Colour]
    detail: int


@attrs.frozen(kw_only=True)
class Person:
    """Somebody: a body and how it looks."""

    shape: Shape
    looks: Looks


def draw_person(seed: int, number: int) -> Person:
    """Draw person `number` of a family of people; a pure function of its arguments."""
    random = np.random.default_rng([seed, number, 2718])
    return Person(shape=_shape(random), looks=_looks(random))


def _shape(random: np.random.Generator) -> Shape:
    height = random.uniform(0.92, 1.08)

    def around(metres: float, spread: float) -> float:
        return float(height * metres * random.uniform(1 - spread, 1 + spread))

    build = float(random.uniform(0.85, 1.30))
    chest = around(0.158, 0.10)
    return Shape(
        thigh=around(0.42, 0.06),
        shin=around(0.40, 0.06),
        ankle=around(0.075, 0.08),
        waist=around(0.13, 0.10),
        torso=around(0.35, 0.08),
        neck=around(0.065, 0.20),
        head=around(0.128, 0.06) / float(height) ** 0.6,
        shoulders=max(around(0.148, 0.10), chest * 0.93),
        hips=around(0.088, 0.10),
        upper_arm=around(0.285, 0.07),
        forearm=around(0.245, 0.07),
        build=build,
        chest=chest * build**0.5,
        belly=around(0.122, 0.12) * build,
    )


def _looks(random: np.random.Generator) -> Looks:
    skirt = bool(random.random() < 0.3)
    top = _cloth(random)
    bottom = _cloth(random)
    one_piece = bool(random.random() < (0.5 if skirt else 0.12))
    ground = _ground(random)
    behind = vivid(random, (0.05, 0.4), (0.35, 0.95))
    return Looks(
        skin=tone_between(random, SKIN_TONES),
        hair=hair_colour(random),
        shoes=vivid(random, (0.0, 0.9), (0.1, 0.95)),
        style=HAIR_STYLES[int(random.choice(7, p=(0.07, 0.27, 0.12, 0.14, 0.16, 0.11, 0.13)))],
        top=top,
        bottom=top if one_piece else bottom,
        sleeves=float(random.choice((0.15, 0.6, 0.9, 1.7, 1.95))),
        legs=float(random.choice((0.75, 1.0, 1.9, 1.95, 2.1), p=(0.15, 0.1, 0.25, 0.25, 0.25))),
        flare=float(random.choice((1.0, 1.25, 1.9), p=(0.4, 0.4, 0.2))),
        skirt=float(random.uniform(0.30, 0.55)) if skirt else None,
        neckline=float(random.uniform(0.0, 0.09)),
        floor=_FLOORS[int(random.integers(len(_FLOORS)))],
        wall=_WALLS[int(random.integers(len(_WALLS)))],
        ground=ground,
        behind=(behind, vivid(random, (0.05, 0.4), (0.35, 0.95))),
        detail=int(random.integers(2**31)),
    )


def _cloth(random: np.random.Generator) -> Cloth:
    return Cloth(
        colour=vivid(random, (0.25, 0.95), (0.2, 0.98)),
        trim=vivid(random, (0.0, 0.85), (0.1, 1.0)),
        pattern=_PATTERNS[int(random.choice(6, p=(0.3, 0.16, 0.14, 0.14, 0.12, 0.14)))],
        repeats=float(random.uniform(7, 14)),
    )


def _ground(random: np.random.Generator) -> tuple[Colour, Colour]:
    """Return two colours of a floor that shadows are seen on: neither is dark."""
    colour = vivid(random, (0.05, 0.45), (0.55, 0.95))
    return colour, darker(colour, float(random.uniform(0.72, 0.9)))
