"""A skeleton of one's own, as configurations say it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import attrs
from vs_config import REQUIRED, Check, Problem, Range, check_fields, numbers, real, tables, texts

from vs_data.skeletons.skeleton import Part, Skeleton


@attrs.frozen(kw_only=True)
class LimbConfig:
    """A line between two points of a skeleton."""

    ends: tuple[str, ...] = texts(REQUIRED, "names of the two points that it joins", high=2)
    colour: tuple[float, ...] = numbers(
        (1.0, 1.0, 1.0), "red, green and blue", Range(kind=float, low=0.0, high=1.0), length=3
    )
    width: float = real(3.0, "width, in 256ths of the picture's smaller side", low=0.1, high=64.0)


def _check_ends(config: SkeletonConfig) -> Iterator[Problem]:
    for index, limb in enumerate(config.limbs):
        if len(limb.ends) != 2 or not set(limb.ends) <= set(config.points):
            yield Problem(f"limbs[{index}].ends", expected="two of the names in points", got=limb.ends)


@attrs.frozen(kw_only=True)
class SkeletonConfig:
    """Points with names, and the lines between them. Names of the two sides differ in "left" and "right" alone."""

    points: tuple[str, ...] = texts(REQUIRED, "what the points are called, in the order of the files", high=1000)
    limbs: tuple[LimbConfig, ...] = tables(
        REQUIRED, "lines between them, later ones over earlier ones", low=1, high=4000
    )

    CHECKS: ClassVar[tuple[Check, ...]] = (Check(("points", "limbs"), _check_ends),)

    def __attrs_post_init__(self) -> None:
        check_fields(self)


def skeleton_of(config: SkeletonConfig) -> Skeleton:
    """Return the skeleton that a configuration describes; all of it is its body."""
    number = {name: index for index, name in enumerate(config.points)}
    ends = [limb.ends for limb in config.limbs]
    return Skeleton(
        points=config.points,
        limbs=tuple((number[one], number[other]) for one, other in ends),
        colours=tuple((limb.colour[0], limb.colour[1], limb.colour[2]) for limb in config.limbs),
        widths=tuple(limb.width for limb in config.limbs),
        parts=(Part(name="body", first=0, stop=len(config.points)),),
    )
