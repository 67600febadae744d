"""Shapes of the discriminators of a run."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import ClassVar, Literal

import attrs
from vs_config import Check, Problem, check_fields, choice, real, table, tables, truth, whole

from vs_nets.limits import MAX_CHANNELS, MAX_FRAMES, MAX_SCALES, MAX_WEIGHT


@attrs.frozen(kw_only=True)
class PatchConfig:
    """Shape of a multi-scale patch discriminator; the defaults are the published ones for Cityscapes."""

    filters: int = whole(64, "channels of the first layer", low=1, high=MAX_CHANNELS)
    max_filters: int = whole(512, "cap of the channels", low=1, high=MAX_CHANNELS)
    layers: int = whole(3, "4x4 convolutions after the first", low=1, high=MAX_SCALES)
    scales: int = whole(2, "networks, each on half the resolution", low=1, high=MAX_SCALES)
    spectral_norm: bool = truth(False, "spectral norm on everything, the head included")


@attrs.frozen(kw_only=True)
class TemporalConfig:
    """Temporal discriminators: one for each time scale s, on frames t - 2 * 3^s, t - 3^s, t (for 3 frames)."""

    time_scales: int = whole(1, "number of temporal discriminators", low=1, high=MAX_SCALES)
    frames: int = whole(3, "frames that each of them sees", low=2, high=MAX_FRAMES)
    patch: PatchConfig = table(PatchConfig, "shape of each of them")


PUBLISHED_PATCH = partial(PatchConfig, filters=32, max_filters=512, layers=3, scales=1, spectral_norm=True)
"""Makes the published shape of these networks."""


def _check_size(config: RegionConfig) -> Iterator[Problem]:
    smallest = smallest_side(config.patch)
    if config.size < smallest:
        yield Problem("size", expected=f"at least {smallest}, which `patch` needs", got=config.size)


@attrs.frozen(kw_only=True)
class RegionConfig:
    """A discriminator of one region of a person; the defaults are the published ones, but for the size of crops."""

    region: Literal["face", "hand"] = choice("face", "what it looks at; a hand: at both", ("face", "hand"))
    size: int = whole(64, "side of the crops, once they are resized", low=16, high=1024, unit="pixels")
    weight: float = real(10.0, "factor on the weights of its losses", low=0.0, high=MAX_WEIGHT)
    patch: PatchConfig = table(PUBLISHED_PATCH, "shape of the network")

    CHECKS: ClassVar[tuple[Check, ...]] = (Check(("size", "patch"), _check_size),)

    def __attrs_post_init__(self) -> None:
        check_fields(self)


def smallest_side(patch: PatchConfig) -> int:
    """Return how many pixels a side must have so that no scale shrinks to nothing.

    The last 4x4 convolution of stride 1 takes a pixel away and must leave two for an instance norm to mean anything.
    """
    return int(3 * 2 ** (patch.layers + patch.scales - 1))


def _check_regions(config: DiscriminatorConfig) -> Iterator[Problem]:
    names = [each.region for each in config.regions]
    for index, name in enumerate(names):
        if name in names[:index]:
            yield Problem(f"regions[{index}].region", expected="a region that none before it has", got=name)


@attrs.frozen(kw_only=True)
class DiscriminatorConfig:
    """The discriminators of a training run."""

    image: PatchConfig = table(PatchConfig, "discriminator of single frames and labels")
    temporal: TemporalConfig | None = table(None, "discriminators over time, or none")
    regions: tuple[RegionConfig, ...] = tables(
        (), "discriminators of parts of a person, found by its keypoints", high=2
    )

    CHECKS: ClassVar[tuple[Check, ...]] = (Check(("regions",), _check_regions),)

    def __attrs_post_init__(self) -> None:
        check_fields(self)
