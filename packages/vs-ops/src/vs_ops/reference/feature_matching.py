"""`feature_matching` as plain PyTorch."""

from collections.abc import Sequence

import torch
from torch import Tensor

from vs_ops._precision import compute_dtype, mean


def feature_matching_reference(fake: Sequence[Sequence[Tensor]], real: Sequence[Sequence[Tensor]]) -> Tensor:
    """Compute `feature_matching` readably."""
    distances = [
        mean_l1(one, other)
        for fakes, reals in zip(fake, real, strict=True)
        for one, other in zip(fakes, reals, strict=True)
    ]
    return torch.stack(distances).sum() / len(fake)


def mean_l1(one: Tensor, other: Tensor) -> Tensor:
    """Return the mean of |one - other| with `other` constant, in float32 or float64."""
    dtype = compute_dtype(one)
    return mean((one.to(dtype) - other.detach().to(dtype)).abs())
