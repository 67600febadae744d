"""`spectral_conv2d` as plain PyTorch."""

import torch.nn.functional as F
from torch import Tensor

from vs_ops._layout import memory_format_of
from vs_ops.reference.spectral_norm import spectral_normalize_reference


def spectral_conv2d_reference(
    x: Tensor, weight: Tensor, bias: Tensor, u: Tensor, v: Tensor, sigma: Tensor | None, stride: int, padding: int
) -> Tensor:
    """Compute `spectral_conv2d` readably; `sigma`, which is u^T W v, only saves others to compute it again."""
    del sigma
    normalised = spectral_normalize_reference(weight, u, v)
    # Not all of PyTorch's kernels return the gradient of a weight that is in neither order.
    normalised = normalised.contiguous(memory_format=memory_format_of(weight))
    return F.conv2d(x, normalised, bias, stride, padding).contiguous(memory_format=memory_format_of(x))
