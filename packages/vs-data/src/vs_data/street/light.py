"""Sun, shade and haze: the sun stands behind the camera on the left, so the right side of a street is lit."""

import attrs
import numpy as np

from vs_data.procedural.arrays import F64


@attrs.frozen(kw_only=True, eq=False)
class Light:
    """Light of a moment. Colours are (3,) of displayed brightness, added and multiplied as they are.

    Attributes:
        sun: (3,) unit vector towards the sun.
        glow: Colour of direct sunlight.
        ambient: Colour of the shade.
        haze: Colour of the distance.
        haze_length: Distance at which 1/e of a colour is left, metres.
        middle: Colour of the sky between horizon and zenith.
        zenith: Colour of the sky above.
    """

    sun: F64
    glow: F64
    ambient: F64
    haze: F64
    haze_length: float
    middle: F64
    zenith: F64


def light_of(random: np.random.Generator) -> Light:
    """Return the light of a world: much the same everywhere, a little earlier or later."""
    sun = np.array([-0.67, 0.72, -0.26]) + random.normal(0.0, [0.025, 0.025, 0.03])
    tone = 1.0 + random.normal(0.0, 0.02)
    return Light(
        sun=sun / np.linalg.norm(sun),
        glow=np.array([1.25, 1.07, 0.80]) * tone,
        ambient=np.array([0.20, 0.25, 0.39]) * tone,
        haze=np.array([0.97, 0.87, 0.74]) + random.normal(0.0, 0.015, 3),
        haze_length=float(random.uniform(110, 150)),
        middle=np.array([0.55, 0.72, 0.88]) + random.normal(0.0, 0.02, 3),
        zenith=np.array([0.10, 0.32, 0.68]) + random.normal(0.0, 0.02, 3),
    )
