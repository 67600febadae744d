"""Loss scaling: how the loss scale of one network moves.

float16 cannot hold gradients below 6e-8, so the loss is multiplied by a large scale before backward and the gradients
are divided by it afterwards. When a gradient overflows, the step is skipped and the scale halved; after enough good
steps it is doubled. `torch.amp.GradScaler` has the same rule and the same trajectory of scales (a test compares them),
but says neither whether a step was skipped nor lets another network's overflow decide, so this is our own. Who steps,
and by whose overflow, is decided in `decision`.
"""

from collections.abc import Iterator
from typing import ClassVar, Literal

import attrs
from vs_config import Check, Problem, check_fields, choice, real, whole

from vs_optim._limits import MAX_SCALE, MAX_STEPS, MIN_SCALE

OverflowPolicy = Literal["independent", "generator_waits", "paired"]


def _check_init_scale(config: "ScalerConfig") -> Iterator[Problem]:
    if not config.min_scale <= config.init_scale <= config.max_scale:
        expected = f"a number from min_scale, {config.min_scale:g}, to max_scale, {config.max_scale:g}"
        yield Problem("init_scale", expected=expected, got=config.init_scale)


@attrs.frozen(kw_only=True)
class ScalerConfig:
    """Numbers by which the loss scale moves; used only where the precision asks for scaling."""

    init_scale: float = real(2.0**16, "loss scale at the first step", low=MIN_SCALE, high=MAX_SCALE)
    growth_factor: float = real(
        2.0,
        "the scale is multiplied by this after growth_interval steps without overflow",
        low=1,
        high=2.0**32,
        open_low=True,
    )
    backoff_factor: float = real(
        0.5, "the scale is multiplied by this after an overflow", low=0, high=1, open_low=True, open_high=True
    )
    growth_interval: int = whole(2000, "steps without overflow before the scale grows", low=1, high=MAX_STEPS)
    min_scale: float = real(
        1.0,
        "an overflow at this scale is an error, since a smaller scale would not cure it",
        low=MIN_SCALE,
        high=MAX_SCALE,
    )
    max_scale: float = real(2.0**24, "the scale stays below", low=MIN_SCALE, high=MAX_SCALE)
    max_skips: int = whole(
        30,
        "so many updates of a network left out in a row are divergence; 24 halvings undo all growth",
        low=1,
        high=MAX_STEPS,
    )
    policy: OverflowPolicy = choice(
        "independent",
        "independent: each network skips a step for its own overflow alone; generator_waits: the generator also skips "
        "the step in which the discriminator overflowed; paired: both steps of an update count or none, and one in "
        "which either overflowed is computed again",
        ("independent", "generator_waits", "paired"),
    )
    max_replays: int = whole(
        3,
        "paired: how often an update is computed again with a smaller scale before both skip it",
        low=0,
        high=1000,  # each replay halves the scale, usually: float32 has 254 powers of two
    )

    CHECKS: ClassVar[tuple[Check, ...]] = (Check(("init_scale", "min_scale", "max_scale"), _check_init_scale),)

    def __attrs_post_init__(self) -> None:
        check_fields(self)


@attrs.frozen(kw_only=True)
class ScaleState:
    """Scale of one network's losses, and what it has seen.

    Attributes:
        scale: what the next loss is multiplied by.
        good_steps: steps without overflow since the scale last moved.
        skips_in_row: updates left out since the last one that was not.
        skipped_total: updates left out since the start.
    """

    scale: float
    good_steps: int = 0
    skips_in_row: int = 0
    skipped_total: int = 0


def lowered(config: ScalerConfig, state: ScaleState) -> ScaleState:
    """Return the scale after an overflow: smaller, not below `min_scale`, its growth started anew. Counts no skip."""
    return attrs.evolve(state, scale=max(state.scale * config.backoff_factor, config.min_scale), good_steps=0)


def grown(config: ScalerConfig, state: ScaleState) -> ScaleState:
    """Return the scale after a good step: larger at every `growth_interval`-th in a row, not above `max_scale`."""
    if state.good_steps + 1 < config.growth_interval:
        return attrs.evolve(state, good_steps=state.good_steps + 1, skips_in_row=0)
    scale = min(state.scale * config.growth_factor, config.max_scale)
    return attrs.evolve(state, scale=scale, good_steps=0, skips_in_row=0)


def left_out(state: ScaleState) -> ScaleState:
    """Return the counts after an update whose step was left out, for whatever reason."""
    return attrs.evolve(state, skips_in_row=state.skips_in_row + 1, skipped_total=state.skipped_total + 1)
