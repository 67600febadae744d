"""Exponential moving average of a network's tensors."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import torch
from torch import Tensor
from vs_config import real, whole

from vs_optim._limits import MOST_STEPS
from vs_optim.errors import EmaError

__all__ = ["EmaConfig", "ema_share", "ema_update"]


@attrs.frozen(kw_only=True)
class EmaConfig:
    """How slowly the average follows, and when it begins to."""

    beta: float = real(0.999, "share of the old average that an update keeps", low=0, high=1, open_high=True)
    start_step: int = whole(500, "the first so many updates are plain copies", low=0, high=MOST_STEPS)


def ema_share(config: EmaConfig, *, step: int) -> float:
    """How much a new value counts for: 1, which copies it, while step < start_step, else 1 - beta. Pure."""
    return 1.0 if step < config.start_step else 1.0 - config.beta


@torch.no_grad()
def ema_update(averages: Sequence[Tensor], values: Sequence[Tensor], config: EmaConfig, *, step: int) -> None:
    """Move `averages` in place: average = beta * average + (1 - beta) * value; a copy while step < start_step.

    Args:
        averages: float32 tensors (float64 is left as it is); integer tensors, such as counters, are copied always.
        values: tensors of the same shapes, any floating dtype; they are cast to the dtype of their average.
        config: beta and start step.
        step: how many updates came before this one, so 0 at the first.

    Raises:
        EmaError: numbers or shapes of tensors differ, or an average is in a dtype too coarse to average in.
    """
    _check_pairs(averages, values)
    share = ema_share(config, step=step)
    if share == 1.0:
        floating: list[tuple[Tensor, Tensor]] = []
        copied = list(zip(averages, values, strict=True))
    else:
        pairs = list(zip(averages, values, strict=True))
        floating = [pair for pair in pairs if pair[0].is_floating_point()]
        copied = [pair for pair in pairs if not pair[0].is_floating_point()]
    if copied:
        torch._foreach_copy_([a for a, _ in copied], [v for _, v in copied])
    if floating:
        targets = [v.to(dtype=a.dtype, device=a.device) for a, v in floating]
        torch._foreach_lerp_([a for a, _ in floating], targets, share)


def _check_pairs(averages: Sequence[Tensor], values: Sequence[Tensor]) -> None:
    if len(averages) != len(values):
        raise EmaError(f"{len(averages)} averages for {len(values)} values")
    for index, (average, value) in enumerate(zip(averages, values, strict=True)):
        if average.shape != value.shape:
            shapes = f"{tuple(average.shape)} for a value of shape {tuple(value.shape)}"
            raise EmaError(f"average number {index} has shape {shapes}", index)
        if average.dtype in (torch.float16, torch.bfloat16):
            raise EmaError(f"average number {index} is {average.dtype}; keep averages in float32", index)
