"""The float32 islands: which dtype an operator computes in, how autocast is kept out, and which order results have."""

from __future__ import annotations

import contextlib
from contextlib import AbstractContextManager

import torch
from torch import Tensor

__all__ = ["compute_dtype", "dense", "is_channels_last", "mean", "memory_format_of", "without_autocast"]


def compute_dtype(*tensors: Tensor) -> torch.dtype:
    """float64 if any tensor is float64, else float32."""
    for tensor in tensors:  # a generator would cost more than what it is asked for
        if tensor.dtype is torch.float64:
            return torch.float64
    return torch.float32


def mean(x: Tensor) -> Tensor:
    """The mean of all elements; zero of none."""
    return x.mean() if x.numel() else x.sum()


def without_autocast(tensor: Tensor) -> AbstractContextManager[object]:
    """A context in which autocast does not touch operators on the device of `tensor`; free when it is off anyway."""
    device_type = tensor.device.type
    if torch.is_autocast_enabled(device_type):
        return torch.autocast(device_type, enabled=False)
    return contextlib.nullcontext()


def is_channels_last(x: Tensor) -> bool:
    """Whether `x` is in channels-last order, and not in both orders at once."""
    return x.dim() == 4 and not x.is_contiguous() and x.is_contiguous(memory_format=torch.channels_last)


def memory_format_of(x: Tensor) -> torch.memory_format:
    """The memory format in which a result goes with `x`."""
    return torch.channels_last if is_channels_last(x) else torch.contiguous_format


def dense(x: Tensor) -> Tensor:
    """`x` contiguous or channels-last, with the strides that PyTorch itself would give it."""
    if x.is_contiguous():
        return x
    if x.dim() != 4 or not x.is_contiguous(memory_format=torch.channels_last):
        return x.contiguous()
    _, c, h, w = x.shape
    strides = (c * h * w, 1, w * c, c)
    return x if x.stride() == strides else x.as_strided(x.shape, strides)
