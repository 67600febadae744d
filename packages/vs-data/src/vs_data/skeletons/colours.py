"""Colours of limbs: warm on the right side of a body, cold on its left, yellow to green in its middle."""

import colorsys
from collections.abc import Sequence
from typing import Literal, TypeAlias

from vs_data.skeletons.skeleton import Colour, Limb

Side: TypeAlias = Literal["right", "middle", "left"]

_HUES: dict[Side, tuple[float, float]] = {"right": (0.90, 1.10), "middle": (0.17, 0.36), "left": (0.48, 0.74)}
"""From which to which hue the limbs of a side go; 0 and 1: red, 1/3: green, 2/3: blue."""


def side_colours(points: Sequence[str], limbs: Sequence[Limb]) -> tuple[Colour, ...]:
    """Return a colour for each limb, all different: by the side that one of its ends is on."""
    sides = [_side(points[a], points[b]) for a, b in limbs]
    return tuple(shade(_HUES[side], sides[:index].count(side), sides.count(side)) for index, side in enumerate(sides))


def shade(hues: tuple[float, float], index: int, count: int) -> Colour:
    """Return the colour with number `index` of `count` that are spread over a range of hues."""
    low, high = hues
    return colorsys.hsv_to_rgb((low + (high - low) * (index + 0.5) / count) % 1.0, 1.0, 1.0)


def _side(one: str, other: str) -> Side:
    both = f"{one} {other}"
    has_right, has_left = "right" in both, "left" in both
    return "middle" if has_right == has_left else "right" if has_right else "left"
