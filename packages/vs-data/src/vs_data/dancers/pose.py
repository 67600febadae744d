"""Where the bones of a body are in a pose, and how they are seen.

World: x to the viewer's right, y down, z to the viewer, metres; the ground is y = 0. Screen: the same axes, seen
orthographically by a camera that looks down a little; (0, 0) is the place on the ground about which people dance.
"""

from enum import IntEnum
from typing import NamedTuple

import numpy as np

from vs_data.dancers.motion import SIDES, Foot, Moment
from vs_data.dancers.person import Shape
from vs_data.procedural.arrays import F32, F64

_TILT = 0.22
_SIN, _COS = float(np.sin(_TILT)), float(np.cos(_TILT))
VIEW: F64 = np.array([[1.0, 0.0, 0.0], [0.0, _COS, _SIN], [0.0, -_SIN, _COS]])
"""(3,3): screen = VIEW @ world."""

TALL, WIDE = 2.3, 1.3
"""Metres that a picture shows at least, from top to bottom and from left to right."""

_MIDDLE = -0.93
"""y on the screen that is in the middle of the picture."""


FINER = 3
"""A pixel is the mean of so many samples squared; the one in the middle says what its labels are."""


class Bone(IntEnum):
    """A rigid piece of a body. Limbs point along y of their own, from the joint they hang on; z is their front."""

    PELVIS = 0
    CHEST = 1
    HEAD = 2
    RIGHT_UPPER_ARM = 3
    RIGHT_FOREARM = 4
    RIGHT_HAND = 5
    RIGHT_THIGH = 6
    RIGHT_SHIN = 7
    RIGHT_FOOT = 8
    LEFT_UPPER_ARM = 9
    LEFT_FOREARM = 10
    LEFT_HAND = 11
    LEFT_THIGH = 12
    LEFT_SHIN = 13
    LEFT_FOOT = 14


class Frame(NamedTuple):
    """A place and an orientation: world = turn @ point + origin; (3,3) and (3,)."""

    turn: F64
    origin: F64


class Pose(NamedTuple):
    """All bones in the world: turns (15,3,3) and origins (15,3)."""

    turns: F64
    origins: F64


def pose_of(shape: Shape, moment: Moment) -> Pose:
    """Return where the bones of a body are at a moment."""
    leg = shape.thigh + shape.shin
    height = shape.ankle + leg * (1 - moment.low)
    pelvis = Frame(
        _about_y(moment.yaw) @ _about_z(moment.roll) @ _about_x(moment.lean),
        np.array([moment.x * leg, -height, moment.z * leg]),
    )
    twist, roll, pitch = moment.trunk
    chest = _joined(pelvis, (0.0, -shape.waist, 0.0), _about_y(twist) @ _about_z(roll) @ _about_x(pitch))
    yaw, pitch, roll = moment.head
    neck = (0.0, -shape.torso - shape.neck, 0.0)
    head = _joined(chest, neck, _about_y(yaw) @ _about_z(roll) @ _about_x(pitch))
    bones = [pelvis, chest, head]
    for side, arm, foot in zip(SIDES, moment.arms, moment.feet, strict=True):
        bones += [*_arm(shape, chest, side, arm), *_leg(shape, pelvis, side, foot)]
    return Pose(np.stack([bone.turn for bone in bones]), np.stack([bone.origin for bone in bones]))


def _arm(shape: Shape, chest: Frame, side: float, angles: tuple[float, ...]) -> tuple[Frame, Frame, Frame]:
    raised, front, turned, elbow, wrist = angles
    shoulder = (side * shape.shoulders, 0.045 - shape.torso, 0.0)
    turn = _about_y(-side * front) @ _about_z(-side * raised) @ _about_y(-side * turned)
    upper = _joined(chest, shoulder, turn)
    fore = _joined(upper, (0.0, shape.upper_arm, 0.0), _about_x(elbow))
    return upper, fore, _joined(fore, (0.0, shape.forearm, 0.0), _about_x(wrist))


def _leg(shape: Shape, pelvis: Frame, side: float, foot: Foot) -> tuple[Frame, Frame, Frame]:
    """Bend hip and knee so that the ankle is where the foot wants it, or as near as the leg reaches."""
    length = shape.thigh + shape.shin
    hip = pelvis.turn @ (side * shape.hips, 0.0, 0.0) + pelvis.origin
    wanted = np.array([foot.x * length, -shape.ankle - foot.lift * length, foot.z * length])
    way = wanted - hip
    reach = float(np.linalg.norm(way))
    along = way / reach
    reach = min(reach, 0.999 * length)
    toes = _about_y(foot.yaw)
    front = _upright(pelvis.turn[:, 2] + toes[:, 2], along)
    cos = (shape.thigh**2 + reach**2 - shape.shin**2) / (2 * shape.thigh * reach)
    thigh = cos * along + np.sqrt(max(1 - cos * cos, 0.0)) * front
    knee = hip + shape.thigh * thigh
    ankle = hip + reach * along
    shin = (ankle - knee) / shape.shin
    return (
        Frame(_limb(thigh, front), hip),
        Frame(_limb(shin, front), knee),
        Frame(toes @ _about_x(-foot.hang), ankle),
    )


def _upright(direction: F64, along: F64) -> F64:
    """Return the unit vector at a right angle to `along` that is nearest to a direction."""
    rest = direction - (direction @ along) * along
    return rest / np.linalg.norm(rest)


def _limb(along: F64, front: F64) -> F64:
    """Return the orientation of a limb that points along a unit vector, its front towards another."""
    front = _upright(front, along)
    return np.stack([np.cross(along, front), along, front], axis=1)


def _joined(frame: Frame, place: tuple[float, float, float], turn: F64) -> Frame:
    return Frame(frame.turn @ turn, frame.turn @ place + frame.origin)


def _about_x(angle: float) -> F64:
    cos, sin = np.cos(angle), np.sin(angle)
    return np.array([[1.0, 0.0, 0.0], [0.0, cos, -sin], [0.0, sin, cos]])


def _about_y(angle: float) -> F64:
    cos, sin = np.cos(angle), np.sin(angle)
    return np.array([[cos, 0.0, sin], [0.0, 1.0, 0.0], [-sin, 0.0, cos]])


def _about_z(angle: float) -> F64:
    cos, sin = np.cos(angle), np.sin(angle)
    return np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])


def unit(size: tuple[int, int]) -> float:
    """Return pixels per metre in pictures of size (H, W)."""
    return min(size[0] / TALL, size[1] / WIDE)


def centre(size: tuple[int, int]) -> tuple[float, float]:
    """Return x and y, pixels, of (0, 0) on the screen."""
    return (size[1] - 1) / 2, (size[0] - 1) / 2 - _MIDDLE * unit(size)


def samples_of(size: tuple[int, int]) -> tuple[F32, F32]:
    """Return x (W * FINER,) and y (H * FINER,) on the screen of the samples of a picture of size (H, W), rising."""
    (height, width), (x, y), scale = size, centre(size), unit(size)
    columns, lines = ((np.arange(count * FINER) - (FINER - 1) / 2) / FINER for count in (width, height))
    return ((columns - x) / scale).astype(np.float32), ((lines - y) / scale).astype(np.float32)


def to_pixels(point: F64, size: tuple[int, int]) -> F64:
    """Return (2,n) pixels of points (2,n) or (3,n) of the screen."""
    return np.asarray(point[:2] * unit(size) + np.array(centre(size))[:, None])
