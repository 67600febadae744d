"""`gelu` as plain PyTorch."""

import math

import torch
from torch import Tensor

from vs_ops._precision import compute_dtype


def gelu_reference(x: Tensor) -> Tensor:
    """Compute `gelu` readably, by the talk's five elementwise operations."""
    wide = x.to(compute_dtype(x))
    return (wide * 0.5 * (1.0 + torch.erf(wide / math.sqrt(2.0)))).to(x.dtype)
