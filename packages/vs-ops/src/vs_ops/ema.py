"""Exponential moving averages of many tensors at once, in place."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from vs_ops._triton import refuse_floats
from vs_ops.dispatch import Implementation, Operator, select
from vs_ops.errors import DtypeError, ShapeError, VsOpsError
from vs_ops.native.ema import ema_native
from vs_ops.reference.ema import ema_reference


def ema(
    averages: Sequence[Float[Tensor, "..."]],
    values: Sequence[Float[Tensor, "..."]],
    *,
    weight: float,
    scales: Sequence[Float[Tensor, ""]] | None = None,
    impl: str = "auto",
) -> None:
    """Move every average towards its value, in place: average <- average + weight * (scale * value - average).

    Args:
        averages: float32 or float64, of any shapes; each is overwritten.
        values: one per average, of its shape and of any floating dtype.
        weight: what the values count for, in [0, 1], as of `torch.lerp`: 1 - decay. 1 copies them.
        scales: one scalar tensor per value, on its device; None scales by one. With 1 / sigma of spectrally normalised
            weights, their average needs no normalised copy of them.
        impl: which implementation to use.

    Arithmetic is in the dtype of the average at least. Nothing is recorded for differentiation, and nothing waits for a
    device.

    Raises:
        VsOpsError: averages, values and scales differ in number, or weight is not in [0, 1].
        ShapeError: an average and its value differ in shape, or a scale is not a scalar.
        DtypeError: an average is neither float32 nor float64, or a value is not of a floating dtype.
    """
    count = len(averages)
    if len(values) != count or (scales is not None and len(scales) != count):
        given = f"{count} averages, {len(values)} values" + ("" if scales is None else f", {len(scales)} scales")
        raise VsOpsError("ema", f"expected as many values, and scales if any, as averages; got {given}")
    if not 0 <= weight <= 1:
        raise VsOpsError("ema", f"weight must be in [0, 1], got {weight}")
    for index, (average, value) in enumerate(zip(averages, values, strict=True)):
        _check(index, average, value, None if scales is None else scales[index])
    if averages:
        select(EMA, averages[0], impl)(averages, values, weight, scales)


def _check(index: int, average: Tensor, value: Tensor, scale: Tensor | None) -> None:
    if average.shape != value.shape:
        raise ShapeError("ema", f"averages[{index}] and its value must have one shape", average=average, value=value)
    if scale is not None and scale.dim() != 0:
        raise ShapeError("ema", f"scales[{index}] must be a scalar", scale=scale)
    if average.dtype not in (torch.float32, torch.float64):
        raise DtypeError("ema", f"averages[{index}]", average.dtype, "float32 or float64")
    if not value.is_floating_point():
        raise DtypeError("ema", f"values[{index}]", value.dtype, "of a floating dtype")


def _triton(
    averages: Sequence[Tensor], values: Sequence[Tensor], weight: float, scales: Sequence[Tensor] | None
) -> None:
    from vs_ops.triton.ema import ema_triton  # here, because Triton is optional

    ema_triton(averages, values, weight, scales)


EMA = Operator(
    name="ema",
    implementations=(
        Implementation(name="native", function=ema_native),
        Implementation(name="reference", function=ema_reference),
        Implementation(name="triton", function=_triton, refuse=refuse_floats, compilable=True),
    ),
    example_shape=(256, 256, 3, 3),
    example_dtypes=(torch.float32,),
)
