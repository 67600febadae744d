"""`one_hot` as plain PyTorch, and the check of class ids that all implementations share."""

import torch
from torch import Tensor

from vs_ops.errors import ClassIdError

_ORDERED = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)
"""Dtypes of which PyTorch finds the least and the largest element on the CPU."""


def one_hot_reference(ids: Tensor, num_classes: int, dont_care: bool, ignore_id: int, dtype: torch.dtype) -> Tensor:
    """Compute `one_hot` readably."""
    return ones_at(class_channels("one_hot", ids, num_classes, ignore_id), num_classes + dont_care, dtype)


def ones_at(channel: Tensor, channels: int, dtype: torch.dtype) -> Tensor:
    """Return zeros (N, channels, H, W) with a one where `channel` (N, H, W) says."""
    return (channel[:, None] == torch.arange(channels, device=channel.device)[:, None, None]).to(dtype)


def class_channels(
    operator: str, ids: Tensor, num_classes: int, ignore_id: int, dtype: torch.dtype = torch.int64
) -> Tensor:
    """Return the channel of every pixel in a new tensor: its class, and `num_classes` for ignored pixels.

    Raises:
        ClassIdError: an id is neither in [0, num_classes) nor `ignore_id`; as in `one_hot`.
    """
    if _are_classes(ids, num_classes, ignore_id):
        return ids.to(dtype, copy=True)
    channel = ids.to(torch.int64, copy=True)
    ignored = channel == ignore_id
    _require(operator, _known(channel, ignored, num_classes), ids, num_classes, ignore_id)
    return channel.masked_fill_(ignored, num_classes).to(dtype)


def require_known(operator: str, known: Tensor, ids: Tensor, num_classes: int, ignore_id: int) -> None:
    """Complain of wrong ids if `known`, a scalar that a kernel left, is 0; as in `one_hot`."""
    if ids.device.type == "cpu" and not torch.compiler.is_compiling():
        if bool(known):
            return
        known = _known(ids.to(torch.int64), ids == ignore_id, num_classes)
    _require(operator, known, ids, num_classes, ignore_id)


def _are_classes(ids: Tensor, num_classes: int, ignore_id: int) -> bool:
    """Return whether there is nothing but classes in `ids`, where the least and the largest id are quickly found."""
    if ids.device.type != "cpu" or torch.compiler.is_compiling() or ids.numel() == 0 or ids.dtype not in _ORDERED:
        return False
    low, high = (int(bound) for bound in ids.aminmax())
    return low >= 0 and high < num_classes and not low <= ignore_id <= high


def _known(ids: Tensor, ignored: Tensor, num_classes: int) -> Tensor:
    return (ids.clamp(0, num_classes - 1) == ids) | ignored


def _require(operator: str, known: Tensor, ids: Tensor, num_classes: int, ignore_id: int) -> None:
    if ids.device.type != "cpu" or torch.compiler.is_compiling():
        torch._assert_async(known.all(), f"{operator}: a class id is neither in [0, {num_classes}) nor {ignore_id}")
    elif not bool(known.all()):
        batch, row, column = (int(index) for index in (~known).nonzero()[0])
        raise ClassIdError(operator, int(ids[batch, row, column]), (batch, row, column), num_classes, ignore_id)
