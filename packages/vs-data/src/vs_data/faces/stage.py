"""Where head and body are at a moment, seen orthographically.

Screen coordinates are x to the right, y down, z to the viewer, in head units; (0, 0) is the middle of the picture.
"""

import attrs
import numpy as np

from vs_data.faces.motion import Moment
from vs_data.procedural.arrays import F32, F64

REACH = 1.62
"""From the middle of a picture to its nearer borders it is so far, head units."""

_MIDDLE = 0.26
"""y of the head's coordinates that is in the middle of the picture."""

_PIVOT = np.array([0.0, 0.80, -0.25])
"""Point about which heads turn, in their coordinates."""

_BODY_PIVOT = np.array([0.0, 2.2, -0.3])


@attrs.frozen(kw_only=True, eq=False)
class Placement:
    """A rigid motion with uniform scale: screen = matrix @ point + offset.

    Attributes:
        matrix, inverse: (3,3).
        offset: (3,).
    """

    matrix: F64
    inverse: F64
    offset: F64


@attrs.frozen(kw_only=True, eq=False)
class Stage:
    """A moment with the placements of head and body at it."""

    moment: Moment
    head: Placement
    body: Placement


def stage_at(moment: Moment) -> Stage:
    """Return head and body at a moment."""
    x, y, roll = moment.body
    return Stage(
        moment=moment,
        head=_placement(_rotation(moment.yaw, moment.pitch, moment.roll), moment.scale, _PIVOT, moment.x, moment.y),
        body=_placement(_rotation(0.0, 0.0, roll), moment.scale, _BODY_PIVOT, x, y),
    )


def _placement(rotation: F64, scale: float, pivot: F64, x: float, y: float) -> Placement:
    """Turn about the pivot, move by x and y, and scale about the middle of the picture."""
    matrix = rotation * scale
    place = scale * (pivot + np.array([x, y - _MIDDLE, 0.0]))
    return Placement(matrix=matrix, inverse=rotation.T / scale, offset=place - matrix @ pivot)


def _rotation(yaw: float, pitch: float, roll: float) -> F64:
    """Return (3,3): positive yaw turns the face to the viewer's right, pitch down, roll clockwise."""
    (sy, sp, sr), (cy, cp, cr) = np.sin([yaw, pitch, roll]), np.cos([yaw, pitch, roll])
    about_x = np.array([[1.0, 0.0, 0.0], [0.0, cp, sp], [0.0, -sp, cp]])
    about_y = np.array([[cy, 0.0, sy], [0.0, 1.0, 0.0], [-sy, 0.0, cy]])
    about_z = np.array([[cr, -sr, 0.0], [sr, cr, 0.0], [0.0, 0.0, 1.0]])
    return np.asarray(about_z @ about_y @ about_x, np.float64)


def to_screen(placement: Placement, point: F64) -> F64:
    """Return (3,n) on the screen of points (3,n)."""
    return _affine(placement.matrix, point) + placement.offset[:, None]


def from_screen(placement: Placement, x: F32, y: F32, z: F32) -> F32:
    """Return (3,n) coordinates of points that are at x, y, z (n,) on the screen, in the precision of x."""
    moved = [values - values.dtype.type(shift) for values, shift in zip((x, y, z), placement.offset, strict=True)]
    return _affine(placement.inverse.astype(x.dtype), np.stack(moved))


def _affine(matrix: F64 | F32, point: F64 | F32) -> F64:
    """Multiply, written out: a library's product differs in the last bit with the number of columns."""
    a, b, c = point
    return np.stack([row[0] * a + row[1] * b + row[2] * c for row in matrix])


def unit(size: tuple[int, int]) -> float:
    """Return pixels per head unit in pictures of size (H, W)."""
    return min(size) / (2 * REACH)


def to_pixels(point: F64, size: tuple[int, int]) -> F64:
    """Return (2,n) pixels of points (2,n) of the screen."""
    return np.asarray(point * unit(size) + _centre(size))


def from_pixels(pixel: F64, size: tuple[int, int]) -> F64:
    """Return (2,n) points of the screen of pixels (2,n)."""
    return np.asarray((pixel - _centre(size)) / unit(size))


def _centre(size: tuple[int, int]) -> F64:
    height, width = size
    return np.array([[(width - 1) / 2], [(height - 1) / 2]])
