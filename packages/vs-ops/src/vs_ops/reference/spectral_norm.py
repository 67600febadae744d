"""`power_iteration` and `spectral_normalize` as plain PyTorch."""

import torch
from torch import Tensor

from vs_ops._precision import compute_dtype, without_autocast


def power_iteration_reference(weight_matrix: Tensor, u: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """Compute `power_iteration` readably."""
    with torch.no_grad(), without_autocast(weight_matrix):
        dtype = compute_dtype(weight_matrix)
        matrix = weight_matrix.to(dtype)
        new_v = torch.mv(matrix.t(), u.to(dtype))
        new_v = new_v / new_v.norm().clamp_min(eps)
        new_u = torch.mv(matrix, new_v)
        return new_u / new_u.norm().clamp_min(eps), new_v


def spectral_normalize_reference(weight: Tensor, u: Tensor, v: Tensor) -> Tensor:
    """Compute `spectral_normalize` readably."""
    with without_autocast(weight):
        dtype = compute_dtype(weight)
        u, v = u.detach().to(dtype, copy=True), v.detach().to(dtype, copy=True)
        wide = weight.to(dtype)
        return (wide / torch.dot(u, torch.mv(wide.flatten(1), v))).to(weight.dtype)
