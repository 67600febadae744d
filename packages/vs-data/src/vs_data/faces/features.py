"""Eyes, brows, lips and the jaw: curves on the face that move, in the head's coordinates (x, y).

Everything here is one-to-one at each moment, so that a point of a lip or a lid can be found again at another moment.
Eyes and brows are given for the viewer's right; those on the left are mirrored.
"""

from typing import NamedTuple

import numpy as np

from vs_data.faces.identity import Shape
from vs_data.faces.motion import Moment
from vs_data.procedural.arrays import F32, F64, smooth

_JAW_LENGTH = 0.48
"""How far below the mouth the skin follows the jaw completely, head units."""

_JAW_DROP = 0.8
"""How far the chin drops when the mouth opens by 1."""

_RESTING_SMILE = 0.30
"""How far a mouth at rest smiles."""

LASH = 0.030
"""Thickness of the line of lashes, head units."""


def jaw_rest(shape: Shape, moment: Moment, x: F32, y: F32) -> F32:
    """Return the y (n,) at which points of the skin that are at x, y (n,) are when the mouth is closed."""
    return y - _jaw_drop(shape, moment, x) * _jaw_part(shape, y)


def jaw_moved(shape: Shape, moment: Moment, x: F64, y: F64) -> F64:
    """Return the inverse of `jaw_rest`: where (y) skin is that is at x, y (n,) when the mouth is closed."""
    drop = _jaw_drop(shape, moment, x)
    moved = y + drop * _jaw_part(shape, y)
    for _ in range(8):  # Newton's method; the derivative is at least 1 - 1.5 drop / _JAW_LENGTH, above 0.2
        part = np.clip((moved - shape.mouth_y) / _JAW_LENGTH, 0, 1)
        slope = 1 - drop * 6 * part * (1 - part) / _JAW_LENGTH
        moved = moved - (moved - drop * _jaw_part(shape, moved) - y) / slope
    return moved


def _jaw_drop(shape: Shape, moment: Moment, x: F32) -> F32:
    part = np.maximum(1 - (x / (1.25 * shape.width)) ** 2, 0)
    return np.asarray(_JAW_DROP * moment.open * part * part)


def _jaw_part(shape: Shape, y: F32) -> F32:
    return smooth((y - shape.mouth_y) / _JAW_LENGTH)


class Lids(NamedTuple):
    """Edges of the lids: a lid is at height * (1 - u*u) over the line between the corners, u from -1 to 1."""

    upper: float
    lower: float


def lids_at(shape: Shape, moment: Moment) -> Lids:
    """Return the lids at a moment; smiling raises the lower ones a little."""
    lower = shape.eye_open * (0.60 - 0.18 * max(moment.smile, 0.0))
    return Lids(upper=-shape.eye_open + moment.blink * (shape.eye_open + 0.80 * lower), lower=lower)


def eye_line(shape: Shape, side: F32) -> F32:
    """Return the y of the line through the corners of an eye; side is the distance from the middle of the face."""
    return shape.eye_y + shape.eye_tilt * (side - shape.eye_x)


def iris_radius(shape: Shape) -> float:
    """Return the radius of the iris: a little of it is always under the upper lid."""
    return 0.92 * shape.eye_open


def iris_centre(shape: Shape, moment: Moment, mirror: F32 | float) -> tuple[F32 | float, float]:
    """Return the centre (x, y) of the iris; `mirror` is 1 on the viewer's right, -1 on the left."""
    return mirror * shape.eye_x + moment.gaze[0], shape.eye_y + moment.gaze[1] - 0.12 * shape.eye_open


def brow_line(shape: Shape, moment: Moment, side: F32) -> F32:
    """Return the y of the middle of a brow."""
    return _brow_rest(shape, side) - moment.brows


def _brow_rest(shape: Shape, side: F32) -> F32:
    u = (side - shape.eye_x) / brow_reach(shape)
    return shape.eye_y - shape.brow_rise + shape.brow_tilt * (side - shape.eye_x) - shape.brow_arch * (1 - u * u)


def brow_reach(shape: Shape) -> float:
    """Return half the length of a brow."""
    return 1.22 * shape.eye_width


def brow_thickness(shape: Shape, side: F32) -> F32:
    """Return half the thickness of a brow: thinner outwards."""
    u = np.clip((side - shape.eye_x) / brow_reach(shape), -1, 1)
    return np.asarray(shape.brow_width * (1 - 0.45 * u) * np.sqrt(np.maximum(1 - u**4, 0)))


class Mouth(NamedTuple):
    """Curves of the mouth at points u from -1 (corner on the viewer's left) to 1, all (n,) y.

    Attributes:
        top: Upper edge of the upper lip.
        upper, lower: Where the lips meet, or leave the mouth open.
        bottom: Lower edge of the lower lip.
    """

    top: F32
    upper: F32
    lower: F32
    bottom: F32


def mouth_reach(shape: Shape, moment: Moment) -> float:
    """Return half the width of the mouth: smiling widens it, opening makes it narrower."""
    return shape.mouth_width * (1 + 0.20 * moment.smile - 0.55 * moment.open)


def mouth_curves(shape: Shape, moment: Moment, u: F32) -> Mouth:
    """Return the mouth at a moment."""
    hill = np.maximum(1 - u * u, 0)
    curve = moment.smile + _RESTING_SMILE
    middle = shape.mouth_y + curve * shape.mouth_width * np.float32(0.26) * (np.float32(0.55) - u * u)
    upper = middle - np.float32(0.20 * moment.open) * hill
    lower = middle + np.float32(0.80 * moment.open) * hill
    bow = 1 - np.float32(0.30) * np.maximum(1 - np.abs(u) * np.float32(5), 0)
    full = np.sqrt(hill) * np.float32(0.45) + hill * np.float32(0.55)
    return Mouth(upper - shape.lips[0] * full * bow, upper, lower, lower + shape.lips[1] * full)
