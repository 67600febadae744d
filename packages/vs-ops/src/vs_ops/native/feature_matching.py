"""`feature_matching` in one pass over each layer, and one back."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from vs_ops._precision import compute_dtype, without_autocast
from vs_ops._refusals import refuse_empty
from vs_ops.dispatch import DescribedCall

_KINK = torch.finfo(torch.float32).tiny
"""Width of the smooth part of PyTorch's smooth L1, the loss that it computes in one pass: none but zero is in it."""


def feature_matching_native(fake: Sequence[Sequence[Tensor]], real: Sequence[Sequence[Tensor]]) -> Tensor:
    """Compute `feature_matching` by the smooth L1 loss, with a kink as sharp as there can be."""
    with without_autocast(fake[0][0]):
        distances = [
            _mean_l1(one, other)
            for fakes, reals in zip(fake, real, strict=True)
            for one, other in zip(fakes, reals, strict=True)
        ]
    return torch.stack(distances).sum() / len(fake)


def _mean_l1(one: Tensor, other: Tensor) -> Tensor:
    dtype = compute_dtype(one)
    if not one.numel():
        return one.to(dtype).sum()
    return F.smooth_l1_loss(one.to(dtype), other.detach().to(dtype), beta=_KINK)


def refuse_native(call: DescribedCall) -> str | None:
    """Refuse where a mean has nothing to divide by, and on devices where nobody has tried."""
    if call.device_type != "cpu":
        return "only tried on the CPU"
    return refuse_empty(call)
