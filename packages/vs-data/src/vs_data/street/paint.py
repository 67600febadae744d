"""How materials look: colours from position, light and distance, faded where a pixel could not resolve them."""

from collections.abc import Callable, Sequence

import attrs
import numpy as np

from vs_data.procedural.arrays import F32, Rows, smooth
from vs_data.procedural.noise import GRAIN_WAVELENGTH, billows, fade, grain, pulse, sample
from vs_data.street.camera import View
from vs_data.street.ground import FRONT, ROAD_HALF
from vs_data.street.light import Light
from vs_data.street.profile import along as along_street
from vs_data.street.profile import sun_above
from vs_data.street.surfaces import Material
from vs_data.street.world import World

_DICE = np.random.default_rng(11).random(4096, np.float32)
"""Random numbers for windows, by cell."""


@attrs.frozen(kw_only=True, eq=False)
class Fragment:
    """The pixels of one material; every array is (n,).

    Attributes:
        row: Row of the scene.
        s: First coordinate on the patch.
        t: Second coordinate on the patch.
        depth: Along the camera's axis, metres.
        footprint: Size of a pixel at this depth, metres.
        x: Position in the world, metres, as y and z.
        y: Height.
        z: Along the street.
    """

    row: Rows
    s: F32
    t: F32
    depth: F32
    footprint: F32
    x: F32
    y: F32
    z: F32


@attrs.frozen(kw_only=True, eq=False)
class Look:
    """Everything that the colours of a frame depend on; arrays have one row per row of the scene.

    Attributes:
        world: The world.
        view: The camera.
        low: (A,3) colour at the foot of each patch.
        high: (A,3) colour at its top.
        parameters: (A,PARAMETERS) of its material.
        facing: (A,) cosine of the angle between its normal and the sun, at least 0.
        sunlit: (A,) how much of the sun reaches its thing, 0 to 1.
    """

    world: World
    view: View
    low: F32
    high: F32
    parameters: F32
    facing: F32
    sunlit: F32


def sunlight(world: World, camera: float, x: F32, y: F32, z: F32, footprint: F32) -> F32:
    """Return how much of the sun reaches points (n,) past the houses on the left, 0 to 1; camera at z = `camera`."""
    sun = world.light.sun
    away = np.clip(x + np.float32(FRONT), 0, None)
    rise, drift = np.float32(sun[1] / -sun[0]), np.float32(sun[2] / -sun[0])
    return sun_above(world.profile, y + away * rise, z + away * drift, footprint, camera)


def _sun_on(look: Look, f: Fragment, footprint: F32) -> F32:
    return sunlight(look.world, float(look.view.position[2]), f.x, f.y, f.z, footprint)


def lit(light: Light, base: Sequence[F32], open_sky: F32 | float, sun: F32 | float) -> list[F32]:
    """Return three channels of a surface that gets parts of the sky's and of the sun's light."""
    return [
        base[c] * (np.float32(light.ambient[c]) * open_sky + np.float32(light.glow[c]) * sun) for c in range(3)
    ]  # fmt: skip


def road(look: Look, f: Fragment) -> list[F32]:
    """Paint asphalt with worn tracks, patches, lane markings and zebra crossings."""
    world, profile = look.world, look.world.profile
    along = f.depth * f.footprint * np.float32(1 / look.view.position[1]) + f.footprint
    shade = _sun_on(look, f, along)
    texel = np.float32(GRAIN_WAVELENGTH)
    coarse = sample(grain(), f.x * (texel / 1.6), f.z * (texel / 6.0)) * fade(along, 6.0)
    fine = sample(grain(), f.x * (texel / 0.22), f.z * (texel / 0.5)) * fade(along, 0.5)
    lane = np.abs(np.abs(f.x) - 1.75)
    tracks = smooth(1.2 - np.abs(lane - 0.75) * 2.4)
    gutter = smooth((np.abs(f.x) - (ROAD_HALF - 0.9)) * 1.2)
    tone = 0.68 + 0.045 * coarse + 0.05 * fine - 0.055 * tracks - 0.10 * gutter
    open_road = 1 - along_street(profile, profile.junction, f.z, along)
    paint = _markings(f.x, f.z, f.footprint, along) * open_road
    zebra = along_street(profile, profile.zebra, f.z, along)
    paint = np.maximum(paint, zebra * _stripes(f.x, f.footprint))
    paint *= 0.88 + 0.3 * coarse
    base = [tone + (np.float32(white) - tone) * paint for white in (1.04, 1.02, 0.98)]
    return _darkened(look, f, lit(world.light, base, 1.0, 0.64 * shade))


