"""A whole street, laid out from a seed: blocks of houses, cross streets, traffic and pedestrians."""

from __future__ import annotations

import math
from functools import lru_cache
from itertools import pairwise

import attrs
import numpy as np

from vs_data.street.arrays import F64
from vs_data.street.camera import CameraPath, position_at
from vs_data.street.cars import PAINTS, SHAPES, car
from vs_data.street.config import StreetConfig
from vs_data.street.greenery import lamp, tree
from vs_data.street.ground import (
    FAR,
    FRONT,
    KERB,
    LANE_X,
    ONCOMING_X,
    PARKED_X,
    ROAD_HALF,
    block_ground,
    road,
    shadow,
)
from vs_data.street.houses import house
from vs_data.street.light import Light, light_of
from vs_data.street.people import person
from vs_data.street.profile import Profile, profile_of
from vs_data.street.surfaces import STILL, Label, Layer, Motion, Surfaces, Thing, Things, gather

VIEW_RANGE = 170.0
"""How far houses and trees can be seen, metres; farther away everything is haze."""

DETAIL_RANGE = 110.0
"""How far cars, people, lamps and shadows can be seen, metres."""

_BEHIND = 12.0
"""How far behind the start of the drive the street begins, metres: so far a shadow can reach."""

_PASSED = -4.0
"""What ends before this z is never seen."""

_KEPT_WORLDS = 48


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
    """World `number` of a family of worlds; a pure function of its arguments (kept for the next clip)."""
    random = np.random.default_rng([config.seed, number, 9176])
    path = _path(random, config)
    seconds = (config.sequence_length - 1) / config.fps
    end, far = path.speed * seconds + VIEW_RANGE + 5.0, path.speed * seconds + DETAIL_RANGE
    blocks = _blocks(random, end)
    things = [road(-_BEHIND, end + FAR)]
    houses: list[Thing] = []
    for start, stop in blocks:
        things += block_ground(start, stop)
        houses += _row(random, -1.0, start, stop, end, config) + _row(random, 1.0, start, stop, end, config)
        things += _furniture(random, start, stop, far, config)
    things += houses
    crossings = tuple((a[1], b[0]) for a, b in pairwise(blocks))
    things += _parked(random, blocks, far, config)
    things += _traffic(random, seconds, far, config)
    things += _walkers(random, path, seconds, blocks, config)
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
        z = start + 5.0 + float(random.uniform(0, 4))
        while z < stop - 3:
            x = side * (ROAD_HALF + 0.7)
            if not _PASSED < z < far:
                pass
            elif random.random() < 0.3:
                things.append(lamp(x, z))
            elif random.random() < 0.75 * config.greenery:
                things.append(tree(random, x, z, Layer.SIDEWALK))
                things.append(shadow((x + 1.2, z + 0.8), (1.9, 1.6), 0.8, pavement=True))
            z += float(random.uniform(9, 14))
    return things


