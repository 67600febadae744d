"""`spectral_normalize`, compiled but for the copies of its vectors."""

import torch
from torch import Tensor

from vs_ops._compiling import compiled
from vs_ops._precision import compute_dtype


@compiled
def _compiled_divide(weight: Tensor, u: Tensor, v: Tensor) -> Tensor:
    wide = weight.to(u.dtype)
    return (wide / torch.dot(u, torch.mv(wide.flatten(1), v))).to(weight.dtype)


def spectral_normalize_inductor(weight: Tensor, u: Tensor, v: Tensor) -> Tensor:
    """Compute `spectral_normalize`; the vectors are copied before, where the compiler cannot leave it out."""
    dtype = compute_dtype(weight)
    u, v = u.detach().to(dtype, copy=True), v.detach().to(dtype, copy=True)
    return _compiled_divide(weight, u, v)