def _markings(x: F32, z: F32, footprint: F32, along: F32) -> F32:
    dash = z * np.float32(1 / 7.5)
    dash = np.abs(dash - np.floor(dash) - 0.5) * np.float32(7.5)
    visible = fade(along, 7.5)
    dashes = pulse(dash, 1.6, along) * visible + (1 - visible) * np.float32(3.2 / 7.5)
    middle = pulse(np.abs(x), 0.08, footprint) * dashes
    edge = pulse(np.abs(np.abs(x) - 3.4), 0.06, footprint)
    return middle + edge


def _stripes(x: F32, footprint: F32) -> F32:
    cell = np.abs(x - np.floor(x) - 0.5)
    visible = fade(footprint, 1.0)
    stripes = pulse(cell, 0.26, footprint) * visible + (1 - visible) * 0.52
    return stripes * (np.abs(x) < ROAD_HALF - 0.4)


def pavement(look: Look, f: Fragment) -> list[F32]:
    """Paint slabs, with a band of kerb stone along the road."""
    world = look.world
    along = f.depth * f.footprint * np.float32(1 / look.view.position[1]) + f.footprint
    shade = _sun_on(look, f, along)
    texel = np.float32(GRAIN_WAVELENGTH)
    coarse = sample(grain(), f.x * (texel / 2.2), f.z * (texel / 5.0)) * fade(along, 5.0)
    joint = np.maximum(_joints(f.z, 1.1, along), _joints(f.x, 0.8, f.footprint) * fade(along, 4.0))
    kerb = pulse(np.abs(np.abs(f.x) - (ROAD_HALF + 0.12)), 0.14, f.footprint)
    foot = smooth((np.abs(f.x) - (FRONT - 1.0)) * 1.0)
    tone = (0.90 + 0.05 * coarse) * (1 - 0.22 * joint) * (1 - 0.35 * foot)
    tone = tone + (0.95 - tone) * kerb
    base = [tone * np.float32(c) for c in (1.0, 0.955, 0.90)]
    return _darkened(look, f, lit(world.light, base, 1 - 0.3 * foot, 0.64 * shade))


def _joints(x: F32, period: float, footprint: F32) -> F32:
    cell = x * np.float32(1 / period)
    cell = np.abs(cell - np.floor(cell) - 0.5)
    return pulse((0.5 - cell) * np.float32(period), 0.03, footprint) * fade(footprint, period)


def grass(look: Look, f: Fragment) -> list[F32]:
    """Paint the lawn between and behind the houses."""
    along = f.depth * f.footprint * np.float32(1 / look.view.position[1]) + f.footprint
    texel = np.float32(GRAIN_WAVELENGTH)
    coarse = sample(grain(), f.x * (texel / 2.0), f.z * (texel / 4.0)) * fade(along, 4.0)
    shade = _sun_on(look, f, along)
    base = [np.float32(c) + np.float32(d) * coarse for c, d in ((0.42, 0.08), (0.56, 0.08), (0.24, 0.03))]
    return lit(look.world.light, base, 1.0, 0.64 * shade)


def _darkened(look: Look, f: Fragment, colours: list[F32]) -> list[F32]:
    """Return the ground under things: darker within the patches that are shadows."""
    strength = look.parameters[f.row, 0]
    where = np.flatnonzero(strength)
    s, t = f.s[where], f.t[where]
    inner = np.clip((1 - s * s) * 1.7, 0, 1) * np.clip((1 - t * t) * 1.7, 0, 1)
    keep = 1 - 0.78 * strength[where] * smooth(inner)
    for colour in colours:
        colour[where] *= keep
    return colours


