"""`warp_and_blend` with the blending scripted."""

import torch
from torch import Tensor

from vs_ops._precision import compute_dtype
from vs_ops._scripting import scripted
from vs_ops.reference.warp import warp_reference


@scripted
def _blend(warped: Tensor, mask: Tensor, hallucinated: Tensor, dtype: torch.dtype) -> Tensor:
    weights = mask.to(dtype)
    return (weights * hallucinated.to(dtype) + (1 - weights) * warped.to(dtype)).to(warped.dtype)


def warp_and_blend_torchscript(
    image: Tensor, flow: Tensor, mask: Tensor, hallucinated: Tensor
) -> tuple[Tensor, Tensor]:
    """Compute `warp_and_blend` by the reference's warp and a scripted blend."""
    warped = warp_reference(image, flow)
    return _blend(warped, mask, hallucinated, compute_dtype(image)), warped
