"""The colours of material, a function of the material alone: whoever finds it again finds it looking the same."""

from collections.abc import Callable
from functools import lru_cache
from typing import TypeAlias

import numpy as np

from vs_data.faces.features import iris_radius
from vs_data.faces.head import Subject, look_up, shade_of
from vs_data.faces.identity import Identity
from vs_data.faces.parts import Part
from vs_data.faces.trace import Traces
from vs_data.procedural.arrays import F32, F64, bump, smooth
from vs_data.procedural.colours import blended, darker, tinted

Painter: TypeAlias = Callable[[Subject, F32], F32]
"""Colours (3,n) of material (3,n) of one part."""


def colours_of(subject: Subject, traces: Traces) -> F32:
    """Return (3,n) float32 in [0,1], of the background black."""
    picture = np.zeros((3, traces.part.size), np.float32)
    for part, painter in _PAINTERS:
        rows = np.flatnonzero(traces.part == part)
        if rows.size:
            picture[:, rows] = painter(subject, traces.material[:, rows])
    return np.clip(picture, 0, 1, out=picture)


def _skin(subject: Subject, material: F32) -> F32:
    return look_up(subject.skin, material[0], material[1])[:, :3].T


def _scalp(subject: Subject, material: F32) -> F32:
    x, y, z = material
    looks = subject.identity.looks
    bald = looks.style == "bald"
    colour = looks.skin if bald else darker(looks.hair, 0.75)
    return tinted(colour, shade_of(np.stack([x, y, z + np.float32(0.1)])))


def _ear(subject: Subject, material: F32) -> F32:
    x, y, z = material
    shape = subject.identity.shape
    inner = bump(np.abs(x), y, (shape.width + 0.03, 0.04), (0.09, 0.62 * shape.ears)) * (z > -0.12)
    light = shade_of(np.stack([x, (y - np.float32(0.06)) * np.float32(1.5), z + np.float32(0.35)]))
    return tinted(subject.identity.looks.skin, light * (1 - np.float32(0.28) * inner) * np.float32(0.94))


def _neck(subject: Subject, material: F32) -> F32:
    x, y, z = material
    under_the_chin = 1 - smooth((y - np.float32(0.85)) * np.float32(1.6))
    light = shade_of(np.stack([x, np.zeros_like(y), z + np.float32(0.3)]))
    return tinted(subject.identity.looks.skin, light * (np.float32(0.92) - np.float32(0.34) * under_the_chin))


def _chest(subject: Subject, material: F32) -> F32:
    x, y, _ = material
    light = shade_of(np.stack([x, y - np.float32(2.0), np.full_like(x, 0.8)]))
    return tinted(subject.identity.looks.skin, light * np.float32(0.94))


def _hair(subject: Subject, material: F32) -> F32:
    x, y, z = material
    looks = subject.identity.looks
    around = x / np.sqrt(x * x + (z + np.float32(1.1)) ** 2) * np.float32(0.8)
    bend = np.float32(0.05) * np.sin(y * np.float32(5) + np.float32(looks.parting * 9))
    strand = subject.strands[((around + bend) * np.float32(256)).astype(np.intp) & 255]
    if looks.style in ("curls", "buzz"):
        grain = np.float32(34) if looks.style == "curls" else np.float32(70)
        strand = np.sin(x * grain + 2 * np.sin(y * grain * np.float32(0.7))) * np.sin(y * grain + z * grain)
    light = shade_of(np.stack([x, y - np.float32(0.1), z + np.float32(0.2)]))
    shine = bump(x, y, (-0.25, -0.72), (0.60, 0.20)) * (z > 0)
    bright = light * (np.float32(0.94) + np.float32(0.20) * strand * (1 + shine))
    return blended(tinted(looks.hair, bright), (1.0, 0.98, 0.94), np.float32(0.20) * shine)


def _clothes(subject: Subject, material: F32) -> F32:
    x, y, z = material
    looks = subject.identity.looks
    pattern = np.zeros_like(x)
    if looks.pattern == "stripes":
        pattern = smooth(np.sin(y * np.float32(30)) * np.float32(2.5) + np.float32(0.5))
    elif looks.pattern == "bars":
        pattern = smooth((np.float32(0.17) - np.abs(np.abs(x) - np.float32(0.52))) * np.float32(40))
    elif looks.pattern == "dots":
        grid = (x * np.float32(5), y * np.float32(5))
        pattern = smooth((np.float32(0.26) - np.hypot(*(each - np.round(each) for each in grid))) * np.float32(9))
    collar = np.sqrt(x * x + (y - np.float32(1.36)) ** 2)
    trim = np.maximum(pattern, smooth((np.float32(looks.neckline + 0.08) - collar) * np.float32(60)))
    light = shade_of(np.stack([x * np.float32(0.7), y - np.float32(2.2), z + np.float32(0.7)]))
    folds = 1 + np.float32(0.05) * np.sin(x * np.float32(7) + 2 * np.sin(y * np.float32(5)))
    light = light * folds * (1 - np.float32(0.25) * bump(x, y, (0.0, 1.36), (0.85, 0.40)))
    return np.asarray(blended(tinted(looks.clothes, np.ones_like(x)), looks.trim, trim) * light)


def _glasses(subject: Subject, material: F32) -> F32:
    glasses = subject.identity.looks.glasses
    assert glasses is not None  # noqa: S101 - nobody else shows this part
    shine = bump(np.abs(material[0]), material[1], (0.30, -0.22), (0.2, 0.12))
    return blended(tinted(glasses.colour, np.ones_like(shine)), (1.0, 1.0, 1.0), np.float32(0.35) * shine)


