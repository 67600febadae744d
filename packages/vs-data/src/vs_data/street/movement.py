"""Where things that move are at a moment, in closed form."""

import numpy as np

from vs_data.procedural.arrays import F64
from vs_data.street.camera import CameraPath, position_at


def offsets_at(motion: F64, path: CameraPath, seconds: float) -> F64:
    """Return (M,3) how far things with motions (M,11), rows of `Motion`, are from where they were made."""
    speed, convoy, surge, rate, phase, reach, pace, progress, lengthwise, _, _ = motion.T
    drive = position_at(path, seconds)[2] - position_at(path, 0.0)[2]
    along = speed * seconds + convoy * drive + surge * np.sin(rate * seconds + phase)
    turn = np.mod(progress + pace * seconds, np.maximum(4 * reach, 1.0))
    walked = np.where(turn < 2 * reach, turn - reach, 3 * reach - turn) * (reach > 0)
    return np.stack([walked * (1 - lengthwise), np.zeros_like(along), along + walked * lengthwise], axis=1)


def strides_at(motion: F64, seconds: float) -> F64:
    """Return (M,) sine of the stride of things with motions (M,11): legs swing by it."""
    phase, stride = motion[:, 4], motion[:, 9]
    return np.asarray(np.where(stride > 0, np.sin(stride * seconds + phase), 0.0))
