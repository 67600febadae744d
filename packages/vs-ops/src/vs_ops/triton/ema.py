"""Averages of weights by Triton: every average read and written once, every value and its scale read once.

One launch per tensor. The share is an argument of the launch, in double precision: it may change from step to step
without anything being compiled again, as it would be for a constant.
"""

from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor

from vs_ops.instance_norm import dense
from vs_ops.triton._launch import accumulator, blocks, like, on_device_of, power_of_two

__all__ = ["ema"]

_BLOCK = 1024


@triton.jit
def _kernel(
    average: tl.tensor,
    value: tl.tensor,
    scale: tl.tensor,
    share: tl.float64,
    numel: tl.tensor,
    from_target: tl.constexpr,
    dtype: tl.constexpr,
    block: tl.constexpr,
) -> None:
    """One block per program. `share` is the smaller one of the two: the target's, or `from_target` the average's.

    So a share of one copies, and one of zero changes nothing, to the last digit.
    """
    offsets = tl.program_id(0).to(tl.int64) * block + tl.arange(0, block)
    inside = offsets < numel
    smaller = tl.full((block,), share, dtype)
    old = tl.load(average + offsets, mask=inside, other=0.0)
    target = tl.load(value + offsets, mask=inside, other=0.0).to(dtype)
    if scale is not None:
        target *= tl.load(scale).to(dtype)
    new = target + smaller * (old - target) if from_target else old + smaller * (target - old)
    tl.store(average + offsets, new, mask=inside)


@torch.library.custom_op("vs_ops::ema", mutates_args=("averages",))
def ema(averages: Sequence[Tensor], values: Sequence[Tensor], share: float, scales: Sequence[Tensor]) -> None:
    """Move averages by `share` towards values times scales, in place; no scales are ones."""
    for index, (average, value) in enumerate(zip(averages, values, strict=True)):
        if average.numel():
            _move(average, value, share, scales[index] if scales else None)


def _move(average: Tensor, value: Tensor, share: float, scale: Tensor | None) -> None:
    place = dense(average)  # the average itself, unless it is in neither memory format
    numel, block = place.numel(), power_of_two(place.numel(), _BLOCK)
    with on_device_of(place):
        _kernel[(blocks(numel, block),)](
            *(place, like(value, place), scale, min(share, 1 - share), numel),
            from_target=share > 0.5,
            dtype=accumulator(place.dtype),
            block=block,
        )
    if place.data_ptr() != average.data_ptr():
        average.copy_(place)


@ema.register_fake
def _(averages: Sequence[Tensor], values: Sequence[Tensor], share: float, scales: Sequence[Tensor]) -> None:
    return None
