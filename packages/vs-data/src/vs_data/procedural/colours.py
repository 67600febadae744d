"""Colours of people and their clothes, and how they are drawn at random and painted with."""

import colorsys
from typing import TypeAlias

import numpy as np

from vs_data.procedural.arrays import F32

Colour: TypeAlias = tuple[float, float, float]
"""RGB in [0,1]."""

SKIN_TONES: tuple[Colour, ...] = (
    (0.99, 0.86, 0.77),
    (0.96, 0.78, 0.66),
    (0.90, 0.69, 0.54),
    (0.80, 0.57, 0.41),
    (0.65, 0.43, 0.29),
    (0.48, 0.30, 0.20),
    (0.33, 0.20, 0.14),
)
"""From light to dark."""

HAIR_TONES: tuple[Colour, ...] = (
    (0.09, 0.08, 0.09),
    (0.24, 0.15, 0.10),
    (0.42, 0.26, 0.15),
    (0.62, 0.42, 0.22),
    (0.88, 0.72, 0.40),
    (0.68, 0.27, 0.12),
    (0.62, 0.62, 0.64),
    (0.92, 0.91, 0.88),
)


def hair_colour(random: np.random.Generator) -> Colour:
    """Draw a colour of hair; now and then it is dyed."""
    if random.random() < 0.14:  # dyed
        return vivid(random, (0.55, 0.85), (0.45, 0.9))
    tone = HAIR_TONES[int(random.integers(len(HAIR_TONES)))]
    return mixed(tone, HAIR_TONES[int(random.integers(len(HAIR_TONES)))], float(random.uniform(0.0, 0.25)))


def tone_between(random: np.random.Generator, tones: tuple[Colour, ...], *, exact: bool = False) -> Colour:
    """Return one of a row of colours, or one between two neighbours, with a little noise."""
    place = float(random.uniform(0, len(tones) - 1))
    low = min(int(place), len(tones) - 2)
    colour = tones[round(place)] if exact else mixed(tones[low], tones[low + 1], place - low)
    noise = random.normal(0.0, 0.012, 3)
    red, green, blue = (float(min(max(c + n, 0.02), 1.0)) for c, n in zip(colour, noise, strict=True))
    return red, green, blue


def mixed(one: Colour, other: Colour, part: float) -> Colour:
    """Return a colour on the way from one (`part` 0) to another (1)."""
    red, green, blue = (a + (b - a) * part for a, b in zip(one, other, strict=True))
    return red, green, blue


def vivid(random: np.random.Generator, saturation: tuple[float, float], value: tuple[float, float]) -> Colour:
    """Draw a colour of any hue, its saturation and value within limits."""
    return colorsys.hsv_to_rgb(*(float(random.uniform(*limits)) for limits in ((0.0, 1.0), saturation, value)))


def darker(colour: Colour, factor: float) -> Colour:
    """Return a colour, darkened."""
    return colour[0] * factor, colour[1] * factor, colour[2] * factor


def tinted(colour: Colour, brightness: F32) -> F32:
    """Return (3,n) a colour that is lit by `brightness` (n,)."""
    return np.asarray(np.multiply.outer(np.array(colour, np.float32), brightness), np.float32)


def blended(one: F32, other: Colour, part: F32) -> F32:
    """Return colours (3,n) that change to another one where `part` (n,) is 1."""
    return np.asarray(one + (np.array(other, np.float32)[:, None] - one) * part)
