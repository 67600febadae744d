"""`ema` in few calls and passes."""

from collections.abc import Sequence

import torch
from torch import Tensor


@torch.no_grad()
def ema_native(
    averages: Sequence[Tensor], values: Sequence[Tensor], weight: float, scales: Sequence[Tensor] | None
) -> None:
    """Compute `ema` of all tensors in one call, or with scales in two passes that store no scaled value."""
    if scales is None:
        targets = [value.to(average.dtype) for average, value in zip(averages, values, strict=True)]
        torch._foreach_lerp_(list(averages), targets, weight)
        return
    for average, value, scale in zip(averages, values, scales, strict=True):
        # Not average * (1 - weight), whose rounding would add up to a part of the average itself.
        average.sub_(average, alpha=weight).addcmul_(value, scale, value=weight)
