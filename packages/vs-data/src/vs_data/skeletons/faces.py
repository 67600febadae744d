"""Faces: the 68 points of dlib, and the 70 of OpenPose, which are those and the pupils."""

from itertools import pairwise

from vs_data.landmarks import CURVES
from vs_data.skeletons.skeleton import Limb, Skeleton, one_part

_WIDTH = 1.0
_DOT = 2.0

_PAIRS: tuple[Limb, ...] = (
    *((index, 16 - index) for index in range(8)),  # jaw
    *((index, 43 - index) for index in range(17, 22)),  # brows
    *((31, 35), (32, 34)),  # base of the nose
    *((36, 45), (37, 44), (38, 43), (39, 42), (40, 47), (41, 46)),  # eyes
    *((48, 54), (49, 53), (50, 52), (59, 55), (58, 56)),  # outer lips
    *((60, 64), (61, 63), (67, 65)),  # inner lips
    (68, 69),  # pupils
)
"""Points of the right side of a face and of its left side that are each other's mirror image."""


def _names(count: int) -> tuple[str, ...]:
    """Return names by number; a point of the left side is called after that of the right one."""
    names = {right: f"right face {right}" for right, _ in _PAIRS} | {
        left: f"left face {right}" for right, left in _PAIRS
    }
    return tuple(names.get(index, f"face {index}") for index in range(count))


_LINES: tuple[Limb, ...] = tuple(limb for curve in CURVES for limb in pairwise(curve))
_PUPILS: tuple[Limb, ...] = ((68, 68), (69, 69))
_WHITE = (1.0, 1.0, 1.0)

DLIB68 = one_part("face", _names(68), _LINES, (_WHITE,) * len(_LINES), _WIDTH)
_FACE70 = one_part("face", _names(70), (*_LINES, *_PUPILS), (_WHITE,) * (len(_LINES) + 2), _WIDTH)
OPENPOSE_FACE70 = Skeleton(
    points=_FACE70.points,
    limbs=_FACE70.limbs,
    colours=_FACE70.colours,
    widths=(*(_WIDTH,) * len(_LINES), _DOT, _DOT),
    parts=_FACE70.parts,
)
