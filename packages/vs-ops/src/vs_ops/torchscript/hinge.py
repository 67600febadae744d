"""The hinge losses, scripted."""

import torch
from torch import Tensor

from vs_ops._precision import compute_dtype
from vs_ops._scripting import scripted


@scripted
def _hinge(logits: Tensor, sign: float, dtype: torch.dtype) -> Tensor:
    return (1.0 + sign * logits.to(dtype)).relu().sum() / max(logits.numel(), 1)


@scripted
def _negative_mean(logits: Tensor, dtype: torch.dtype) -> Tensor:
    return -logits.to(dtype).sum() / max(logits.numel(), 1)


def hinge_d_real_torchscript(logits: Tensor) -> Tensor:
    """Compute `hinge_d_real` by TorchScript."""
    return _hinge(logits, -1.0, compute_dtype(logits))


def hinge_d_fake_torchscript(logits: Tensor) -> Tensor:
    """Compute `hinge_d_fake` by TorchScript."""
    return _hinge(logits, 1.0, compute_dtype(logits))


def hinge_g_torchscript(logits: Tensor) -> Tensor:
    """Compute `hinge_g` by TorchScript."""
    return _negative_mean(logits, compute_dtype(logits))
