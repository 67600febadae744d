"""`spectral_normalize`, scripted."""

import torch
from torch import Tensor

from vs_ops._precision import compute_dtype, without_autocast
from vs_ops._scripting import scripted


@scripted
def _divide(weight: Tensor, u: Tensor, v: Tensor, dtype: torch.dtype) -> Tensor:
    wide = weight.to(dtype)
    return (wide / torch.dot(u, torch.mv(wide.flatten(1), v))).to(weight.dtype)


def spectral_normalize_torchscript(weight: Tensor, u: Tensor, v: Tensor) -> Tensor:
    """Compute `spectral_normalize` by TorchScript."""
    with without_autocast(weight):
        dtype = compute_dtype(weight)
        u, v = u.detach().to(dtype, copy=True), v.detach().to(dtype, copy=True)
        return _divide(weight, u, v, dtype)
