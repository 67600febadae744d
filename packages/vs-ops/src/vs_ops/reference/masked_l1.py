"""`masked_l1` as plain PyTorch."""

from torch import Tensor

from vs_ops._precision import compute_dtype, mean

TINY = 1e-6
"""Added to the sum of the weights, which may be zero, before it divides."""


def masked_l1_reference(a: Tensor, b: Tensor, mask: Tensor, over_valid: bool) -> Tensor:
    """Compute `masked_l1` readably."""
    dtype = compute_dtype(a, b)
    weights = mask.to(dtype)
    distances = (a.to(dtype) - b.to(dtype)).abs() * weights
    return distances.sum() / (weights.expand_as(a).sum() + TINY) if over_valid else mean(distances)
