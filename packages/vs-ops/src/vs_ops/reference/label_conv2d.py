"""`label_conv2d` as plain PyTorch, which makes the one-hot map and convolves it."""

import torch.nn.functional as F
from torch import Tensor

from vs_ops._layout import memory_format_of
from vs_ops.reference.one_hot import class_channels, ones_at


def label_conv2d_reference(
    ids: Tensor, weight: Tensor, bias: Tensor | None, dont_care: bool, ignore_id: int, stride: int, padding: int
) -> Tensor:
    """Compute `label_conv2d` readably."""
    channels = weight.shape[1]
    maps = ones_at(class_channels("label_conv2d", ids, channels - dont_care, ignore_id), channels, weight.dtype)
    order = memory_format_of(weight)
    # Not all of PyTorch's kernels return the gradient of a weight that is in neither order.
    return F.conv2d(maps, weight.contiguous(memory_format=order), bias, stride, padding).contiguous(memory_format=order)
