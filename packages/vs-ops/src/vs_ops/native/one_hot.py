"""`one_hot` by putting ones into zeros."""

import torch
from torch import Tensor

from vs_ops.reference.one_hot import class_channels


def one_hot_native(ids: Tensor, num_classes: int, dont_care: bool, ignore_id: int, dtype: torch.dtype) -> Tensor:
    """Compute `one_hot` as zeros, into which a one is put for every pixel."""
    channel = class_channels("one_hot", ids, num_classes, ignore_id)[:, None]
    batch, _, height, width = channel.shape
    zeros = torch.zeros((batch, num_classes + dont_care, height, width), dtype=dtype, device=ids.device)
    if dont_care:
        return zeros.scatter_(1, channel, 1)
    known = (channel < num_classes).to(dtype)  # an ignored pixel has no channel: its zero may go to any
    return zeros.scatter_(1, channel.clamp_(max=num_classes - 1), known)
