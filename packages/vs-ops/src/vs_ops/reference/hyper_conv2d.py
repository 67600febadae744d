"""`hyper_conv2d` as plain PyTorch."""

import torch
import torch.nn.functional as F
from torch import Tensor


def hyper_conv2d_reference(x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int) -> Tensor:
    """Compute `hyper_conv2d` readably, sample after sample."""
    if x.shape[0] == 0:
        return _of_empty_batch(x, weight, bias, stride, padding)
    biases = [None] * x.shape[0] if bias is None else bias.unbind()
    samples = zip(x.split(1), weight.unbind(), biases, strict=True)
    return torch.cat([F.conv2d(one, own, shift, stride, padding) for one, own, shift in samples])


def _of_empty_batch(x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int) -> Tensor:
    """Return the result for no samples: sums over none give shape and dtype, and a graph to all arguments."""
    return F.conv2d(x, weight.sum(0), None if bias is None else bias.sum(0), stride, padding)
