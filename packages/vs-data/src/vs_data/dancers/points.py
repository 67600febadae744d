"""The 25 keypoints of a body, exact points of its bones, in the order of OpenPose's BODY_25."""

import numpy as np

from vs_data.dancers.cast import Figure, on_screen
from vs_data.dancers.person import Shape
from vs_data.dancers.pose import Bone, to_pixels
from vs_data.procedural.arrays import F64


def keypoints_at(figure: Figure, size: tuple[int, int]) -> F64:
    """Return (25,3) x and y, pixels, and confidence 1 of all keypoints, hidden or not."""
    bones, points = zip(*_points(figure.body.person.shape), strict=True)
    place = on_screen(figure, np.array(bones), np.array(points).T)
    return np.concatenate([to_pixels(place, size), np.ones((1, len(bones)))]).T


def _points(shape: Shape) -> list[tuple[Bone, tuple[float, float, float]]]:
    """Return the bone and the place on it of each keypoint."""
    joint, high = (0.0, 0.0, 0.0), shape.head
    small, toe, heel = -0.045, 0.17, -0.05
    sole = shape.ankle - 0.03
    eye, ear = (0.30 * high, -0.92 * high, 0.80 * high), (0.72 * high, -0.80 * high, 0.0)
    return [
        (Bone.HEAD, (0.0, -0.70 * high, 0.98 * high)),
        (Bone.CHEST, (0.0, -shape.torso, 0.0)),
        (Bone.RIGHT_UPPER_ARM, joint),
        (Bone.RIGHT_FOREARM, joint),
        (Bone.RIGHT_HAND, joint),
        (Bone.LEFT_UPPER_ARM, joint),
        (Bone.LEFT_FOREARM, joint),
        (Bone.LEFT_HAND, joint),
        (Bone.PELVIS, joint),
        (Bone.RIGHT_THIGH, joint),
        (Bone.RIGHT_SHIN, joint),
        (Bone.RIGHT_FOOT, joint),
        (Bone.LEFT_THIGH, joint),
        (Bone.LEFT_SHIN, joint),
        (Bone.LEFT_FOOT, joint),
        (Bone.HEAD, (-eye[0], *eye[1:])),
        (Bone.HEAD, eye),
        (Bone.HEAD, (-ear[0], *ear[1:])),
        (Bone.HEAD, ear),
        (Bone.LEFT_FOOT, (0.0, sole, toe)),
        (Bone.LEFT_FOOT, (-small, sole, toe - 0.03)),
        (Bone.LEFT_FOOT, (0.0, sole, heel)),
        (Bone.RIGHT_FOOT, (0.0, sole, toe)),
        (Bone.RIGHT_FOOT, (small, sole, toe - 0.03)),
        (Bone.RIGHT_FOOT, (0.0, sole, heel)),
    ]
