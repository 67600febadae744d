"""`gelu`, scripted."""

import math

import torch
from torch import Tensor

from vs_ops._precision import compute_dtype
from vs_ops._scripting import scripted


@scripted
def _gelu(x: Tensor, root: float, dtype: torch.dtype) -> Tensor:
    wide = x.to(dtype)
    return (wide * 0.5 * (1.0 + torch.erf(wide / root))).to(x.dtype)


def gelu_torchscript(x: Tensor) -> Tensor:
    """Compute `gelu` by TorchScript."""
    return _gelu(x, math.sqrt(2.0), compute_dtype(x))
