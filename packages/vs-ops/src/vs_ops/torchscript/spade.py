"""`spade` with everything after the normalisation scripted."""

from collections.abc import Sequence

import torch
from torch import Tensor

from vs_ops._layout import upsampled
from vs_ops._scripting import scripted
from vs_ops.reference.instance_norm import normalized


@scripted
def _modulate(x: Tensor, gamma_betas: list[Tensor], negative_slope: float | None) -> Tensor:
    for gamma_beta in gamma_betas:
        gamma, beta = gamma_beta.to(x.dtype).chunk(2, dim=1)
        x = x * (1 + gamma) + beta
    if negative_slope is not None:
        x = torch.nn.functional.leaky_relu(x, negative_slope)
    return x


def spade_torchscript(
    x: Tensor, gamma_betas: Sequence[Tensor], eps: float, negative_slope: float | None, upsample: bool
) -> Tensor:
    """Compute `spade` by the reference's normalisation and scripted modulations."""
    slope = None if negative_slope is None else float(negative_slope)
    result = normalized(x, eps)
    if upsample:
        result = upsampled(result)
    return _modulate(result, list(gamma_betas), slope).to(x.dtype)