def facade(look: Look, f: Fragment) -> list[F32]:
    """Paint a wall with storeys, windows that the sky is reflected in, shops on the ground floor and a cornice."""
    p = look.parameters[f.row].T
    period, storey, ground, half_x, half_y, height, seed, kind = p
    aside = np.abs(f.x - np.float32(look.view.position[0]))
    across = np.where(kind == 1, f.footprint, f.footprint * np.clip(f.depth / np.clip(aside, 1, None), 1, None))
    # Windows repeat by column and storey; shops have large ones of their own.
    shop = (f.t < ground) & (kind == 0)
    column = f.s / period
    level = (f.t - ground) / storey
    i, j = np.floor(column), np.floor(level)
    dx, dy = np.abs(column - i - 0.5), np.abs(level - j - 0.5)
    dy = np.where(shop, np.abs(f.t * np.float32(1 / 4.0) - 0.42), dy)
    half_x, half_y = np.where(shop, 0.42, half_x), np.where(shop, 0.32, half_y)
    storey = np.where(shop, ground, storey)
    fx, fy = across / period, f.footprint / storey
    # What is finer than a pixel fades into its mean, or it would flicker.
    seen = fade(across, period) * fade(f.footprint, storey)
    inside = (f.t < height - 0.7) & ((f.t > ground) | shop | (kind == 2))
    pane = _rectangle(dx, dy, half_x, half_y, fx, fy, seen) * inside
    frame = _rectangle(dx, dy, half_x + 0.045, half_y + 0.03, fx, fy, seen) * inside - pane
    dice = np.take(_DICE, (i * 37 + j * 101 + seed * 7).astype(np.intp) & 4095)
    dice = 0.5 + (dice - 0.5) * seen
    # Wall and trim get the sky's and the sun's light; panes mirror the sky.
    base = _wall(look, f, height, kind)
    sun = look.facing[f.row] * np.where(f.x > 0, _sun_on(look, f, across), 0.3)
    open_sky = 0.72 + 0.34 * smooth(f.t * np.float32(1 / 14.0))
    colours = lit(look.world.light, base, open_sky, sun)
    trim = lit(look.world.light, [np.full_like(f.t, c) for c in (0.96, 0.93, 0.88)], open_sky, sun)
    return _glaze(look, f, colours, trim, pane, frame, dice, dy * np.where(level - j > 0.5, 1, -1), half_y)


def _rectangle(dx: F32, dy: F32, half_x: F32, half_y: F32, fx: F32, fy: F32, seen: F32) -> F32:
    sharp = pulse(dx, half_x, fx) * pulse(dy, half_y, fy)
    return sharp * seen + (1 - seen) * (4 * half_x * half_y)


def _wall(look: Look, f: Fragment, height: F32, kind: F32) -> list[F32]:
    texel = np.float32(GRAIN_WAVELENGTH)
    stain = sample(grain(), (f.s + 31 * f.row) * (texel / 3.0), f.t * (texel / 2.0)) * fade(f.footprint * 2, 2.0)
    cornice = pulse(np.abs(f.t - (height - 0.25)), 0.22, f.footprint) * (kind == 0)
    under = pulse(np.abs(f.t - (height - 0.65)), 0.16, f.footprint) * (kind == 0)
    band = pulse(np.abs(f.t - 4.05), 0.10, f.footprint) * (kind == 0)
    tone = (1 + 0.06 * stain) * (1 - 0.4 * under)
    white = np.clip(cornice + band, 0, 1) * 0.7
    awning = pulse(np.abs(f.t - 3.45), 0.30, f.footprint) * (kind == 0)
    base = []
    for c in range(3):
        wall = look.low[f.row, c] * tone
        wall = wall + (0.95 - wall) * white
        base.append(wall + (look.high[f.row, c] - wall) * awning)
    return base


