"""The steps that are measured: one by itself, and what becomes of it when one thing about it grows."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

import attrs
from vs_config import resolve_config
from vs_training.config import TrainConfig

Axis = Literal["pixels", "batch", "length", "filters"]
AXES: tuple[Axis, ...] = get_args(Axis)

FRAMES = 2
"""Of the clips of a step of which something else grows."""

_FACTORS: Mapping[Axis, tuple[float, ...]] = {
    "pixels": (0.5, 1, 2, 4),
    "batch": (1, 2, 4, 8),
    "length": (1, 2, 4, 8),
    "filters": (0.25, 0.5, 1, 2),
}
"""How many times as large as in the step by itself; each twice the one before."""


@attrs.frozen(kw_only=True)
class Point:
    """A step in which one thing is `factor` times as large as in the step by itself.

    Attributes:
        amount: how many pixels, clips, frames, or channels of the generator's first layer.
        frames: of its clips.
    """

    axis: Axis
    factor: float
    amount: int
    config: TrainConfig
    frames: int

    @property
    def name(self) -> str:
        """What it is called in tables."""
        return f"{self.axis} {self.amount}"


def points_of(document: Mapping[str, Any], overrides: Sequence[str], title: str) -> list[Point]:
    """Return the points of all axes, in their order.

    Raises:
        ConfigError: the configuration is wrong, or a step that is smaller or larger would be.
    """
    base = resolve_config(TrainConfig, document, overrides, title)
    return [_point(base, axis, factor) for axis in AXES for factor in _FACTORS[axis]]


def _point(base: TrainConfig, axis: Axis, factor: float) -> Point:
    config, frames = base, FRAMES
    match axis:
        case "pixels":
            config = _with_pixels(base, factor)
            amount = config.data.height * config.data.width
        case "batch":
            amount = round(base.loader.clips * factor)
            config = attrs.evolve(base, loader=attrs.evolve(base.loader, batch_size=amount))
        case "length":
            amount = frames = round(FRAMES * factor)
        case "filters":
            config = _scaled(base, factor, ("generator", "discriminator"))
            amount = config.generator.filters
    return Point(axis=axis, factor=factor, amount=amount, config=config, frames=frames)


def _with_pixels(base: TrainConfig, factor: float) -> TrainConfig:
    """Double the shorter side first, or halve the longer one, so that the shape stays what networks are used to."""
    height, width = base.data.height, base.data.width
    while factor > 1:
        height, width = (2 * height, width) if height <= width else (height, 2 * width)
        factor /= 2
    if factor < 1:
        height, width = (height, width // 2) if width >= height else (height // 2, width)
    return attrs.evolve(base, data=attrs.evolve(base.data, height=height, width=width))


def _scaled(config: Any, factor: float, names: Sequence[str]) -> Any:
    """Return a configuration with all numbers of filters multiplied in its tables of these names, and below them."""
    return attrs.evolve(config, **{name: _with_filters(getattr(config, name), factor) for name in names})


def _with_filters(config: Any, factor: float) -> Any:
    changed: dict[str, Any] = {}
    for field in attrs.fields(type(config)):
        value = getattr(config, field.name)
        if attrs.has(type(value)):
            changed[field.name] = _with_filters(value, factor)
        elif field.name in ("filters", "max_filters"):
            changed[field.name] = max(1, round(value * factor))
    return attrs.evolve(config, **changed)
