"""One channel per class, made on the device from class ids, with out-of-range ids named instead of hidden."""

import torch
from jaxtyping import Float, Integer
from torch import Tensor

from vs_ops._compiling import compiled, refuse_inductor
from vs_ops._triton import refuse_integers
from vs_ops.dispatch import Implementation, Operator, select
from vs_ops.errors import ClassIdError, DtypeError, ShapeError, VsOpsError

__all__ = ["ONE_HOT", "one_hot"]


def one_hot(
    ids: Integer[Tensor, "n h w"],
    num_classes: int,
    *,
    dont_care: bool = False,
    ignore_id: int = 255,
    dtype: torch.dtype = torch.float32,
    impl: str = "auto",
) -> Float[Tensor, "n k h w"]:
    """Class ids (N, H, W) of any integer dtype to (N, num_classes, H, W) of zeros and ones.

    Pixels of `ignore_id` are zero in all of these channels; with `dont_care` one more channel at the end is one there.

    Raises:
        ClassIdError: an id is neither in [0, num_classes) nor `ignore_id`; names the first one and its position. On
            devices other than the CPU, and under `torch.compile`, an assertion on the device fails instead, so that
            nothing waits for it.
        DtypeError: `ids` are not integers.
        ShapeError: `ids` are not (N, H, W).
        VsOpsError: num_classes is less than one.
    """
    if ids.dim() != 3:
        raise ShapeError("one_hot", "ids must be (N, H, W)", ids=ids)
    if ids.is_floating_point() or ids.is_complex() or ids.dtype is torch.bool:
        raise DtypeError("one_hot", "ids", ids.dtype, "an integer dtype")
    if num_classes < 1:
        raise VsOpsError("one_hot", f"num_classes must be at least 1, got {num_classes}")
    return select(ONE_HOT, ids, impl)(ids, num_classes, dont_care, ignore_id, dtype)  # type: ignore[no-any-return]


def one_hot_reference(
    ids: Tensor, num_classes: int, dont_care: bool, ignore_id: int, dtype: torch.dtype, operator: str = "one_hot"
) -> Tensor:
    """`one_hot`, readable; `operator` is who complains of wrong ids."""
    return _ones_at(class_channels(operator, ids, num_classes, ignore_id), num_classes + dont_care, dtype)


def one_hot_native(ids: Tensor, num_classes: int, dont_care: bool, ignore_id: int, dtype: torch.dtype) -> Tensor:
    """`one_hot` as zeros, into which a one is put for every pixel."""
    channel = class_channels("one_hot", ids, num_classes, ignore_id)[:, None]
    batch, _, height, width = channel.shape
    zeros = torch.zeros((batch, num_classes + dont_care, height, width), dtype=dtype, device=ids.device)
    if dont_care:
        return zeros.scatter_(1, channel, 1)
    known = (channel < num_classes).to(dtype)  # an ignored pixel has no channel: its zero may go to any
    return zeros.scatter_(1, channel.clamp_(max=num_classes - 1), known)


def _ones_at(channel: Tensor, channels: int, dtype: torch.dtype) -> Tensor:
    return (channel[:, None] == torch.arange(channels, device=channel.device)[:, None, None]).to(dtype)


def class_channels(
    operator: str, ids: Tensor, num_classes: int, ignore_id: int, dtype: torch.dtype = torch.int64
) -> Tensor:
    """The channel of every pixel in a new tensor: its class, and `num_classes` for ignored pixels.

    Raises:
        ClassIdError: an id is neither in [0, num_classes) nor `ignore_id`; as in `one_hot`.
    """
    if _are_classes(ids, num_classes, ignore_id):
        return ids.to(dtype, copy=True)
    channel = ids.to(torch.int64, copy=True)
    ignored = channel == ignore_id
    _require(operator, _known(channel, ignored, num_classes), ids, num_classes, ignore_id)
    return channel.masked_fill_(ignored, num_classes).to(dtype)


def _are_classes(ids: Tensor, num_classes: int, ignore_id: int) -> bool:
    """Whether there is nothing but classes in `ids`, where the least and the largest id are quickly found."""
    if ids.device.type != "cpu" or torch.compiler.is_compiling() or ids.numel() == 0 or ids.dtype not in _ORDERED:
        return False
    low, high = (int(bound) for bound in ids.aminmax())
    return low >= 0 and high < num_classes and not low <= ignore_id <= high


_ORDERED = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)


def _known(ids: Tensor, ignored: Tensor, num_classes: int) -> Tensor:
    return (ids.clamp(0, num_classes - 1) == ids) | ignored


def _require(operator: str, known: Tensor, ids: Tensor, num_classes: int, ignore_id: int) -> None:
    if ids.device.type != "cpu" or torch.compiler.is_compiling():
        torch._assert_async(known.all(), f"{operator}: a class id is neither in [0, {num_classes}) nor {ignore_id}")
    elif not bool(known.all()):
        batch, row, column = (int(index) for index in (~known).nonzero()[0])
        raise ClassIdError(operator, int(ids[batch, row, column]), (batch, row, column), num_classes, ignore_id)


_compiled_ones_at = compiled(_ones_at)


def one_hot_inductor(ids: Tensor, num_classes: int, dont_care: bool, ignore_id: int, dtype: torch.dtype) -> Tensor:
    """`one_hot` with its one large tensor compiled; wrong ids are found before."""
    channel = class_channels("one_hot", ids, num_classes, ignore_id)
    return _compiled_ones_at(channel, num_classes + dont_care, dtype)  # type: ignore[no-any-return]


def require_known(operator: str, known: Tensor, ids: Tensor, num_classes: int, ignore_id: int) -> None:
    """Complain of wrong ids if `known`, a scalar that a kernel left, is 0; as in `one_hot`."""
    if ids.device.type == "cpu" and not torch.compiler.is_compiling():
        if bool(known):
            return
        known = _known(ids.to(torch.int64), ids == ignore_id, num_classes)
    _require(operator, known, ids, num_classes, ignore_id)


def one_hot_triton(ids: Tensor, num_classes: int, dont_care: bool, ignore_id: int, dtype: torch.dtype) -> Tensor:
    """`one_hot` by Triton."""
    from vs_ops.triton.one_hot import one_hot

    result, known = one_hot(ids, num_classes, dont_care, ignore_id, dtype)
    require_known("one_hot", known, ids, num_classes, ignore_id)
    return result  # type: ignore[no-any-return]


ONE_HOT = Operator(
    name="one_hot",
    implementations=(
        Implementation(name="reference", function=one_hot_reference),
        Implementation(name="native", function=one_hot_native),
        Implementation(name="inductor", function=one_hot_inductor, refuse=refuse_inductor),
        Implementation(name="triton", function=one_hot_triton, refuse=refuse_integers, compilable=True),
    ),
)