def _parked(
    random: np.random.Generator, blocks: list[tuple[float, float]], far: float, config: StreetConfig
) -> list[Thing]:
    things: list[Thing] = []
    for start, stop in blocks:
        for side in (-1.0, 1.0):
            z = start + 8.0
            while z < stop - 9:
                if _PASSED < z < far and random.random() < 0.5 * config.traffic:
                    x = side * (PARKED_X + float(random.uniform(-0.1, 0.12)))
                    things += _a_car(random, x, z, Layer.PARKED, STILL, len(things) // 2, away=side > 0)
                z += float(random.uniform(6.2, 8.0))
    return things


def _a_car(
    random: np.random.Generator, x: float, z: float, layer: Layer, motion: Motion, index: int, *, away: bool
) -> list[Thing]:
    shape = SHAPES[random.integers(len(SHAPES))]
    paint = PAINTS[random.integers(len(PAINTS))]
    instance = Label.CAR * 1000 + 1 + index % 999
    return [
        shadow((x + 0.12, z), (1.3, shape.length / 2 + 0.4), 1.0, pavement=False, motion=motion),
        car(shape, paint, x, z, layer, motion, instance, away=away),
    ]


def _traffic(random: np.random.Generator, seconds: float, far: float, config: StreetConfig) -> list[Thing]:
    things: list[Thing] = []
    if config.traffic == 0:
        return things
    index = 500
    z = float(random.uniform(13, 30))
    while z < 90:
        motion = Motion(
            convoy=1.0, surge=float(random.uniform(0.5, 2.0)), rate=2 * math.pi / float(random.uniform(5, 9)),
            phase=float(random.uniform(0, 2 * math.pi)),
        )  # fmt: skip
        things += _a_car(random, LANE_X, z, Layer.DRIVING, motion, index + len(things) // 2, away=True)
        z += float(random.uniform(14, 40)) / config.traffic
    speed = -float(random.uniform(5, 9))
    z = float(random.uniform(4, 30))
    while z < far - speed * seconds:
        things += _a_car(
            random, ONCOMING_X, z, Layer.DRIVING, Motion(speed=speed), index + len(things) // 2, away=False
        )
        z += float(random.uniform(15, 50)) / config.traffic
    return things


def _walkers(
    random: np.random.Generator, path: CameraPath, seconds: float, blocks: list[tuple[float, float]],
    config: StreetConfig,
) -> list[Thing]:  # fmt: skip
    things: list[Thing] = []
    for start, stop in blocks:
        for _ in range(round(config.people * (stop - start) / 7.0)):
            side, reach = float(random.choice([-1.0, 1.0])), (stop - start) / 2 - 1.0
            x = side * float(random.uniform(ROAD_HALF + 1.2, FRONT - 0.6))
            pace = float(random.uniform(0.8, 1.6))
            motion = Motion(
                reach=reach,
                pace=pace,
                progress=float(random.uniform(0, 4 * reach)),
                along=1.0,
                stride=5.0 + pace * 2,
                phase=float(random.uniform(0, 6.28)),
            )
            things += _a_person(random, x, (start + stop) / 2, motion, len(things) // 2)
    for start in (stop for _, stop in blocks[:-1]):
        for _ in range(round(2 * config.people)):
            pace = float(random.uniform(1.0, 1.5))
            motion = Motion(
                reach=ROAD_HALF - 0.3,
                pace=pace,
                progress=float(random.uniform(0, 4 * ROAD_HALF)),
                stride=6.0 + pace * 2,
                phase=float(random.uniform(0, 6.28)),
            )
            z = start - float(random.uniform(1.0, 3.2))
            if _stays_clear(path, seconds, motion, z):
                things += _a_person(random, 0.0, z, motion, len(things) // 2)
    return things


def _a_person(random: np.random.Generator, x: float, z: float, motion: Motion, index: int) -> list[Thing]:
    across = motion.along == 0
    instance = Label.PERSON * 1000 + 1 + index % 999
    return [
        shadow((x + 0.1, z), (0.42, 0.30), 0.7, pavement=not across, motion=motion),
        person(random, x, 0.0 if across else KERB, z, Layer.SIDEWALK, motion, instance),
    ]


def crossing_x(reach: float, distance: float) -> float:
    """Where somebody is who walks between -reach and reach, there and back, after a distance."""
    turn = distance % (4 * reach)
    return turn - reach if turn < 2 * reach else 3 * reach - turn


def _stays_clear(path: CameraPath, seconds: float, motion: Motion, z: float) -> bool:
    for moment in np.arange(0.0, seconds + 0.25, 0.25):
        camera = position_at(path, float(moment))
        x = crossing_x(motion.reach, motion.progress + motion.pace * float(moment))
        if abs(camera[2] - z) < 4.0 and abs(camera[0] - x) < 1.8:
            return False
    return True


def _silhouette(houses: list[Thing]) -> list[tuple[float, float, float]]:
    """(start, end, height) of the houses on the left, where the sun stands."""
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
