"""A whole street, laid out from a seed: blocks of houses, cross streets, traffic and pedestrians."""

import math
from functools import lru_cache
from itertools import pairwise

import attrs
import numpy as np

from vs_data.procedural.arrays import F64
from vs_data.street.camera import CameraPath
from vs_data.street.config import StreetConfig
from vs_data.street.greenery import lamp, tree
from vs_data.street.ground import FAR, FRONT, LANE_X, ROAD_HALF, block_ground, road, shadow, verge
from vs_data.street.houses import house
from vs_data.street.inhabitants import PASSED, parked, traffic, walkers
from vs_data.street.light import Light, light_of
from vs_data.street.profile import Profile, profile_of
from vs_data.street.surfaces import Label, Layer, Surfaces, Thing, Things, gather

VIEW_RANGE = 170.0
"""How far houses and trees can be seen, metres; farther away everything is haze."""

DETAIL_RANGE = 110.0
"""How far cars, people, lamps and shadows can be seen, metres."""

_BEHIND = 12.0
"""How far behind the start of the drive the street begins, metres: so far a shadow can reach."""

_KEPT_WORLDS = 64


@attrs.frozen(kw_only=True, eq=False)
class World:
    """A street and a drive through it; pictures of it are pure functions of the time.

    Attributes:
        surfaces, things: All that there is to see.
        path: The camera's.
        light: Sun, shade and haze.
        profile: What varies along z only: shadows of the houses, crossings.
        skyline: Outlines of the hills, far to near, (K,2) float64 of direction x/z and y/z.
        clouds: Offset (2,) into the cloud texture, texels.
        seconds_per_frame: Time between frames.
    """

    surfaces: Surfaces
    things: Things
    path: CameraPath
    light: Light
    profile: Profile
    skyline: tuple[F64, ...]
    clouds: F64
    seconds_per_frame: float


@lru_cache(maxsize=_KEPT_WORLDS)
def build_world(config: StreetConfig, number: int) -> World:
    """Build world `number` of a family of worlds; a pure function of its arguments (kept for the next clip)."""
    random = np.random.default_rng([config.seed, number, 9176])
    path = _path(random, config)
    seconds = (config.sequence_length - 1) / config.fps
    end, far = path.speed * seconds + VIEW_RANGE + 5.0, path.speed * seconds + DETAIL_RANGE
    # The order of the draws is part of what a number means: another one makes other worlds.
    blocks = _blocks(random, end)
    things = [road(-_BEHIND, end + FAR)]
    houses: list[Thing] = []
    for start, stop in blocks:
        things += block_ground(start, stop)
        houses += _row(random, -1.0, start, stop, end, config) + _row(random, 1.0, start, stop, end, config)
        things += _furniture(random, start, stop, far, config)
    things += houses
    crossings = tuple((a[1], b[0]) for a, b in pairwise(blocks))
    things += parked(random, blocks, far, config)
    cars = traffic(random, seconds, far, config)
    things += cars + walkers(random, path, seconds, blocks, cars, config)
    # What every frame needs is computed once.
    surfaces, arrays = gather(things)
    light = light_of(random)
    return World(
        surfaces=surfaces,
        things=arrays,
        path=path,
        light=light,
        profile=profile_of(_silhouette(houses), crossings, end),
        skyline=_skyline(random),
        clouds=random.uniform(0, 256, 2),
        seconds_per_frame=1.0 / config.fps,
    )


def _path(random: np.random.Generator, config: StreetConfig) -> CameraPath:
    amplitude = np.array([0.22, 0.03, 0.30, 0.045, 0.012, 0.008]) * random.uniform(0.4, 1.0, 6) * config.sway
    return CameraPath(
        speed=float(random.uniform(config.speed_min, config.speed_max)),
        lane=LANE_X + float(random.uniform(-0.25, 0.25)),
        height=float(random.uniform(1.75, 2.05)),
        amplitude=amplitude,
        rate=2 * math.pi / random.uniform(3.5, 7.0, 6),
        phase=random.uniform(0, 2 * math.pi, 6),
    )


def _blocks(random: np.random.Generator, end: float) -> list[tuple[float, float]]:
    blocks = []
    start = -_BEHIND - float(random.uniform(0, 85))
    while start < end:
        stop = start + float(random.uniform(48, 90))
        if stop > -_BEHIND:
            blocks.append((start, stop))
        start = stop + 10.0
    return blocks


def _row(
    random: np.random.Generator, side: float, start: float, stop: float, end: float, config: StreetConfig
) -> list[Thing]:
    things: list[Thing] = []
    z = start
    low, high = (9.0, 11.5) if side < 0 else (8.0, 18.0)
    while z < stop - 6:
        length = min(float(random.uniform(8, 17)), stop - z)
        if stop - z - length < 6:
            length = stop - z
        if z + length < -_BEHIND or z > end:
            z += length
            continue
        if random.random() < 0.10 and z > start:
            things += _park(random, side, z, min(length, 10.0), config)
            z += min(length, 10.0)
            continue
        things.append(house(random, side, z, length, float(random.uniform(low, high))))
        z += length
    return things


def _park(random: np.random.Generator, side: float, z: float, length: float, config: StreetConfig) -> list[Thing]:
    count = round(2 * config.greenery)
    places = [
        (float(random.uniform(FRONT + 1.5, FRONT + 5)), float(random.uniform(1, length - 1))) for _ in range(count)
    ]
    return [tree(random, side * x, z + dz, Layer.BEYOND) for x, dz in sorted(places)]


def _furniture(random: np.random.Generator, start: float, stop: float, far: float, config: StreetConfig) -> list[Thing]:
    things: list[Thing] = []
    for side in (-1.0, 1.0):
        if random.random() < 0.6 * config.greenery:
            things.append(verge(side, start + 3.5, stop - 3.5))
        z = start + 5.0 + float(random.uniform(0, 4))
        while z < stop - 3:
            x = side * (ROAD_HALF + 0.7)
            if not PASSED < z < far:
                pass
            elif random.random() < 0.3:
                things.append(lamp(x, z))
            elif random.random() < 0.75 * config.greenery:
                things.append(tree(random, x, z, Layer.SIDEWALK))
                things.append(shadow((x + 1.2, z + 0.8), (1.9, 1.6), 0.8, pavement=True))
            z += float(random.uniform(9, 14))
    return things


def _silhouette(houses: list[Thing]) -> list[tuple[float, float, float]]:
    """Return (start, end, height) of the houses on the left, where the sun stands."""
    return [
        (*thing.extent, thing.patches[0].parameters[5] + 1.5)
        for thing in houses
        if thing.anchor[0] < 0 and thing.patches[0].label == Label.BUILDING
    ]


def _skyline(random: np.random.Generator) -> tuple[F64, ...]:
    x = np.linspace(-3.0, 3.0, 121)
    layers = []
    for level, wobble, scale in ((0.075, 0.030, 1.0), (0.040, 0.014, 2.6)):
        waves = sum(
            random.uniform(0.3, 1.0) / k * np.sin(k * scale * 2.2 * x + random.uniform(0, 6.28))
            for k in (1, 2, 3, 5, 8)
        )
        top = np.stack([x, np.maximum(level + wobble * waves, 0.012)], axis=1)
        layers.append(np.concatenate([top, [[3.0, -0.1], [-3.0, -0.1]]]))
    return tuple(layers)
