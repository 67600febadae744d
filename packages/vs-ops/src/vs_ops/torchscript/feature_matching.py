"""`feature_matching` with the distance of one layer scripted."""

from collections.abc import Sequence

import torch
from torch import Tensor

from vs_ops._precision import compute_dtype
from vs_ops._scripting import scripted


@scripted
def _mean_l1(one: Tensor, other: Tensor, dtype: torch.dtype) -> Tensor:
    return (one.to(dtype) - other.to(dtype)).abs().sum() / max(one.numel(), 1)


def feature_matching_torchscript(fake: Sequence[Sequence[Tensor]], real: Sequence[Sequence[Tensor]]) -> Tensor:
    """Compute `feature_matching` by TorchScript, layer after layer."""
    distances = [
        _mean_l1(one, other.detach(), compute_dtype(one))
        for fakes, reals in zip(fake, real, strict=True)
        for one, other in zip(fakes, reals, strict=True)
    ]
    return torch.stack(distances).sum() / len(fake)
