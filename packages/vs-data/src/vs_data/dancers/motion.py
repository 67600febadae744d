"""How somebody dances: smooth functions of time, drawn from a seed of their own, for a body of any proportions.

Lengths are parts of the length of a leg, so that anybody can do the same steps.
"""

import math
from typing import NamedTuple

import attrs
import numpy as np

from vs_data.dancers.config import DancersConfig
from vs_data.procedural.arrays import F64, smooth
from vs_data.procedural.waves import Waves, draw_waves, waves_at

SIDES = (-1.0, 1.0)
"""The person's right and left, as x of somebody who looks at the viewer."""

_CHANNELS = (
    # amplitude of the whole, shortest and longest period in frames
    (0.85, 50, 90),  # yaw of the hips, radians
    (0.14, 40, 80),  # x, legs
    (0.14, 40, 80),  # z
    (0.13, 24, 48),  # roll of the hips, radians
    (0.08, 24, 48),  # lean of the hips
    (0.30, 24, 48),  # twist of the trunk
    (0.20, 24, 48),  # roll
    (0.12, 24, 48),  # pitch
    (0.45, 30, 60),  # yaw of the head
    (0.18, 22, 44),  # pitch
    (0.15, 26, 52),  # roll
)
_PATH = 3
"""The first channels are the way of the feet too."""

_ARM = (
    # largest swing, radians, and the middle: lowest, highest
    (1.15, 0.9, 1.7),  # raised from hanging down
    (0.55, 0.0, 0.7),  # to the front
    (0.80, -0.9, 0.9),  # turned about itself
    (0.70, 0.5, 1.1),  # elbow bent
    (0.35, -0.1, 0.1),  # wrist bent
)
_BEATS_A_STEP = 4.0
"""Each foot steps once in so many beats."""


@attrs.frozen(kw_only=True, eq=False)
class Motion:
    """A dance. Times are counted in frames.

    Attributes:
        waves: Of the 11 channels.
        spin: Turning without end, radians per frame.
        beat: Rate and phase of the beat, radians per frame and radians.
        bob: How deep knees bend at a beat, legs.
        stance: Half the distance between the feet, legs.
        arms: Waves of the five angles of each arm.
        arms_middle: (2,5) angles they swing about.
        steps: How far feet are set sideways and to the front, legs, and how many radians apart these steps are.
        lift: How high feet are lifted, legs.
    """

    waves: Waves
    spin: float
    beat: tuple[float, float]
    bob: float
    stance: float
    arms: tuple[Waves, Waves]
    arms_middle: F64
    steps: tuple[float, float, float]
    lift: float


class Foot(NamedTuple):
    """The place of a foot: x and z of its ankle, how high it is lifted (legs), where it points, how far toes hang."""

    x: float
    z: float
    lift: float
    yaw: float
    hang: float


@attrs.frozen(kw_only=True)
class Moment:
    """A pose, for any body.

    Attributes:
        x, z: Of the hips, legs.
        low: How much nearer to the ground the hips are than when standing upright, legs.
        yaw, roll, lean: Of the hips, radians.
        trunk: Twist, roll and pitch against the hips.
        head: Yaw, pitch and roll against the trunk.
        arms: Of the right and the left arm: raised, to the front, turned, elbow, wrist.
        feet: Right and left.
    """

    x: float
    z: float
    low: float
    yaw: float
    roll: float
    lean: float
    trunk: tuple[float, float, float]
    head: tuple[float, float, float]
    arms: tuple[tuple[float, ...], tuple[float, ...]]
    feet: tuple[Foot, Foot]


STANDING = Moment(
    x=0.0, z=0.0, low=0.02, yaw=0.0, roll=0.0, lean=0.0, trunk=(0.0, 0.0, 0.0), head=(0.0, 0.0, 0.0),
    arms=((0.15, 0.0, 0.0, 0.1, 0.0), (0.15, 0.0, 0.0, 0.1, 0.0)),
    feet=(Foot(-0.12, 0.0, 0.0, -0.1, 0.0), Foot(0.12, 0.0, 0.0, 0.1, 0.0)),
)  # fmt: skip
"""Somebody who looks at the viewer and does nothing."""


