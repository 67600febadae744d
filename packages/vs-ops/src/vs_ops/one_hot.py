"""One channel per class, made on the device from class ids, with out-of-range ids named instead of hidden."""

import torch
from jaxtyping import Float, Integer
from torch import Tensor

from vs_ops._checks import check_ids
from vs_ops._compiling import refuse_inductor
from vs_ops._triton import refuse_integers
from vs_ops.dispatch import Implementation, Operator, select
from vs_ops.errors import VsOpsError
from vs_ops.inductor.one_hot import one_hot_inductor
from vs_ops.native.one_hot import one_hot_native
from vs_ops.reference.one_hot import one_hot_reference


def one_hot(
    ids: Integer[Tensor, "n h w"],
    num_classes: int,
    *,
    dont_care: bool = False,
    ignore_id: int = 255,
    dtype: torch.dtype = torch.float32,
    impl: str = "auto",
) -> Float[Tensor, "n k h w"]:
    """Turn class ids (N, H, W) of any integer dtype into (N, num_classes, H, W) of zeros and ones.

    Pixels of `ignore_id` are zero in all of these channels; with `dont_care` one more channel at the end is one there.

    Raises:
        ClassIdError: an id is neither in [0, num_classes) nor `ignore_id`; names the first one and its position. On
            devices other than the CPU, and under `torch.compile`, an assertion on the device fails instead, so that
            nothing waits for it.
        DtypeError: `ids` are not integers.
        ShapeError: `ids` are not (N, H, W).
        VsOpsError: num_classes is less than one.
    """
    check_ids("one_hot", ids)
    if num_classes < 1:
        raise VsOpsError("one_hot", f"num_classes must be at least 1, got {num_classes}")
    return select(ONE_HOT, ids, impl)(ids, num_classes, dont_care, ignore_id, dtype)


def _triton(ids: Tensor, num_classes: int, dont_care: bool, ignore_id: int, dtype: torch.dtype) -> Tensor:
    from vs_ops.triton.one_hot import one_hot_triton  # here, because Triton is optional

    return one_hot_triton(ids, num_classes, dont_care, ignore_id, dtype)


ONE_HOT = Operator(
    name="one_hot",
    implementations=(
        Implementation(name="reference", function=one_hot_reference),
        Implementation(name="native", function=one_hot_native),
        Implementation(name="inductor", function=one_hot_inductor, refuse=refuse_inductor),
        Implementation(name="triton", function=_triton, refuse=refuse_integers, compilable=True),
    ),
    example_shape=(1, 128, 256),
    example_dtypes=(torch.uint8,),
)
