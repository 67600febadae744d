"""One-hot by Triton: one read of the ids, which checks them too, and one write of the channels."""

import torch
import triton
import triton.language as tl
from torch import Tensor

from vs_ops.reference.one_hot import require_known
from vs_ops.triton._launch import blocks, on_device_of, power_of_two
from vs_ops.triton._registration import registered

_ELEMENTS = 1024
_MAX_CHANNELS = 16


@triton.jit
def _kernel(
    ids: tl.tensor,
    result: tl.tensor,
    known: tl.tensor,
    classes: tl.tensor,
    channels: tl.tensor,
    ignore_id: tl.tensor,
    pixels: tl.tensor,
    block_k: tl.constexpr,
    block_l: tl.constexpr,
) -> None:
    """Read ids once, and write a tile of channels x pixels at a time, in program (run of pixels, sample).

    Lanes are neighbours along pixels, which have stride one both in `ids` (N, L) and in `result` (N, K, L).
    """
    pixel = tl.program_id(0) * block_l + tl.arange(0, block_l)
    exists = pixel < pixels
    sample = tl.program_id(1).to(tl.int64)
    value = tl.load(ids + sample * pixels + pixel, mask=exists, other=0).to(tl.int64)
    ignored = value == ignore_id
    wrong = exists & (value != ignore_id) & ((value < 0) | (value >= classes))
    # All programs that find a wrong id write the same: none waits for another, and nobody on the host.
    tl.store(known + tl.zeros((block_l,), tl.int32), tl.zeros((block_l,), tl.int32), mask=wrong)
    value = tl.where(ignored, classes, value)  # the channel of what is ignored, if there is one
    for start in range(0, channels, block_k):
        channel = start + tl.arange(0, block_k)[:, None]
        inside = (channel < channels) & exists[None, :]
        # By way of float32: Triton's interpreter makes a bfloat16 of a truth value by taking its bits.
        hit = tl.where(channel == value[None, :], 1.0, 0.0).to(result.dtype.element_ty)
        tl.store(result + sample * channels * pixels + channel * pixels + pixel[None, :], hit, mask=inside)


@registered("vs_ops::one_hot")
def one_hot(
    ids: Tensor, num_classes: int, dont_care: bool, ignore_id: int, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Return (channels, known): `known` (an int32 scalar on the device) is 0 if any id is out of range, else 1."""
    ids = ids.contiguous()
    samples, height, width = ids.shape
    channels, pixels = num_classes + dont_care, height * width
    result = torch.empty(samples, channels, height, width, dtype=dtype, device=ids.device)
    known = torch.ones((), dtype=torch.int32, device=ids.device)
    block_k = power_of_two(channels, _MAX_CHANNELS)
    block_l = power_of_two(pixels, _ELEMENTS // block_k)
    with on_device_of(ids):
        _kernel[(blocks(pixels, block_l), samples)](
            *(ids, result, known, num_classes, channels, ignore_id, pixels), block_k=block_k, block_l=block_l
        )
    return result, known


@one_hot.register_fake
def _(ids: Tensor, num_classes: int, dont_care: bool, ignore_id: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    samples, height, width = ids.shape
    result = ids.new_empty((samples, num_classes + dont_care, height, width), dtype=dtype)
    return result, ids.new_empty((), dtype=torch.int32)


def one_hot_triton(ids: Tensor, num_classes: int, dont_care: bool, ignore_id: int, dtype: torch.dtype) -> Tensor:
    """Compute `vs_ops.one_hot`."""
    result, known = one_hot(ids, num_classes, dont_care, ignore_id, dtype)
    require_known("one_hot", known, ids, num_classes, ignore_id)
    return result