def _brow(subject: Subject, material: F32) -> F32:
    return tinted(subject.identity.looks.brows, 1 + np.float32(0.08) * np.sin(material[0] * np.float32(90)))


def _lash(_subject: Subject, material: F32) -> F32:
    return tinted((0.10, 0.07, 0.07), np.ones_like(material[0]))


def _sclera(subject: Subject, material: F32) -> F32:
    shape = subject.identity.shape
    across = (np.abs(material[0]) - np.float32(shape.eye_x)) / np.float32(shape.eye_width)
    light = 1 - np.float32(0.22) * across**2 - np.float32(0.9) * np.maximum(np.float32(shape.eye_y) - material[1], 0)
    return tinted((0.97, 0.96, 0.95), light)


def _iris(subject: Subject, material: F32) -> F32:
    x, y, _ = material / np.float32(iris_radius(subject.identity.shape))
    radius = np.sqrt(x * x + y * y)
    light = np.float32(0.72) + np.float32(0.45) * smooth(y + np.float32(0.5))
    light = light * (1 - np.float32(0.55) * smooth((radius - np.float32(0.78)) * np.float32(5)))
    pupil = smooth((np.float32(0.50) - radius) * np.float32(9))
    colour = blended(tinted(subject.identity.looks.iris, light), (0.03, 0.03, 0.04), pupil)
    spark = smooth((np.float32(0.26) - np.hypot(x + np.float32(0.30), y + np.float32(0.28))) * np.float32(12))
    return blended(colour, (1.0, 1.0, 1.0), spark)


def _lips(subject: Subject, material: F32, part: Part) -> F32:
    u, across, _ = material
    lit = part == Part.LOWER_LIP
    light = np.float32(0.86 if not lit else 0.98) + np.float32(0.10) * np.sin(across * np.float32(np.pi))
    edge = smooth((np.float32(0.16) - across) * np.float32(8)) * np.float32(0.30)
    colour = tinted(subject.identity.looks.lips, light * (1 - edge) * (1 - np.float32(0.12) * u * u))
    spot = bump(u, across, (-0.15, 0.45), (0.32, 0.25)) if lit else np.zeros_like(u)
    return blended(colour, (1.0, 0.95, 0.93), np.float32(0.28) * spot)


def _teeth(subject: Subject, material: F32) -> F32:
    x, _, _ = material
    gap = np.float32(1) - np.float32(0.10) * np.abs(np.sin(x * np.float32(38)))
    fade = 1 - np.float32(0.45) * (x / np.float32(subject.identity.shape.mouth_width)) ** 2
    return tinted((0.96, 0.95, 0.91), gap * fade)


def _mouth(subject: Subject, material: F32) -> F32:
    x, y, _ = material
    shape = subject.identity.shape
    tongue = bump(x, y, (0.0, shape.mouth_y + 0.26), (0.22, 0.17))
    return blended(tinted((0.24, 0.06, 0.07), np.ones_like(x)), (0.78, 0.34, 0.36), tongue)


_PAINTERS: tuple[tuple[Part, Painter], ...] = (
    (Part.SKIN, _skin),
    (Part.BEARD, _skin),
    (Part.SCALP, _scalp),
    (Part.EAR, _ear),
    (Part.NECK, _neck),
    (Part.CHEST, _chest),
    (Part.HAIR, _hair),
    (Part.CLOTHES, _clothes),
    (Part.GLASSES, _glasses),
    (Part.BROW, _brow),
    (Part.LASH, _lash),
    (Part.SCLERA, _sclera),
    (Part.IRIS, _iris),
    (Part.UPPER_LIP, lambda subject, material: _lips(subject, material, Part.UPPER_LIP)),
    (Part.LOWER_LIP, lambda subject, material: _lips(subject, material, Part.LOWER_LIP)),
    (Part.TEETH, _teeth),
    (Part.MOUTH, _mouth),
)


@lru_cache(maxsize=16)
def backdrop(identity: Identity, size: tuple[int, int]) -> F32:
    """Return (3,H,W) float32 in [0,1]: what is behind a person."""
    height, width = size
    random = np.random.default_rng([identity.looks.detail, 2])
    reach = min(size) / 2
    y, x = np.meshgrid(
        (np.arange(height) - (height - 1) / 2) / reach, (np.arange(width) - (width - 1) / 2) / reach, indexing="ij"
    )
    part = _backdrop_part(identity, random, x, y)
    one, other = (np.array(colour)[:, None, None] for colour in identity.looks.behind)
    picture = (one + (other - one) * part) * (1 - 0.10 * np.hypot(x, y) ** 2 / 2)
    return np.asarray(np.clip(picture, 0, 1), np.float32)


def _backdrop_part(identity: Identity, random: np.random.Generator, x: F64, y: F64) -> F32:
    """Return how much of the second colour there is, 0 to 1."""
    angle = random.uniform(0, 2 * np.pi)
    along = x * np.cos(angle) + y * np.sin(angle)
    match identity.looks.backdrop:
        case "plain":
            return np.zeros_like(x)
        case "gradient":
            return 0.7 * smooth(0.5 + 0.4 * along)
        case "glow":
            return 0.6 * np.exp(-1.2 * (x**2 + (y + 0.1) ** 2))
        case "panels":
            return 0.45 * smooth(np.sin(2.6 * along + angle) * 4 + 0.5)
        case "lights":
            spots = np.zeros_like(x)
            for _ in range(14):
                centre, radius = random.uniform(-1.3, 1.3, 2), float(random.uniform(0.10, 0.30))
                distance = np.hypot(x - centre[0], y - centre[1])
                spots = np.maximum(spots, random.uniform(0.15, 0.6) * smooth((radius - distance) / 0.05))
            return spots
