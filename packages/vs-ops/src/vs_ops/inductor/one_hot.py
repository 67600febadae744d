"""`one_hot` of which the one large tensor is compiled."""

import torch
from torch import Tensor

from vs_ops._compiling import compiled
from vs_ops.reference.one_hot import class_channels, ones_at

_compiled_ones_at = compiled(ones_at)


def one_hot_inductor(ids: Tensor, num_classes: int, dont_care: bool, ignore_id: int, dtype: torch.dtype) -> Tensor:
    """Compute `one_hot` by a compiled comparison; wrong ids are found before."""
    channel = class_channels("one_hot", ids, num_classes, ignore_id)
    return _compiled_ones_at(channel, num_classes + dont_care, dtype)
