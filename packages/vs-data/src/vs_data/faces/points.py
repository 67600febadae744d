"""The 68 landmarks of a face, exact points of its surface, in dlib's order."""

import numpy as np

from vs_data.faces import features
from vs_data.faces.head import Subject, height_at
from vs_data.faces.identity import Shape
from vs_data.faces.motion import Moment
from vs_data.faces.stage import Stage, to_pixels, to_screen
from vs_data.procedural.arrays import F64


def landmarks_at(subject: Subject, stage: Stage, size: tuple[int, int]) -> F64:
    """Return (68,2) x and y, pixels, of landmarks in a picture of size (H, W); they may be hidden or outside of it."""
    shape, moment = subject.identity.shape, stage.moment
    parts = (
        _jaw(subject, moment),
        _brows(shape, moment),
        _nose(shape),
        _eyes(shape, moment),
        _mouth(shape, moment),
    )
    x, y = np.concatenate(parts, axis=1)
    place = np.stack([x, y, height_at(subject, x, features.jaw_rest(shape, moment, x, y))])
    return to_pixels(to_screen(stage.head, place)[:2], size).T.copy()


def _jaw(subject: Subject, moment: Moment) -> F64:
    x, y = subject.jaw
    return np.stack([x, features.jaw_moved(subject.identity.shape, moment, x, y)])


def _mirrored(side: F64, y: F64) -> F64:
    """Return (2,2n): points on the viewer's left, then those on the right, both left to right; `side` is x, rising."""
    return np.stack([np.concatenate([-side[::-1], side]), np.concatenate([y[::-1], y])])


def _brows(shape: Shape, moment: Moment) -> F64:
    side = shape.eye_x + features.brow_reach(shape) * np.linspace(-0.92, 0.92, 5)
    return _mirrored(side, np.asarray(features.brow_line(shape, moment, side)))


def _nose(shape: Shape) -> F64:
    """Return (2,9): the bridge down to the tip, the base from left to right."""
    down = np.linspace(shape.eye_y, shape.nose_tip - 0.01, 4)
    across = shape.nose_width * np.array([-0.95, -0.5, 0.0, 0.5, 0.95])
    base = shape.nose_tip + np.array([0.050, 0.075, 0.085, 0.075, 0.050])
    return np.stack([np.concatenate([np.zeros(4), across]), np.concatenate([down, base])])


def _eyes(shape: Shape, moment: Moment) -> F64:
    """Return (2,12): each eye clockwise, from the corner on the viewer's left."""
    lids = features.lids_at(shape, moment)
    u = np.array([-1.0, -0.36, 0.36, 1.0])
    side = shape.eye_x + shape.eye_width * u
    line, hill = np.asarray(features.eye_line(shape, side)), 1 - u * u
    upper, lower = (_mirrored(side, line + lid * hill) for lid in lids)
    return np.concatenate(
        [upper[:, :4], lower[:, 2:0:-1], upper[:, 4:], lower[:, 6:4:-1]], axis=1
    )  # fmt: skip


def _mouth(shape: Shape, moment: Moment) -> F64:
    """Return (2,20): the outer lips clockwise from the corner on the left, then the inner ones."""
    outer, inner = np.array([-1, -0.62, -0.24, 0, 0.24, 0.62, 1]), np.array([-0.86, -0.4, 0, 0.4, 0.86])
    outside, inside = (features.mouth_curves(shape, moment, u) for u in (outer, inner))
    u = np.concatenate([outer, outer[5:0:-1], inner, inner[3:0:-1]])
    y = np.concatenate([outside.top, outside.bottom[5:0:-1], inside.upper, inside.lower[3:0:-1]])
    return np.stack([u * features.mouth_reach(shape, moment), y])
