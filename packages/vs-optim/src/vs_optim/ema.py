"""Exponential moving average of a network's weights: how much a new value counts for."""

import attrs
from vs_config import real, whole

from vs_optim._limits import MAX_STEPS


@attrs.frozen(kw_only=True)
class EmaConfig:
    """Speed at which the EMA follows, and when it begins to."""

    beta: float = real(0.999, "decay: the fraction of the EMA that an update keeps", low=0, high=1, open_high=True)
    start_step: int = whole(500, "the first so many updates are plain copies", low=0, high=MAX_STEPS)


def ema_weight(config: EmaConfig, *, step: int) -> float:
    """Return the weight of a new value, as of `torch.lerp`: 1, which copies it, before start_step, else 1 - beta. Pure.

    Args:
        config: beta and start step.
        step: how many updates came before this one, so 0 at the first.
    """
    return 1.0 if step < config.start_step else 1.0 - config.beta
