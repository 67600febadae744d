"""`spectral_normalize_all` as plain PyTorch, and what it returns."""

from typing import NamedTuple

import torch
from torch import Tensor

from vs_ops._precision import compute_dtype
from vs_ops.reference.spectral_norm import power_iteration_reference, spectral_normalize_reference


class Normalised(NamedTuple):
    """The results of `spectral_normalize_all`: three lists in the order of the weights."""

    weights: list[Tensor]
    """(R, ...) each: weight / sigma."""
    us: list[Tensor]
    """(R,) each: left singular vectors after the iterations."""
    vs: list[Tensor]
    """(C,) each: right singular vectors after the iterations."""


def spectral_normalize_all_reference(
    weights: list[Tensor], us: list[Tensor], vs: list[Tensor], iterations: int, eps: float, dtype: torch.dtype | None
) -> Normalised:
    """Compute `spectral_normalize_all` readably: one weight after the other."""
    new_us, new_vs, normalised = [], [], []
    for weight, u, v in zip(weights, us, vs, strict=True):
        wide = compute_dtype(weight)
        u, v = u.detach().to(wide, copy=True), v.detach().to(wide, copy=True)
        for _ in range(iterations):
            u, v = power_iteration_reference(weight.flatten(1), u, eps)
        new_us.append(u)
        new_vs.append(v)
        result = spectral_normalize_reference(weight if dtype is None else weight.to(wide), u, v)
        normalised.append(result if dtype is None else result.to(dtype))
    return Normalised(normalised, new_us, new_vs)
