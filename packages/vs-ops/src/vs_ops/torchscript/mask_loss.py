"""`mask_loss`, scripted."""

import torch
from torch import Tensor

from vs_ops._precision import compute_dtype
from vs_ops._scripting import scripted


@scripted
def _mask_loss(mask: Tensor, warped: Tensor, frame: Tensor, dtype: torch.dtype) -> Tensor:
    mask, warped, frame = mask.to(dtype), warped.to(dtype), frame.to(dtype)
    right = (1 - (warped - frame).abs().sum(dim=1, keepdim=True)).clamp(0, 1)
    return ((mask.abs() * right).sum() + ((mask - 1).abs() * (1 - right)).sum()) / max(mask.numel(), 1)


def mask_loss_torchscript(mask: Tensor, warped: Tensor, frame: Tensor) -> Tensor:
    """Compute `mask_loss` by TorchScript."""
    return _mask_loss(mask, warped, frame, compute_dtype(mask, warped, frame))