def _glaze(
    look: Look, f: Fragment, colours: list[F32], trim: list[F32], pane: F32, frame: F32, dice: F32, up: F32, half: F32
) -> list[F32]:
    bright = smooth(up / half * 0.5 + 0.5)
    lamp = (dice > 0.86) * (0.35 + 0.65 * (look.facing[f.row] < 0.1))
    blind = (dice < 0.25) * 0.35
    sunny = 0.40 + 0.60 * (look.facing[f.row] > 0.1)
    result: list[F32] = []
    for c, (low, high, glow, pale) in enumerate(
        ((0.12, 0.50, 1.0, 0.8), (0.16, 0.62, 0.80, 0.77), (0.24, 0.78, 0.45, 0.7))
    ):
        glass = (np.float32(low) + np.float32(high - low) * bright * (0.5 + 0.8 * dice)) * sunny
        glass = glass + (glow - glass) * (0.7 * lamp) + (pale * colours[c] - glass) * blind
        result.append(colours[c] + (trim[c] - colours[c]) * frame + (glass - colours[c]) * pane)
    return result


def leaves(look: Look, f: Fragment) -> list[F32]:
    """Paint a clump of leaves: bright towards the sun, deep green below, with a coarse grain."""
    bias, offset, size = (look.parameters[f.row, k] for k in range(3))
    texel = np.float32(GRAIN_WAVELENGTH)
    speckle = sample(grain(), f.s * size * (texel / 0.45) + offset, f.t * size * (texel / 0.4) + offset)
    speckle *= fade(f.footprint, 0.42)
    up = smooth(0.5 + 0.42 * (0.8 * f.t - 0.5 * f.s) + bias + 0.28 * speckle)
    sun = look.sunlit[f.row]
    base = [look.low[f.row, c] + (look.high[f.row, c] - look.low[f.row, c]) * up for c in range(3)]
    return lit(look.world.light, base, 0.55 + 0.5 * up, 0.95 * sun * up)


def plain(look: Look, f: Fragment) -> list[F32]:
    """Paint flat colour that changes from the foot of a patch to its top."""
    t = np.clip(f.t, 0, 1)
    light = look.world.light
    sun = look.facing[f.row] * look.sunlit[f.row]
    base = [look.low[f.row, c] + (look.high[f.row, c] - look.low[f.row, c]) * t for c in range(3)]
    return lit(light, base, 0.95, sun)


def sky(look: Look, f: Fragment) -> list[F32]:
    """Paint a gradient from the haze of the horizon to the zenith, with clouds that the sun lights from the left."""
    light = look.world.light
    first, second = smooth(f.t * 7.5 + 0.05), smooth(f.t * 3.6 - 0.22)
    offset = look.world.clouds.astype(np.float32)
    x, y = f.s * 105 + offset[0], f.t * 260 + offset[1]
    texture = billows()
    thick = sample(texture, x, y)
    body = smooth((thick - 0.2) * 1.8) * smooth((f.t - 0.03) * 9)
    relief = np.clip(0.5 + 1.1 * (thick - sample(texture, x - 5, y + 9)), 0, 1)
    colours: list[F32] = []
    for c, (dark, bright) in enumerate(((0.66, 1.0), (0.66, 0.97), (0.74, 0.92))):
        haze, middle, zenith = (np.float32(colour[c]) for colour in (light.haze, light.middle, light.zenith))
        clear = haze + (middle - haze) * first
        clear = clear + (zenith - clear) * second
        cloud = np.float32(dark) + np.float32(bright - dark) * relief
        colours.append(clear + (cloud - clear) * (0.8 * body))
    return colours


def hills(look: Look, f: Fragment) -> list[F32]:
    """Paint two ranges of wooded hills in the haze."""
    light = look.world.light
    near = (f.row == 2).astype(np.float32)
    rise = smooth(f.t * 11)
    colours: list[F32] = []
    for c, (far, close) in enumerate(((0.50, 0.30), (0.58, 0.40), (0.66, 0.36))):
        body = np.float32(far) + np.float32(close - far) * near
        haze = np.float32(light.haze[c])
        colours.append(haze + (body - haze) * (0.35 + 0.5 * rise))
    return colours


PAINTERS: tuple[tuple[Material, Callable[[Look, Fragment], list[F32]]], ...] = (
    (Material.SKY, sky),
    (Material.HILL, hills),
    (Material.ROAD, road),
    (Material.PAVEMENT, pavement),
    (Material.GRASS, grass),
    (Material.FACADE, facade),
    (Material.LEAVES, leaves),
    (Material.PLAIN, plain),
)
"""Which function paints which material."""
