"""Points with names, limbs between them, and which of them are each other's mirror image."""

from collections.abc import Sequence
from itertools import accumulate
from typing import Any, TypeAlias

import attrs
import numpy as np
from numpy.typing import NDArray

Colour: TypeAlias = tuple[float, float, float]
"""Red, green and blue in [0, 1]."""

Limb: TypeAlias = tuple[int, int]
"""Numbers of the two points that a limb joins; a limb from a point to itself is a dot."""


@attrs.frozen(kw_only=True)
class Part:
    """A part of a skeleton: its points are numbered in one go, from `first` up to `stop` - 1."""

    name: str
    first: int
    stop: int


@attrs.frozen(kw_only=True)
class Skeleton:
    """A skeleton: what points there are, and which lines are drawn between them.

    Attributes:
        points: Names of the points; those of the two sides of a body are called alike but for "left" and "right".
        limbs: Pairs of points; later ones are drawn over earlier ones.
        colours: Of each limb.
        widths: Of each limb, in 256ths of the smaller side of the picture.
        parts: What the points belong to (body, face, left hand, right hand), in order.
    """

    points: tuple[str, ...]
    limbs: tuple[Limb, ...]
    colours: tuple[Colour, ...]
    widths: tuple[float, ...]
    parts: tuple[Part, ...]

    def __attrs_post_init__(self) -> None:
        count = len(self.points)
        assert all(0 <= end < count for limb in self.limbs for end in limb)  # noqa: S101
        assert len(self.limbs) == len(self.colours) == len(self.widths)  # noqa: S101

    @property
    def mirrored(self) -> tuple[tuple[int, int], ...]:
        """Pairs (right, left) of points that are each other's mirror image."""
        number = {name: index for index, name in enumerate(self.points)}
        pairs = ((index, number.get(other_side(name))) for name, index in number.items() if "right" in name)
        return tuple((right, left) for right, left in pairs if left is not None)

    def part(self, name: str) -> Part | None:
        """Return a part by its name, or None where the skeleton has no such part."""
        return next((part for part in self.parts if part.name == name), None)


def other_side(name: str) -> str:
    """Return what a point of the right side is called on the left one."""
    return name.replace("right", "left")


def exchanged(points: NDArray[Any], skeleton: Skeleton) -> NDArray[Any]:
    """Exchange right and left among points (..., n, c): what a mirror does to a body besides moving its points."""
    order = np.arange(len(skeleton.points))
    for right, left in skeleton.mirrored:
        order[[right, left]] = left, right
    return np.asarray(points[..., order, :])


def joined(*skeletons: Skeleton) -> Skeleton:
    """Return one skeleton of several, whose points follow each other."""
    offsets = list(accumulate((len(each.points) for each in skeletons), initial=0))
    pairs = list(zip(skeletons, offsets, strict=False))
    return Skeleton(
        points=tuple(name for each in skeletons for name in each.points),
        limbs=tuple((a + offset, b + offset) for each, offset in pairs for a, b in each.limbs),
        colours=tuple(colour for each in skeletons for colour in each.colours),
        widths=tuple(width for each in skeletons for width in each.widths),
        parts=tuple(
            Part(name=part.name, first=part.first + offset, stop=part.stop + offset)
            for each, offset in pairs
            for part in each.parts
        ),
    )


def one_part(
    name: str, points: Sequence[str], limbs: Sequence[Limb], colours: Sequence[Colour], width: float
) -> Skeleton:
    """Return a skeleton of one part, all of whose limbs are equally wide."""
    return Skeleton(
        points=tuple(points),
        limbs=tuple(limbs),
        colours=tuple(colours),
        widths=(width,) * len(limbs),
        parts=(Part(name=name, first=0, stop=len(points)),),
    )
