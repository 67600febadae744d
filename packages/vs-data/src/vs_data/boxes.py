"""Squares around parts of a person that deserve a closer look: the face, the hands."""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from vs_data.people import there
from vs_data.skeletons import Skeleton

Box: TypeAlias = tuple[float, float, float, float]
"""Left, top, right, bottom, pixels; all zero: there is none."""

NOWHERE: Box = (0.0, 0.0, 0.0, 0.0)

_FACE = 1.8  # side of the box, in extents of the points of a face, which end at the brows
_HEAD = 1.6  # in extents of nose, eyes and ears
_HAND = 1.5  # in extents of the points of a hand
_FOREARM = 0.9  # in lengths of the forearm, where a hand has no points of its own
_BEYOND = 0.35  # how far behind the wrist the middle of a hand is, lengths of the forearm
_HEAD_POINTS = ("nose", "left eye", "right eye", "left ear", "right ear")
_FEW = 3  # points by which a head is found
_SHARE = 1 / 3  # of a face's or hand's points by which it is found: of a hidden one some are guessed, at one spot
_SMALLEST = 2.0  # side, pixels; there is nothing to see in less

_F64 = NDArray[np.float64]


def face_boxes(points: _F64, skeleton: Skeleton) -> tuple[Box, ...]:
    """Return the square around the face of a person (n, 3): by the points of the face, or those of the head."""
    own = _own(points, skeleton, "face")
    if own is not None:
        return (_around(own, _FACE),)
    names = [index for index, name in enumerate(skeleton.points) if name in _HEAD_POINTS]
    head = _seen(points[names])
    return (_around(head, _HEAD) if len(head) >= _FEW else NOWHERE,)


def hand_boxes(points: _F64, skeleton: Skeleton) -> tuple[Box, ...]:
    """Return the squares around the left and the right hand: by their own points, or behind elbow and wrist."""
    return _hand_box(points, skeleton, "left"), _hand_box(points, skeleton, "right")


def _hand_box(points: _F64, skeleton: Skeleton, side: str) -> Box:
    own = _own(points, skeleton, f"{side} hand")
    if own is not None:
        return _around(own, _HAND)
    names = (f"{side} elbow", f"{side} wrist")
    if not set(names) <= set(skeleton.points):
        return NOWHERE
    arm = points[[skeleton.points.index(name) for name in names]]
    if not there(arm).all():
        return NOWHERE
    elbow, wrist = arm[:, :2]
    return _square(wrist + _BEYOND * (wrist - elbow), _FOREARM * float(np.linalg.norm(wrist - elbow)))


BOXES: dict[str, Callable[[_F64, Skeleton], tuple[Box, ...]]] = {"face": face_boxes, "hand": hand_boxes}
"""What finds the boxes of each region of a person; a region has equally many in every frame."""


def boxes_of(points: _F64, skeleton: Skeleton, size: tuple[int, int]) -> dict[str, NDArray[np.float32]]:
    """Return the boxes (B, 4) of each region of a person (n, 3) in a picture (H, W); see `Clip.boxes`."""
    return {
        name: np.array([_in_picture(box, size) for box in find(points, skeleton)], np.float32)
        for name, find in BOXES.items()
    }


def _in_picture(box: Box, size: tuple[int, int]) -> Box:
    """Return a box whose middle is in a picture and which is large enough to show something, or none."""
    left, top, right, bottom = box
    inside = 0 <= (left + right) / 2 <= size[1] - 1 and 0 <= (top + bottom) / 2 <= size[0] - 1
    return box if inside and right - left >= _SMALLEST else NOWHERE


def _own(points: _F64, skeleton: Skeleton, name: str) -> _F64 | None:
    """Return the points of a part that are there, or None if too few of them are."""
    part = skeleton.part(name)
    if part is None:
        return None
    own = _seen(points[part.first : part.stop])
    return own if len(own) >= _SHARE * (part.stop - part.first) else None


def _seen(points: _F64) -> _F64:
    return np.asarray(points[there(points), :2])


def _around(points: _F64, factor: float) -> Box:
    low, high = points.min(axis=0), points.max(axis=0)
    return _square((low + high) / 2, factor * float((high - low).max()))


def _square(middle: _F64, side: float) -> Box:
    x, y = middle.tolist()
    return x - side / 2, y - side / 2, x + side / 2, y + side / 2
