"""Sun, shade and haze: the sun stands behind the camera on the left, so the right side of a street is lit."""

from __future__ import annotations

import attrs
import numpy as np

from vs_data.street.arrays import F64


@attrs.frozen(kw_only=True, eq=False)
class Light:
    """Light of a moment. Colours are (3,) of displayed brightness, added and multiplied as they are.

    Attributes:
        sun: (3,) unit vector towards the sun.
        glow: Colour of direct sunlight.
        ambient: Colour of the shade.
        haze: Colour of the distance.
        haze_length: Distance at which 1/e of a colour is left, metres.
        zenith: Colour of the sky above.
        warmth: Multiplies the whole picture.
    """

    sun: F64
    glow: F64
    ambient: F64
    haze: F64
    haze_length: float
    zenith: F64


def light_of(random: np.random.Generator) -> Light:
    """The light of a world: much the same everywhere, a little earlier or later."""
    sun = np.array([-0.66, 0.62, -0.42]) + random.normal(0.0, [0.025, 0.025, 0.03])
    tone = 1.0 + random.normal(0.0, 0.02)
    return Light(
        sun=sun / np.linalg.norm(sun),
        glow=np.array([1.06, 0.90, 0.64]) * tone,
        ambient=np.array([0.30, 0.35, 0.50]) * tone,
        haze=np.array([0.97, 0.87, 0.74]) + random.normal(0.0, 0.015, 3),
        haze_length=float(random.uniform(85, 120)),
        zenith=np.array([0.13, 0.36, 0.72]) + random.normal(0.0, 0.02, 3),
    )
