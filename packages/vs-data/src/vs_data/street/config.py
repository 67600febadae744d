"""The configuration of the procedural street."""

from __future__ import annotations

from typing import ClassVar

import attrs

from vs_data.fields import real, whole

MOST_SEQUENCES = 500_000
"""Training worlds are numbered from 0, validation worlds from here, so that the two never share a world."""


@attrs.frozen(kw_only=True)
class StreetConfig:
    """A drive along a street that is made up from a seed: pictures, classes, instances and exact flow."""

    kind: ClassVar[str] = "street"

    height: int = whole(128, "height of the frames, pixels", low=16, high=4096)
    width: int = whole(256, "width of the frames, pixels", low=16, high=8192)
    sequence_length: int = whole(30, "frames of each sequence", low=1, high=3_000)
    train_sequences: int = whole(200, "sequences of the training split", low=1, high=MOST_SEQUENCES)
    val_sequences: int = whole(8, "sequences of the validation split", low=1, high=MOST_SEQUENCES)
    seed: int = whole(0, "which family of worlds; both splits depend on it", low=0)
    fps: float = real(17.0, "frames per second of the world's time", low=1.0, high=240.0)
    speed_min: float = real(4.0, "slowest drive, metres per second", low=0.0, high=30.0)
    speed_max: float = real(8.5, "fastest drive, metres per second", low=0.0, high=30.0)
    sway: float = real(1.0, "how much the camera sways and turns, 0: not at all", low=0.0, high=3.0)
    traffic: float = real(1.0, "density of cars, 0: none", low=0.0, high=2.0)
    people: float = real(1.0, "density of pedestrians, 0: none", low=0.0, high=2.0)
    greenery: float = real(1.0, "density of trees, 0: none", low=0.0, high=2.0)

    def __attrs_post_init__(self) -> None:
        if not 1 / 4 <= self.width / self.height <= 8:
            raise ValueError(
                f"width is {self.width!r}, allowed: a quarter to 8 times the height, which is {self.height!r}"
            )
        if self.speed_min > self.speed_max:
            raise ValueError(
                f"speed_min is {self.speed_min!r}, allowed: at most speed_max, which is {self.speed_max!r}"
            )