def draw_motion(config: DancersConfig, number: int, motion: int) -> Motion:
    """Draw dance `motion` that goes with person `number`; it knows nothing of who that person is."""
    random = np.random.default_rng([config.seed, number, motion, 1618])
    moved = config.movement
    waves = draw_waves(random, _CHANNELS, moved)
    beat = 2 * math.pi / float(random.uniform(11, 17))
    spins = bool(random.random() < 0.35)
    spin = 2 * math.pi / float(random.uniform(60, 110)) * float(random.choice((-1.0, 1.0)))
    arms, middle = _draw_arms(random, beat, moved)
    return Motion(
        waves=waves,
        spin=spin * moved if spins else 0.0,
        beat=(beat, float(random.uniform(0, 2 * math.pi))),
        bob=float(random.uniform(0.015, 0.05)) * moved,
        stance=float(random.uniform(0.15, 0.25)),
        arms=arms,
        arms_middle=middle,
        steps=(
            float(random.uniform(0.0, 0.09)) * moved,
            float(random.uniform(0.0, 0.12)) * moved,
            float(random.uniform(0, 2 * math.pi)),
        ),
        lift=float(random.uniform(0.05, 0.13)) * moved,
    )


def _draw_arms(random: np.random.Generator, beat: float, strength: float) -> tuple[tuple[Waves, Waves], F64]:
    """Draw arms that swing with the beat, both alike or one after the other."""
    beats = 2 * math.pi / beat
    channels = [(swing, 2 * beats, 4 * beats) for swing, _, _ in _ARM]
    right = draw_waves(random, channels, strength)
    middle = random.uniform([low for _, low, _ in _ARM], [high for _, _, high in _ARM])
    other = random.uniform([low for _, low, _ in _ARM], [high for _, _, high in _ARM])
    alike = float(random.choice((0.0, math.pi, math.pi / 2)))
    left = attrs.evolve(right, phase=right.phase + alike)
    return (right, left), np.stack([middle, 0.6 * middle + 0.4 * other])


def moment_at(motion: Motion, frame: int) -> Moment:
    """Return the pose in one frame."""
    yaw, x, z, roll, lean, *rest = map(float, waves_at(motion.waves, frame))
    twist, trunk_roll, trunk_pitch, head_yaw, head_pitch, head_roll = rest
    beat = motion.beat[0] * frame + motion.beat[1]
    right, left = (_arm(motion, frame, index) for index in (0, 1))
    return Moment(
        x=x,
        z=z,
        low=0.035 + motion.bob * (1 + math.cos(beat)),
        yaw=yaw + motion.spin * frame,
        roll=roll,
        lean=lean,
        trunk=(twist, trunk_roll, trunk_pitch),
        head=(head_yaw, head_pitch, head_roll),
        arms=(right, left),
        feet=(_foot(motion, frame, 0), _foot(motion, frame, 1)),
    )


def _arm(motion: Motion, frame: int, index: int) -> tuple[float, ...]:
    raised, front, turned, elbow, wrist = waves_at(motion.arms[index], frame) + motion.arms_middle[index]
    return float(max(raised, 0.1)), float(front), float(turned), float(max(elbow, 0.05)), float(wrist)


def _foot(motion: Motion, frame: int, index: int) -> Foot:
    """Return a foot, which stays where it is set for half of the time and is on the way to the next place then."""
    rate, phase = motion.beat
    steps = (rate * frame + phase) / (2 * math.pi * _BEATS_A_STEP) + 0.5 * index
    step = math.floor(steps)
    going = max(steps - step - 0.5, 0.0) * 2
    here, there = (_set_down(motion, index, each) for each in (step, step + 1))
    x, z, yaw = here + (there - here) * float(smooth(np.asarray(going)))
    lifted = math.sin(math.pi * going) ** 2
    return Foot(float(x), float(z), motion.lift * lifted, float(yaw), 4.0 * motion.lift * lifted)


def _set_down(motion: Motion, index: int, step: int) -> F64:
    """Return x, z and yaw at which a foot is set down: beside the way of the hips at the middle of its stand."""
    rate, phase = motion.beat
    time = ((step + 0.25 - 0.5 * index) * 2 * math.pi * _BEATS_A_STEP - phase) / rate
    yaw, x, z = waves_at(motion.waves, time)[:_PATH]
    yaw = yaw + motion.spin * time
    sideways, forward, apart = motion.steps
    aside = SIDES[index] * motion.stance + sideways * math.sin(apart * step)
    ahead = forward * math.cos(apart * step)
    cos, sin = math.cos(yaw), math.sin(yaw)
    return np.array([x + cos * aside + sin * ahead, z - sin * aside + cos * ahead, yaw + 0.15 * SIDES[index]])
