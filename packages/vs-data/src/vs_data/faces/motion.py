"""How somebody moves: smooth functions of time, drawn from a seed of their own."""

import math

import attrs
import numpy as np

from vs_data.faces.config import FacesConfig
from vs_data.procedural.waves import Waves, draw_waves, waves_at

_CHANNELS = (
    # amplitude of the whole, shortest and longest period in frames
    (0.56, 24, 40),  # yaw, radians
    (0.25, 22, 44),  # pitch
    (0.24, 26, 52),  # roll
    (0.22, 28, 50),  # x, head units
    (0.08, 24, 50),  # y
    (0.05, 40, 80),  # scale
    (0.06, 30, 70),  # x of the body
    (0.03, 30, 70),  # y of the body
    (0.05, 30, 70),  # roll of the body
    (0.045, 20, 50),  # gaze, sideways
    (0.02, 20, 50),  # gaze, up and down
    (0.75, 24, 60),  # smile
    (0.045, 18, 40),  # brows
)
_EXPRESSION = 9
"""Channels from here on are expression, those before are movement."""

_BLINK = 7.0


@attrs.frozen(kw_only=True, eq=False)
class Motion:
    """A motion: sums of waves, blinks and speech. Periods are counted in frames.

    Attributes:
        waves: Of the 13 channels.
        blink: Period and phase of blinking.
        speech: Rate and phase of sentences, then of syllables, radians per frame and radians.
        loudness: How far the mouth opens in speech.
    """

    waves: Waves
    blink: tuple[float, float]
    speech: tuple[float, float, float, float]
    loudness: float


@attrs.frozen(kw_only=True)
class Moment:
    """Pose and expression at one time.

    Attributes:
        yaw, pitch, roll: Of the head, radians.
        x, y: How far the head is from its place, head units.
        scale: Of head and body, 1: as usual.
        body: x, y and roll of the body.
        blink: 0: eyes open, 1: closed.
        gaze: How far the irises are from the middle of the eyes, x and y, head units.
        smile: -1 to 1.
        brows: How far they are raised, head units.
        open: How far the mouth is open, head units.
    """

    yaw: float
    pitch: float
    roll: float
    x: float
    y: float
    scale: float
    body: tuple[float, float, float]
    blink: float
    gaze: tuple[float, float]
    smile: float
    brows: float
    open: float


FRONTAL = Moment(
    yaw=0.0, pitch=0.0, roll=0.0, x=0.0, y=0.0, scale=1.0, body=(0.0, 0.0, 0.0), blink=0.0, gaze=(0.0, 0.0),
    smile=0.0, brows=0.0, open=0.0,
)  # fmt: skip
"""A face that looks straight at the viewer and does nothing."""


def draw_motion(config: FacesConfig, number: int, motion: int) -> Motion:
    """Draw motion `motion` that goes with person `number`; it knows nothing of who that person is."""
    random = np.random.default_rng([config.seed, number, motion, 815])
    strength = np.where(np.arange(len(_CHANNELS)) < _EXPRESSION, config.movement, config.expression)
    return Motion(
        waves=draw_waves(random, _CHANNELS, strength),
        blink=(float(random.uniform(24, 50)), float(random.uniform(0, 50))),
        speech=(
            2 * math.pi / float(random.uniform(30, 60)),
            float(random.uniform(0, 2 * math.pi)),
            2 * math.pi / float(random.uniform(7, 12)),
            float(random.uniform(0, 2 * math.pi)),
        ),
        loudness=float(random.uniform(0.13, 0.24)) * config.expression,
    )


def moment_at(motion: Motion, frame: int, expression: float) -> Moment:
    """Return the pose and expression in one frame; `expression` as in the configuration (0: no blinks)."""
    values = waves_at(motion.waves, frame)
    yaw, pitch, roll, x, y, scale, body_x, body_y, body_roll, gaze_x, gaze_y, smile, brows = map(float, values)
    sentence = 0.5 + 0.5 * math.sin(motion.speech[0] * frame + motion.speech[1])
    syllable = 0.5 + 0.5 * math.sin(motion.speech[2] * frame + motion.speech[3])
    return Moment(
        yaw=yaw,
        pitch=pitch,
        roll=roll,
        x=x,
        y=y,
        scale=1.0 + scale,
        body=(body_x + 0.35 * x, body_y + 0.2 * y, body_roll),
        blink=_blink(motion, frame) * min(expression, 1.0),
        gaze=(gaze_x - 0.06 * math.sin(yaw) * min(expression, 1.0), gaze_y),
        smile=min(max(smile, -1.0), 1.0),
        brows=brows,
        open=motion.loudness * math.sqrt(sentence) * syllable,
    )


def _blink(motion: Motion, frame: int) -> float:
    period, phase = motion.blink
    part = ((frame + phase) % period) / _BLINK
    return math.sin(math.pi * part) ** 2 if part < 1 else 0.0
