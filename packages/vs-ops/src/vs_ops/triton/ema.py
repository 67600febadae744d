"""Averages of weights by Triton: every average read and written once, every value and its scale read once.

One launch for all tensors, which are found by address (see `_tables`). The weight is an argument of the launch, in
double precision: it may change from step to step without anything being compiled again, as it would be for a constant.
"""

from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor

from vs_ops.native.ema import ema_native
from vs_ops.triton._launch import element_of, on_device_of
from vs_ops.triton._registration import registered
from vs_ops.triton._tables import alike, can_send, programs, sent

_BLOCK = 1024


@triton.jit
def _kernel(
    averages: tl.tensor,
    values: tl.tensor,
    scales: tl.tensor,
    table: tl.tensor,
    owner: tl.tensor,
    weight: tl.float64,
    from_target: tl.constexpr,
    dtype: tl.constexpr,
    value_element: tl.constexpr,
    scale_element: tl.constexpr,
    block: tl.constexpr,
) -> None:
    """Move one block of one tensor per program.

    `weight` is the smaller one of the two: the target's, or `from_target` the average's. So a weight of one copies, and
    one of zero changes nothing, to the last digit.
    """
    tensor = tl.load(owner + tl.program_id(0))
    offsets = (tl.program_id(0) - tl.load(table + 3 * tensor + 1)) * block + tl.arange(0, block)
    inside = offsets < tl.load(table + 3 * tensor)
    average = tl.load(averages + tensor).to(tl.pointer_type(dtype)) + offsets
    value = tl.load(values + tensor).to(tl.pointer_type(value_element)) + offsets
    smaller = tl.full((block,), weight, dtype)
    old = tl.load(average, mask=inside, other=0.0)
    target = tl.load(value, mask=inside, other=0.0).to(dtype)
    if scales is not None:
        target *= tl.load(tl.load(scales + tensor).to(tl.pointer_type(scale_element))).to(dtype)
    new = target + smaller * (old - target) if from_target else old + smaller * (target - old)
    tl.store(average, new, mask=inside)


@registered("vs_ops::ema", mutates_args=("averages",))
def ema(averages: Sequence[Tensor], values: Sequence[Tensor], weight: float, scales: Sequence[Tensor]) -> None:
    """Move averages by `weight` towards values times scales, in place; no scales are ones.

    The tensors of each list have one dtype, and each average lies as its value does.
    """
    first = averages[0]
    table, owner = programs(averages, _BLOCK)
    if not len(owner):
        return
    with on_device_of(first):
        _kernel[(len(owner),)](
            *(sent(averages, first.device), sent(values, first.device)),
            *(sent(scales, first.device) if scales else None, table, owner, min(weight, 1 - weight)),
            from_target=weight > 0.5,
            dtype=element_of(first.dtype),
            value_element=element_of(values[0].dtype),
            scale_element=element_of(scales[0].dtype) if scales else None,
            block=_BLOCK,
        )


@ema.register_fake
def _(averages: Sequence[Tensor], values: Sequence[Tensor], weight: float, scales: Sequence[Tensor]) -> None:
    return None


@torch.no_grad()
def ema_triton(
    averages: Sequence[Tensor], values: Sequence[Tensor], weight: float, scales: Sequence[Tensor] | None
) -> None:
    """Compute `vs_ops.ema` in one launch; PyTorch takes tensors that differ in dtype, device or order."""
    if _can_move(averages, values, scales or ()):
        ema(list(averages), list(values), float(weight), list(scales or ()))
    else:
        ema_native(averages, values, weight, scales)


def _can_move(averages: Sequence[Tensor], values: Sequence[Tensor], scales: Sequence[Tensor]) -> bool:
    """Return whether one launch will do: dtypes and device are one, elements lie in the same order without gaps."""
    device = averages[0].device
    return (
        all(len(some) == 0 or (alike(some) and some[0].device == device) for some in (averages, values, scales))
        and all(_in_one_order(one, other) for one, other in zip(averages, values, strict=True))
        and can_send(device)
    )


def _in_one_order(one: Tensor, other: Tensor) -> bool:
    if one.is_contiguous() and other.is_contiguous():
        return True
    last = torch.channels_last
    return one.dim() == 4 and one.is_contiguous(memory_format=last) and other.is_contiguous(memory_format=last)
