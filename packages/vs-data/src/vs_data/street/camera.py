"""The camera's path through the street, and the view from any moment of it."""

import attrs
import numpy as np

from vs_data.procedural.arrays import F64

HORIZON = 0.46
"""Height of the horizon in the picture when the camera looks straight ahead, from the top, as a part of the height."""

FOCAL = 0.82
"""Focal length as a part of the width of a picture with aspect 2:1."""


@attrs.frozen(kw_only=True, eq=False)
class CameraPath:
    """A drive: steady speed, gentle oscillations. World axes: x right, y up, z along the street; metres and seconds.

    Attributes:
        speed: Metres per second along z.
        lane: Mean x.
        height: Mean y.
        amplitude: (6,) of x, y, z (metres), yaw, pitch, roll (radians).
        rate: (6,) radians per second.
        phase: (6,) radians.
    """

    speed: float
    lane: float
    height: float
    amplitude: F64
    rate: F64
    phase: F64


@attrs.frozen(kw_only=True, eq=False)
class View:
    """A pinhole camera.

    Attributes:
        position: (3,) in the world, metres.
        matrix: (3,3) takes a direction of the world to (u, v, 1) * depth, u right and v down, pixels from the centre.
        focal: Focal length, pixels.
        centre: (x, y) of the principal point, pixels.
        size: (H, W) of the picture, pixels.
    """

    position: F64
    matrix: F64
    focal: float
    centre: tuple[float, float]
    size: tuple[int, int]


def position_at(path: CameraPath, seconds: float) -> F64:
    """Return (3,) where the camera is."""
    swing = path.amplitude * np.sin(path.rate * seconds + path.phase)
    return np.array([path.lane + swing[0], path.height + swing[1], path.speed * seconds + swing[2]])


def view_at(path: CameraPath, seconds: float, size: tuple[int, int]) -> View:
    """Return what the camera sees at a moment, for pictures of size (H, W)."""
    height, width = size
    yaw, pitch, roll = (path.amplitude * np.sin(path.rate * seconds + path.phase))[3:]
    focal = FOCAL * float(np.sqrt(2.0 * height * width))
    return View(
        position=position_at(path, seconds),
        matrix=np.diag([focal, -focal, 1.0]) @ _rotation(float(yaw), float(pitch), float(roll)),
        focal=focal,
        centre=((width - 1) / 2, (height - 1) * HORIZON),
        size=size,
    )


def _rotation(yaw: float, pitch: float, roll: float) -> F64:
    """Return (3,3) with the camera's right, up and forward as rows."""
    sy, cy, sp, cp, sr, cr = np.sin(yaw), np.cos(yaw), np.sin(pitch), np.cos(pitch), np.sin(roll), np.cos(roll)
    right = np.array([cy, 0.0, -sy])
    up = np.array([-sy * sp, cp, -cy * sp])
    forward = np.array([sy * cp, sp, cy * cp])
    return np.stack([cr * right + sr * up, cr * up - sr * right, forward])
