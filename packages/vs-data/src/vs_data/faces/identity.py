"""Who somebody is: proportions, colours and styles, drawn from a seed."""

from typing import Literal, NamedTuple, TypeAlias

import attrs
import numpy as np

from vs_data.procedural.colours import SKIN_TONES, Colour, hair_colour, mixed, tone_between, vivid

HairStyle: TypeAlias = Literal["bald", "buzz", "short", "quiff", "curls", "bob", "long", "bun"]
Beard: TypeAlias = Literal["none", "stubble", "moustache", "goatee", "full"]
Pattern: TypeAlias = Literal["plain", "stripes", "bars", "dots"]
Backdrop: TypeAlias = Literal["plain", "gradient", "glow", "panels", "lights"]

HAIR_STYLES: tuple[HairStyle, ...] = ("bald", "buzz", "short", "quiff", "curls", "bob", "long", "bun")


@attrs.frozen(kw_only=True)
class Shape:
    """Proportions of a head; 1 is half its usual height. x to the viewer's right, y down, z to the viewer.

    Attributes:
        width, height, depth: Half axes of the head.
        taper: How much the head narrows from the cheeks to the chin, a part of its width.
        square: Exponent of the jaw's outline, 2: an ellipse.
        chin: How far the chin stands out.
        cheeks: How far the cheeks stand out.
        eye_x, eye_y: Centre of the eye on the viewer's right.
        eye_width, eye_open: Half axes of the open eye.
        eye_tilt: Slope of the line between an eye's corners, outwards and down.
        brow_rise, brow_width, brow_arch, brow_tilt: Brow: distance above the eye, half its thickness, how high it
            arches, slope.
        nose_tip, nose_width, nose_height: y of the tip, half its width, how far it stands out.
        mouth_y, mouth_width: Centre and half its width.
        lips: Thickness of the upper and of the lower lip.
        ears: Half the height of an ear.
        neck: Half the width of the neck.
        shoulders: Half the width of the shoulders.
    """

    width: float
    height: float
    depth: float
    taper: float
    square: float
    chin: float
    cheeks: float
    eye_x: float
    eye_y: float
    eye_width: float
    eye_open: float
    eye_tilt: float
    brow_rise: float
    brow_width: float
    brow_arch: float
    brow_tilt: float
    nose_tip: float
    nose_width: float
    nose_height: float
    mouth_y: float
    mouth_width: float
    lips: tuple[float, float]
    ears: float
    neck: float
    shoulders: float


class Glasses(NamedTuple):
    """Frames of glasses: half the width and height of a lens, half the thickness of the rim, roundness, colour.

    Roundness is the exponent of the rim's outline: 2 is an ellipse, more is squarer.
    """

    width: float
    height: float
    rim: float
    roundness: float
    colour: Colour


@attrs.frozen(kw_only=True)
class Looks:
    """Colours and styles.

    Attributes:
        skin, hair, brows, iris, lips: Colours.
        style: Of the hair.
        fringe: y down to which hair covers the forehead.
        parting: Slope of the hairline.
        volume: How thick the hair is.
        beard, freckles: On the skin.
        glasses: Or None.
        clothes, trim: Colours of the clothes and of their pattern and collar.
        pattern: Of the clothes.
        neckline: Radius of what the clothes leave bare below the neck.
        backdrop: Kind of background.
        behind: Its two colours.
        detail: Seed of hair strands, freckles and background.
    """

    skin: Colour
    hair: Colour
    brows: Colour
    iris: Colour
    lips: Colour
    style: HairStyle
    fringe: float
    parting: float
    volume: float
    beard: Beard
    freckles: bool
    glasses: Glasses | None
    clothes: Colour
    trim: Colour
    pattern: Pattern
    neckline: float
    backdrop: Backdrop
    behind: tuple[Colour, Colour]
    detail: int


@attrs.frozen(kw_only=True)
class Identity:
    """A person."""

    shape: Shape
    looks: Looks


_IRIS_TONES: tuple[Colour, ...] = (
    (0.32, 0.19, 0.10),
    (0.45, 0.30, 0.12),
    (0.22, 0.42, 0.66),
    (0.26, 0.52, 0.34),
    (0.45, 0.50, 0.55),
)


