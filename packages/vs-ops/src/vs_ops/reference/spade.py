"""`spade` as plain PyTorch."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor

from vs_ops._layout import upsampled
from vs_ops._precision import compute_dtype
from vs_ops.reference.instance_norm import normalized


def spade_reference(
    x: Tensor, gamma_betas: Sequence[Tensor], eps: float, negative_slope: float | None, upsample: bool
) -> Tensor:
    """Compute `spade` readably."""
    result = normalized(upsampled(x.to(compute_dtype(x))) if upsample else x, eps)
    for gamma_beta in gamma_betas:
        gamma, beta = gamma_beta.to(result.dtype).chunk(2, dim=1)
        result = result * (1 + gamma) + beta
    if negative_slope is not None:
        result = F.leaky_relu(result, negative_slope)
    return result.to(x.dtype)
