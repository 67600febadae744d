"""`upsample_conv2d` as plain PyTorch."""

import torch.nn.functional as F
from torch import Tensor

from vs_ops._layout import memory_format_of, upsampled


def upsample_conv2d_reference(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Compute `upsample_conv2d` readably."""
    # Not all of PyTorch's kernels return the gradient of a weight that is in neither order.
    weight = weight.contiguous(memory_format=memory_format_of(weight))
    result = F.conv2d(upsampled(x), weight, bias, padding=weight.shape[-1] // 2)
    return result.contiguous(memory_format=memory_format_of(x))
