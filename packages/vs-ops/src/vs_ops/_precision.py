"""The float32 islands: which dtype an operator computes in, and how autocast is kept out of it."""

from __future__ import annotations

import contextlib
from contextlib import AbstractContextManager

import torch

__all__ = ["compute_dtype", "without_autocast"]


def compute_dtype(*tensors: torch.Tensor) -> torch.dtype:
    """float64 if any tensor is float64, else float32."""
    return torch.float64 if any(tensor.dtype is torch.float64 for tensor in tensors) else torch.float32


def without_autocast(tensor: torch.Tensor) -> AbstractContextManager[object]:
    """A context in which autocast does not touch operators on the device of `tensor`; free when it is off anyway."""
    device_type = tensor.device.type
    if torch.is_autocast_enabled(device_type):
        return torch.autocast(device_type, enabled=False)
    return contextlib.nullcontext()
