"""The configuration of the procedural street."""

from __future__ import annotations

from typing import ClassVar

import attrs
from vs_config import Check, check_fields

from vs_data.fields import real, whole

MOST_SEQUENCES = 500_000
"""Training worlds are numbered from 0, validation worlds from here, so that the two never share a world."""


def _check_aspect(config: StreetConfig) -> None:
    if not 1 / 4 <= config.width / config.height <= 8:
        raise ValueError(f"width is {config.width}, allowed: a quarter to 8 times the height, which is {config.height}")


def _check_speeds(config: StreetConfig) -> None:
    if config.speed_min > config.speed_max:
        raise ValueError(f"speed_min is {config.speed_min}, allowed: at most speed_max, which is {config.speed_max}")


@attrs.frozen(kw_only=True)
class StreetConfig:
    """A drive along a street that is made up from a seed: pictures, classes, instances and exact flow."""

    kind: ClassVar[str] = "street"

    height: int = whole(128, "height of the frames, pixels", low=16, high=4096)
    width: int = whole(256, "width of the frames, pixels", low=16, high=8192)
    sequence_length: int = whole(30, "frames of each sequence", low=1, high=3_000)
    train_sequences: int = whole(200, "sequences of the training split", low=1, high=MOST_SEQUENCES)
    val_sequences: int = whole(8, "sequences of the validation split", low=1, high=MOST_SEQUENCES)
    seed: int = whole(0, "which family of worlds; both splits depend on it", low=0, high=2**63 - 1)
    fps: float = real(17.0, "frames per second of the world's time", low=1.0, high=240.0)
    speed_min: float = real(4.0, "slowest drive, metres per second", low=0.0, high=30.0)
    speed_max: float = real(8.5, "fastest drive, metres per second", low=0.0, high=30.0)
    sway: float = real(1.0, "how much the camera sways and turns, 0: not at all", low=0.0, high=3.0)
    traffic: float = real(1.0, "density of cars, 0: none", low=0.0, high=2.0)
    people: float = real(1.0, "density of pedestrians, 0: none", low=0.0, high=2.0)
    greenery: float = real(1.0, "density of trees, 0: none", low=0.0, high=2.0)

    CHECKS: ClassVar[tuple[Check, ...]] = (
        Check(("height", "width"), _check_aspect),
        Check(("speed_min", "speed_max"), _check_speeds),
    )

    def __attrs_post_init__(self) -> None:
        check_fields(self)
