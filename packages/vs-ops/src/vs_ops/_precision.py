"""The float32 islands: which dtype an operator computes in, and how autocast is kept out."""

import contextlib
from contextlib import AbstractContextManager

import torch
from torch import Tensor


def compute_dtype(*tensors: Tensor) -> torch.dtype:
    """Return float64 if any tensor is float64, else float32."""
    for tensor in tensors:  # a generator would cost more than what it is asked for
        if tensor.dtype is torch.float64:
            return torch.float64
    return torch.float32


def convolution_dtype(weight: Tensor) -> torch.dtype:
    """Return the dtype in which a convolution with `weight` computes: its own, or autocast's."""
    device_type = weight.device.type
    if torch.is_autocast_enabled(device_type) and weight.dtype is not torch.float64:
        return torch.get_autocast_dtype(device_type)
    return weight.dtype


def mean(x: Tensor) -> Tensor:
    """Return the mean of all elements; zero of none."""
    return x.mean() if x.numel() else x.sum()


def without_autocast(tensor: Tensor) -> AbstractContextManager[object]:
    """Return a context in which autocast leaves operators on the device of `tensor` alone; free when it is off."""
    device_type = tensor.device.type
    if torch.is_autocast_enabled(device_type):
        return torch.autocast(device_type, enabled=False)
    return contextlib.nullcontext()
