"""`instance_norm` as plain PyTorch."""

import torch
from torch import Tensor

from vs_ops._layout import per_channel
from vs_ops._precision import compute_dtype


def instance_norm_reference(x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float) -> Tensor:
    """Compute `instance_norm` readably."""
    result = normalized(x, eps)
    if weight is not None:
        result = result * per_channel(weight.to(result.dtype), x)
    if bias is not None:
        result = result + per_channel(bias.to(result.dtype), x)
    return result.to(x.dtype)


def normalized(x: Tensor, eps: float) -> Tensor:
    """Return `x` with mean 0 and variance 1 over space, in the dtype of the computation (float32 or float64)."""
    space = tuple(range(2, x.dim()))
    wide = x.to(compute_dtype(x))
    centred = wide - wide.mean(space, keepdim=True)
    variance = centred.square().mean(space, keepdim=True)
    return centred * torch.rsqrt(variance + eps)