def draw_identity(seed: int, number: int) -> Identity:
    """Draw person `number` of a family of people; a pure function of its arguments."""
    random = np.random.default_rng([seed, number, 4711])
    return Identity(shape=_shape(random), looks=_looks(random))


def _shape(random: np.random.Generator) -> Shape:
    def between(low: float, high: float) -> float:
        return float(random.uniform(low, high))

    nose_tip = between(0.24, 0.36)
    eye_x = between(0.285, 0.35)
    return Shape(
        width=between(0.70, 0.85),
        height=between(0.93, 1.06),
        depth=between(0.78, 0.88),
        taper=between(0.10, 0.34),
        square=between(2.1, 3.0),
        chin=between(0.02, 0.12),
        cheeks=between(0.0, 0.07),
        eye_x=eye_x,
        eye_y=between(-0.10, 0.0),
        eye_width=min(between(0.145, 0.195), eye_x - 0.12),
        eye_open=between(0.085, 0.135),
        eye_tilt=between(-0.18, 0.14),
        brow_rise=between(0.20, 0.28),
        brow_width=between(0.022, 0.055),
        brow_arch=between(0.01, 0.08),
        brow_tilt=between(-0.12, 0.18),
        nose_tip=nose_tip,
        nose_width=between(0.11, 0.19),
        nose_height=between(0.15, 0.27),
        mouth_y=nose_tip + between(0.24, 0.30),
        mouth_width=between(0.20, 0.32),
        lips=(between(0.035, 0.075), between(0.045, 0.10)),
        ears=between(0.17, 0.25),
        neck=between(0.30, 0.44),
        shoulders=between(1.25, 1.65),
    )


def _looks(random: np.random.Generator) -> Looks:
    skin = tone_between(random, SKIN_TONES)
    hair = hair_colour(random)
    style: HairStyle = HAIR_STYLES[int(random.choice(8, p=(0.08, 0.10, 0.16, 0.13, 0.13, 0.14, 0.16, 0.10)))]
    clothes = vivid(random, (0.25, 0.95), (0.15, 0.95))
    backdrop: tuple[Backdrop, ...] = ("plain", "gradient", "glow", "panels", "lights")
    pattern: tuple[Pattern, ...] = ("plain", "stripes", "bars", "dots")
    beards: tuple[Beard, ...] = ("none", "stubble", "moustache", "goatee", "full")
    behind = vivid(random, (0.1, 0.75), (0.2, 0.95))
    return Looks(
        skin=skin,
        hair=hair,
        brows=mixed(hair, (0.1, 0.07, 0.05), 0.45),
        iris=tone_between(random, _IRIS_TONES, exact=True),
        lips=mixed(mixed(skin, (0.75, 0.22, 0.25), float(random.uniform(0.3, 0.75))), (0, 0, 0), 0.08),
        style=style,
        fringe=float(random.uniform(-0.62, -0.40)),
        parting=float(random.uniform(-0.35, 0.35)),
        volume=float(random.uniform(0.06, 0.16)),
        beard=beards[int(random.choice(5, p=(0.62, 0.10, 0.08, 0.08, 0.12)))],
        freckles=bool(random.random() < 0.15),
        glasses=_glasses(random),
        clothes=clothes,
        trim=vivid(random, (0.0, 0.8), (0.1, 1.0)),
        pattern=pattern[int(random.integers(4))],
        neckline=float(random.uniform(0.0, 0.62)),
        backdrop=backdrop[int(random.integers(5))],
        behind=(behind, vivid(random, (0.1, 0.7), (0.2, 0.95))),
        detail=int(random.integers(2**31)),
    )


def _glasses(random: np.random.Generator) -> Glasses | None:
    some = bool(random.random() < 0.3)
    dark = bool(random.random() < 0.6)
    return Glasses(
        width=float(random.uniform(0.22, 0.26)),
        height=float(random.uniform(0.16, 0.23)),
        rim=float(random.uniform(0.018, 0.034)),
        roundness=float(random.choice((2.0, 2.6, 4.0))),
        colour=(0.10, 0.09, 0.10) if dark else vivid(random, (0.5, 0.9), (0.3, 0.8)),
    ) if some else None  # fmt: skip
