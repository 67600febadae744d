"""Orders of elements in memory, and the few changes of shape that operators have in common."""

import torch
import torch.nn.functional as F
from torch import Tensor


def is_channels_last(x: Tensor) -> bool:
    """Return whether `x` is in channels-last order, and not in both orders at once."""
    return x.dim() == 4 and not x.is_contiguous() and x.is_contiguous(memory_format=torch.channels_last)


def memory_format_of(x: Tensor) -> torch.memory_format:
    """Return the memory format in which a result goes with `x`."""
    return torch.channels_last if is_channels_last(x) else torch.contiguous_format


def dense(x: Tensor) -> Tensor:
    """Return `x` contiguous or channels-last, with the strides that PyTorch itself would give it."""
    if x.is_contiguous():
        return x
    if x.dim() != 4 or not x.is_contiguous(memory_format=torch.channels_last):
        return x.contiguous()
    _, c, h, w = x.shape
    strides = (c * h * w, 1, w * c, c)
    return x if x.stride() == strides else x.as_strided(x.shape, strides)


def laid_out_as(grad: Tensor, x: Tensor) -> Tensor:
    """Return `grad` in the dtype, the memory format and the strides of `x`, which is dense."""
    return dense(grad.to(x.dtype).contiguous(memory_format=memory_format_of(x)))


def per_channel(vector: Tensor, x: Tensor) -> Tensor:
    """Return a vector (C,) such that it broadcasts over `x` (N, C, ...)."""
    return vector.view(-1, *(1,) * (x.dim() - 2))


def upsampled(x: Tensor) -> Tensor:
    """Return `x` of twice its height and width (nearest neighbour)."""
    return F.interpolate(x, scale_factor=2, mode="nearest")
