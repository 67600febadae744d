"""Who is about: parked cars, traffic, and pedestrians."""

import math
from collections.abc import Sequence

import numpy as np

from vs_data.street.camera import CameraPath, position_at
from vs_data.street.cars import PAINTS, SHAPES, car
from vs_data.street.config import StreetConfig
from vs_data.street.ground import FRONT, KERB, LANE_X, ONCOMING_X, PARKED_X, ROAD_HALF, shadow
from vs_data.street.movement import offsets_at
from vs_data.street.people import person
from vs_data.street.surfaces import STILL, Label, Layer, Motion, Thing

PASSED = -4.0
"""What ends before this z is never seen."""

_PAUSE = 0.25


def parked(
    random: np.random.Generator, blocks: list[tuple[float, float]], far: float, config: StreetConfig
) -> list[Thing]:
    """Build cars at the kerbs."""
    things: list[Thing] = []
    for start, stop in blocks:
        for side in (-1.0, 1.0):
            z = start + 8.0
            while z < stop - 9:
                if PASSED < z < far and random.random() < 0.5 * config.traffic:
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


def traffic(random: np.random.Generator, seconds: float, far: float, config: StreetConfig) -> list[Thing]:
    """Build cars ahead of the camera and cars that come towards it."""
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


def walkers(
    random: np.random.Generator, path: CameraPath, seconds: float, blocks: list[tuple[float, float]],
    cars: Sequence[Thing], config: StreetConfig,
) -> list[Thing]:  # fmt: skip
    """Build people on the pavements and, where streets meet, across the road."""
    things: list[Thing] = []
    # Along the pavements they walk to and fro.
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
    # Across the road they must not be run over, nor walk through the camera.
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
            if _stays_clear(path, seconds, motion, z, cars):
                things += _a_person(random, 0.0, z, motion, len(things) // 2)
    return things


def _a_person(random: np.random.Generator, x: float, z: float, motion: Motion, index: int) -> list[Thing]:
    across = motion.along == 0
    instance = Label.PERSON * 1000 + 1 + index % 999
    return [
        shadow((x + 0.1, z), (0.42, 0.30), 0.7, pavement=not across, motion=motion),
        person(random, x, 0.0 if across else KERB, z, Layer.SIDEWALK, motion, instance),
    ]


def _stays_clear(path: CameraPath, seconds: float, motion: Motion, z: float, cars: Sequence[Thing]) -> bool:
    """Tell whether somebody who crosses at z meets neither the camera nor a car while they can be seen well."""
    walk = np.array([motion], np.float64)
    drives = np.array([car.motion for car in cars], np.float64).reshape(-1, walk.shape[1])
    places = np.array([car.anchor for car in cars], np.float64).reshape(-1, 3)
    moments = np.arange(0.0, seconds + _PAUSE, _PAUSE)
    ahead = z - path.speed * moments
    for moment in moments[(ahead > -6.0) & (ahead < 45.0)].tolist():
        camera = position_at(path, moment)
        others = np.concatenate([places + offsets_at(drives, path, moment), camera[None]])
        where = offsets_at(walk, path, moment)[0] + (0.0, 0.0, z)
        if (np.abs(others - where)[:, (0, 2)] < (1.5, 3.4)).all(axis=1).any():
            return False
    return True
