"""`ema` as plain PyTorch."""

from collections.abc import Sequence

import torch
from torch import Tensor


@torch.no_grad()
def ema_reference(
    averages: Sequence[Tensor], values: Sequence[Tensor], weight: float, scales: Sequence[Tensor] | None
) -> None:
    """Compute `ema` readably."""
    for index, (average, value) in enumerate(zip(averages, values, strict=True)):
        target = value.to(average.dtype)
        if scales is not None:
            target = target * scales[index].to(average.dtype)
        average.lerp_(target, weight)
