"""`singular_values` of the matrices as they lie in memory."""

from collections.abc import Sequence

import torch
from torch import Tensor

from vs_ops._matrices import as_matrix, reordered


def singular_values_native(weights: Sequence[Tensor], us: Sequence[Tensor], vs: Sequence[Tensor]) -> list[Tensor]:
    """Compute `singular_values` such that nobody copies a weight in channels-last order."""
    sigmas = []
    for weight, u, v in zip(weights, us, vs, strict=True):
        matrix = as_matrix(weight)
        u, v = _constant(u, matrix.dtype), reordered(_constant(v, matrix.dtype), weight, copy=False)
        if torch.is_grad_enabled() and weight.requires_grad:  # what backward reads, the caller may overwrite
            u, v = u.clone(), v.clone()
        sigmas.append(torch.dot(u, torch.mv(matrix, v)))
    return sigmas


def _constant(vector: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the vector in a dtype and without gradient; ask first, because most are, and layers are small."""
    if vector.requires_grad:
        vector = vector.detach()
    return vector if vector.dtype is dtype else vector.to(dtype)
