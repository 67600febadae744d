"""`masked_l1`, scripted."""

import torch
from torch import Tensor

from vs_ops._precision import compute_dtype
from vs_ops._scripting import scripted
from vs_ops.reference.masked_l1 import TINY


@scripted
def _masked_l1(a: Tensor, b: Tensor, mask: Tensor, over_valid: bool, dtype: torch.dtype, tiny: float) -> Tensor:
    weights = mask.to(dtype)
    total = ((a.to(dtype) - b.to(dtype)).abs() * weights).sum()
    if over_valid:
        return total / (weights.expand_as(a).sum() + tiny)
    return total / max(a.numel(), 1)


def masked_l1_torchscript(a: Tensor, b: Tensor, mask: Tensor, over_valid: bool) -> Tensor:
    """Compute `masked_l1` by TorchScript."""
    return _masked_l1(a, b, mask, over_valid, compute_dtype(a, b), TINY)
