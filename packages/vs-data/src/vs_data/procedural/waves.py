"""Smooth motion: each of several numbers is a sum of a few waves."""

import math
from collections.abc import Sequence

import attrs
import numpy as np

from vs_data.procedural.arrays import F64

_WAVES = 3
_STRENGTHS = np.array([0.72, 0.20, 0.08])
_SPEEDS = np.array([1.0, 1.7, 2.6])


@attrs.frozen(kw_only=True, eq=False)
class Waves:
    """Amplitude, rate (radians per frame) and phase of the waves of n numbers, each (n,3)."""

    amplitude: F64
    rate: F64
    phase: F64


def draw_waves(
    random: np.random.Generator, channels: Sequence[tuple[float, float, float]], strength: F64 | float
) -> Waves:
    """Draw waves.

    Args:
        random: Where they are drawn from.
        channels: Of each number the largest amplitude, and the shortest and longest period in frames.
        strength: Factor of all amplitudes, or of each.
    """
    table = np.array(channels)
    size = random.uniform(0.7, 1.0, len(table)) * table[:, 0] * strength
    period = random.uniform(table[:, 1], table[:, 2])
    speeds = _SPEEDS * random.uniform(0.9, 1.1, (len(table), _WAVES))
    return Waves(
        amplitude=size[:, None] * _STRENGTHS,
        rate=2 * math.pi / period[:, None] * speeds,
        phase=random.uniform(0, 2 * math.pi, (len(table), _WAVES)),
    )


def waves_at(waves: Waves, time: float) -> F64:
    """Return the numbers (n,) at a time, frames."""
    return np.asarray((waves.amplitude * np.sin(waves.rate * time + waves.phase)).sum(axis=1))
