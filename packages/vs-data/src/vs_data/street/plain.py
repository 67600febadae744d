"""The street as a plain renderer shows it: every patch in one colour, shaded by its angle to the sun."""

import numpy as np

from vs_data.procedural.arrays import F32
from vs_data.street.surfaces import Material, Vec
from vs_data.street.visibility import Shot, column
from vs_data.street.world import World

_SKY: tuple[Vec, Vec, Vec] = ((0.62, 0.75, 0.88), (0.46, 0.54, 0.60), (0.36, 0.46, 0.42))
"""Of the sky, the far hills and the near ones, which no light falls on."""

_GROUND: dict[Material, Vec] = {
    Material.ROAD: (0.62, 0.62, 0.62),
    Material.PAVEMENT: (0.88, 0.84, 0.79),
    Material.GRASS: (0.42, 0.56, 0.24),
}
"""Of materials whose patches have no colours of their own."""

_AMBIENT = np.float32(0.5)
"""Light that reaches every patch; the sun's adds to it, up to 1."""


def plain_colours(world: World, shot: Shot) -> F32:
    """Return (3,H,W) float32 in [0,1]: no textures, windows, markings, shadows, haze or clouds, and jagged edges."""
    surfaces = world.surfaces
    albedo = (surfaces.low + surfaces.high) / 2
    albedo[surfaces.material == Material.FACADE] = surfaces.low[surfaces.material == Material.FACADE]
    for material, colour in _GROUND.items():
        albedo[surfaces.material == material] = colour
    facing = np.clip(surfaces.normal @ world.light.sun, 0, 1)
    shaded = (albedo * (_AMBIENT + (1 - _AMBIENT) * facing[:, None])).astype(np.float32)
    channels = [column(shot.scene, shaded[:, c], tuple(sky[c] for sky in _SKY))[shot.ids] for c in range(3)]
    return np.clip(np.stack(channels), 0, 1).reshape(3, *shot.view.size)
