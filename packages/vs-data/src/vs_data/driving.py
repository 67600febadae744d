"""Driving one subject by another's motion: landmarks keep their pose and expression and change their proportions.

The shape of a face in a frame is taken apart: a similarity transform (where the head is, how large, how it is rolled)
of the subject's neutral shape and a residual, which is the expression and the turn of the head. The transform is found
by the points of a face that move least when it speaks: nose and corners of the eyes.
"""

import attrs
import numpy as np
from numpy.typing import NDArray

_RIGID_POINTS = (27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 39, 42, 45)
_EYES = (slice(36, 42), slice(42, 48))
_BROWS = slice(17, 27)
_JAW = slice(0, 17)
_ROUNDS = 3  # of aligning all frames with their median
_MIN_RATIO, _MAX_RATIO = 0.25, 4.0  # of the proportions of two faces, against closed eyes and broken landmarks
_EPSILON = 1e-9

_F64 = NDArray[np.float64]


@attrs.frozen(kw_only=True, eq=False)
class Subject:
    """A description of a sequence's subject, and of where it usually is in the picture, by its landmarks.

    Attributes:
        neutral: (68, 2) shape without expression: eyes level, the steady points around (0, 0) at a mean square distance
            of 1.
        scale: Mean size in the pictures, pixels per unit of `neutral`.
        place: (2,) mean position in the pictures, pixels.
    """

    neutral: NDArray[np.float64]
    scale: float
    place: NDArray[np.float64]


@attrs.frozen(kw_only=True, eq=False)
class _Poses:
    """Similarity transforms, one per frame: x -> scale * rotation @ x + place."""

    scale: _F64  # (n,)
    rotation: _F64  # (n, 2, 2)
    place: _F64  # (n, 2)


def subject_of(track: NDArray[np.float64]) -> Subject:
    """Return the subject of landmarks (frames, 68, 2), all frames of a sequence.

    Its neutral shape is the median, point by point, of all shapes, each brought by a similarity transform to the same
    place, size and roll; the median does not follow a mouth that is open in some frames or eyes that blink.
    """
    neutral = _upright(track[0])
    for _ in range(_ROUNDS):
        poses = _poses(track, neutral)
        neutral = _upright(np.median(_undone(poses, track), axis=0))
    poses = _poses(track, neutral)
    return Subject(neutral=neutral, scale=float(poses.scale.mean()), place=poses.place.mean(axis=0))


def drive(points: NDArray[np.float64], driver: Subject, subject: Subject) -> NDArray[np.float64]:
    """Return landmarks of `subject` in the motion of `driver`.

    The roll of the head is the driver's. How much larger than usual the driver is in a frame, and how far from its
    usual place in units of its size, the subject is too. The expression is scaled to the subject's proportions, along
    and across the face, and that of the eyelids to the subject's eyes, so that a blink closes them. Driving a subject
    by itself changes nothing, and where and how large the driver is in its pictures does not matter.

    Args:
        points: (T, 68, 2) landmarks of the driver, pixels of its pictures.
        driver: Made from the whole sequence that the points are from.
        subject: Made from the sequence of the subject that is to be shown.

    Returns:
        (T, 68, 2) landmarks, pixels of the subject's pictures.
    """
    poses = _poses(points, driver.neutral)
    expression = _scaled(_undone(poses, points) - driver.neutral, driver.neutral, subject.neutral)
    size = subject.scale / driver.scale
    moved = _Poses(
        scale=poses.scale * size,
        rotation=poses.rotation,
        place=subject.place + (poses.place - driver.place) * size,
    )
    return _done(moved, subject.neutral + expression)


def _poses(track: _F64, shape: _F64) -> _Poses:
    """Return the transforms that bring the steady points of a shape (68, 2) closest to those of every frame (n, 68, 2).

    Source: Umeyama, "Least-squares estimation of transformation parameters between two point patterns", 1991; in the
    plane, without mirroring, a complex factor is all there is to find.
    """
    steady = list(_RIGID_POINTS)
    there, here = _complex(track[:, steady]), _complex(shape[steady])
    middle, origin = there.mean(axis=1), here.mean()
    spread = max(float((np.abs(here - origin) ** 2).sum()), _EPSILON)
    factor = ((here - origin).conj() * (there - middle[:, None])).sum(axis=1) / spread
    scale = np.maximum(np.abs(factor), _EPSILON)
    turn = np.where(np.abs(factor) > _EPSILON, factor / scale, 1.0)
    rotation = np.stack([np.stack([turn.real, -turn.imag], -1), np.stack([turn.imag, turn.real], -1)], axis=-2)
    place = middle - scale * turn * origin
    return _Poses(scale=scale, rotation=rotation, place=np.stack([place.real, place.imag], axis=-1))


def _complex(points: _F64) -> NDArray[np.complex128]:
    return points[..., 0] + 1j * points[..., 1]


def _done(poses: _Poses, shapes: _F64) -> _F64:
    """Transform shapes (n, 68, 2), each by the pose of its frame."""
    turned = np.einsum("nij,npj->npi", poses.rotation, shapes)
    return np.asarray(poses.scale[:, None, None] * turned + poses.place[:, None])


def _undone(poses: _Poses, track: _F64) -> _F64:
    """Return what `_done` makes a track (n, 68, 2) from."""
    shapes = (track - poses.place[:, None]) / poses.scale[:, None, None]
    return np.asarray(np.einsum("nji,npj->npi", poses.rotation, shapes))


def _upright(shape: _F64) -> _F64:
    """Return a shape (68, 2) with its eyes level and its steady points around (0, 0) at a mean square distance of 1."""
    steady = shape[list(_RIGID_POINTS)]
    centred = shape - steady.mean(axis=0)
    size = max(float(np.sqrt(np.square(steady - steady.mean(axis=0)).sum(axis=1).mean())), _EPSILON)
    x, y = centred[_EYES[1]].mean(axis=0) - centred[_EYES[0]].mean(axis=0)
    length = max(float(np.hypot(x, y)), _EPSILON)
    level = np.array([[x, y], [-y, x]]) / length
    return np.asarray(centred @ level.T / size)


def _scaled(expression: _F64, driver: _F64, subject: _F64) -> _F64:
    """Return the residuals (n, 68, 2) of a driver with one neutral shape (68, 2) as those of a subject with another."""
    scaled = expression * _ratio(_extent(subject), _extent(driver))
    for eye in _EYES:
        middle = expression[:, eye].mean(axis=1, keepdims=True)
        lids = (expression[:, eye] - middle) * _ratio(np.ptp(subject[eye], axis=0), np.ptp(driver[eye], axis=0))
        scaled[:, eye] = scaled[:, eye].mean(axis=1, keepdims=True) + lids
    return scaled


def _extent(shape: _F64) -> _F64:
    """Return the width of the jaw and the height from the brows to the chin."""
    width = np.ptp(shape[_JAW, 0])
    return np.array([width, shape[_JAW, 1].max() - shape[_BROWS, 1].mean()])


def _ratio(subject: _F64, driver: _F64) -> _F64:
    ratio = np.maximum(subject, _EPSILON) / np.maximum(driver, _EPSILON)
    return np.asarray(np.clip(ratio, _MIN_RATIO, _MAX_RATIO))
