"""Weights as the matrices that lie in memory, for operators on the singular vectors of many layers."""

import torch
from torch import Tensor

from vs_ops._layout import is_channels_last
from vs_ops._precision import compute_dtype


def as_matrix(tensor: Tensor, like: Tensor | None = None) -> Tensor:
    """Return (R, ...) as the (R, C) matrix that lies in memory, in the dtype of the computation.

    The columns of a channels-last weight are in the order (height, width, channel). With `like` they get the order of
    that tensor's.
    """
    if is_channels_last(tensor if like is None else like):
        tensor = tensor.permute(0, 2, 3, 1)
    matrix, dtype = tensor.flatten(1), compute_dtype(tensor)
    return matrix if matrix.dtype is dtype else matrix.to(dtype)


def as_weight(matrix: Tensor, weight: Tensor) -> Tensor:
    """Return the (R, C) matrix of `as_matrix` in the shape of `weight`."""
    if is_channels_last(weight):
        r, c, h, w = weight.shape
        return matrix.view(r, h, w, c).permute(0, 3, 1, 2)
    return matrix.view(weight.shape)


def reordered(vector: Tensor, weight: Tensor, *, back: bool = False, copy: bool = True) -> Tensor:
    """Return a right singular vector in the order of the columns of `as_matrix(weight)`, or back from it.

    Without `copy` it is the vector itself where the orders are one.
    """
    if not is_channels_last(weight):
        return vector.clone() if copy else vector
    _, c, h, w = weight.shape
    sides = (h * w, c) if back else (c, h * w)
    return vector.view(sides).t().clone(memory_format=torch.contiguous_format).flatten()
