"""The configuration of the procedural street."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

import attrs
from vs_config import Check, Problem, check_fields, choice, real, whole

from vs_data.procedural.fields import aspect_up_to

MAX_SEQUENCES = 500_000
"""Training worlds are numbered from 0, validation worlds from here, so that the two never share a world."""


def _check_speeds(config: StreetConfig) -> Iterator[Problem]:
    if config.speed_min > config.speed_max:
        yield Problem("speed_min", expected=f"at most speed_max, {config.speed_max}", got=config.speed_min)


@attrs.frozen(kw_only=True)
class StreetConfig:
    """A drive along a street that is made up from a seed: pictures, classes, instances and exact flow."""

    kind: ClassVar[str] = "street"

    height: int = whole(128, "height of the frames", low=16, high=4096, unit="pixels")
    width: int = whole(256, "width of the frames", low=16, high=8192, unit="pixels")
    sequence_length: int = whole(30, "length of each sequence", low=1, high=3_000, unit="frames")
    train_sequences: int = whole(200, "sequences of the training split", low=1, high=MAX_SEQUENCES)
    val_sequences: int = whole(8, "sequences of the validation split", low=1, high=MAX_SEQUENCES)
    seed: int = whole(0, "which family of worlds; both splits depend on it", low=0, high=2**63 - 1)
    fps: float = real(17.0, "rate, in the world's time", low=1.0, high=240.0, unit="frames per second")
    speed_min: float = real(4.0, "slowest drive", low=0.0, high=30.0, unit="metres per second")
    speed_max: float = real(8.5, "fastest drive", low=0.0, high=30.0, unit="metres per second")
    sway: float = real(1.0, "how much the camera sways and turns, 0: not at all", low=0.0, high=3.0)
    traffic: float = real(1.0, "density of cars, 0: none", low=0.0, high=2.0)
    people: float = real(1.0, "density of pedestrians, 0: none", low=0.0, high=2.0)
    greenery: float = real(1.0, "density of trees, 0: none", low=0.0, high=2.0)
    labels: Literal["seg_maps", "render", "both", "instances"] = choice(
        "seg_maps",
        "what networks are conditioned on: class ids, a plain rendering, both in this order, or class ids and the "
        "borders of instances",
        ("seg_maps", "render", "both", "instances"),
    )

    CHECKS: ClassVar[tuple[Check, ...]] = (
        aspect_up_to(8),
        Check(("speed_min", "speed_max"), _check_speeds),
    )

    def __attrs_post_init__(self) -> None:
        check_fields(self)
