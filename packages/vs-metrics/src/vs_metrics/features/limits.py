"""What the networks' configurations and inputs are checked by."""

from typing import Any

import attrs
from attrs.validators import and_, ge, instance_of, le
from torch import Tensor

from vs_metrics.errors import ShapeError


def bounded(default: int, low: int, high: int) -> Any:
    """Return a field for a whole number from `low` to `high`."""
    return attrs.field(default=default, validator=and_(instance_of(int), ge(low), le(high)))


def check_clips(clips: Tensor, frames: int) -> None:
    """Raise `ShapeError` unless clips are (N, T, 3, H, W) with so many frames."""
    if clips.ndim != 5 or clips.shape[1] != frames or clips.shape[2] != 3:
        raise ShapeError("clips", tuple(clips.shape), f"(N, {frames}, 3, H, W)")
