"""Checks of arguments that several operators have in common."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from vs_ops.errors import DtypeError, ShapeError, VsOpsError


def check_layers(operator: str, weights: Sequence[Tensor], us: Sequence[Tensor], vs: Sequence[Tensor]) -> None:
    """Refuse lists of which not every weight (R, ...) has a u (R,) and a v (C,)."""
    if not len(weights) == len(us) == len(vs):
        counts = f"{len(weights)} weights, {len(us)} us and {len(vs)} vs"
        raise VsOpsError(operator, f"expected lists of one length, got {counts}")
    for index, (weight, u, v) in enumerate(zip(weights, us, vs, strict=True)):
        rows, *columns = weight.shape if weight.dim() > 1 else (-1,)
        if u.shape != (rows,) or v.shape != (math.prod(columns),):
            problem = f"number {index}: expected weight (R, ...), u (R,), v (C,)"
            raise ShapeError(operator, problem, weight=weight, u=u, v=v)


def check_ids(operator: str, ids: Tensor) -> None:
    """Refuse class ids that are not integers (N, H, W)."""
    if ids.dim() != 3:
        raise ShapeError(operator, "ids must be (N, H, W)", ids=ids)
    if ids.is_floating_point() or ids.is_complex() or ids.dtype is torch.bool:
        raise DtypeError(operator, "ids", ids.dtype, "an integer dtype")


def check_convolution_dtypes(operator: str, name: str, leader: Tensor, /, **others: Tensor | None) -> None:
    """Refuse tensors of another dtype than the leader's, which is called `name`, unless autocast makes them equal."""
    by_autocast = torch.is_autocast_enabled(leader.device.type) and leader.dtype is not torch.float64
    for other, tensor in others.items():
        if tensor is None or tensor.dtype is leader.dtype or (by_autocast and tensor.dtype is not torch.float64):
            continue
        raise DtypeError(operator, other, tensor.dtype, f"{leader.dtype} as {name}")
