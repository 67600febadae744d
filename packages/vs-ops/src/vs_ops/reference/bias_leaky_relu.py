"""`bias_leaky_relu` as plain PyTorch."""

import torch.nn.functional as F
from torch import Tensor

from vs_ops._layout import per_channel
from vs_ops._precision import compute_dtype


def bias_leaky_relu_reference(x: Tensor, bias: Tensor, negative_slope: float) -> Tensor:
    """Compute `bias_leaky_relu` readably."""
    dtype = compute_dtype(x)
    return F.leaky_relu(x.to(dtype) + per_channel(bias.to(dtype), x), negative_slope).to(x.dtype)
