"""`singular_values` as plain PyTorch."""

from collections.abc import Sequence

import torch
from torch import Tensor

from vs_ops._precision import compute_dtype


def singular_values_reference(weights: Sequence[Tensor], us: Sequence[Tensor], vs: Sequence[Tensor]) -> list[Tensor]:
    """Compute `singular_values` readably."""
    sigmas = []
    for weight, u, v in zip(weights, us, vs, strict=True):
        dtype = compute_dtype(weight)
        product = torch.mv(weight.flatten(1).to(dtype), v.detach().to(dtype, copy=True))
        sigmas.append(torch.dot(u.detach().to(dtype, copy=True), product))
    return sigmas
