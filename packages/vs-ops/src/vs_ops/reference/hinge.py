"""The hinge losses as plain PyTorch."""

from torch import Tensor

from vs_ops._precision import compute_dtype, mean


def hinge_d_real_reference(logits: Tensor) -> Tensor:
    """Compute `hinge_d_real` readably."""
    return mean((1.0 - logits.to(compute_dtype(logits))).relu())


def hinge_d_fake_reference(logits: Tensor) -> Tensor:
    """Compute `hinge_d_fake` readably."""
    return mean((1.0 + logits.to(compute_dtype(logits))).relu())


def hinge_g_reference(logits: Tensor) -> Tensor:
    """Compute `hinge_g` readably."""
    return -mean(logits.to(compute_dtype(logits)))
