"""Convolution of a map of class ids as if it were one-hot, without making the one-hot map."""

import itertools
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Integer
from torch import Tensor

from vs_ops._precision import compute_dtype, memory_format_of
from vs_ops._triton import refuse_floats
from vs_ops.dispatch import DescribedCall, Implementation, Operator, select
from vs_ops.errors import DtypeError, ShapeError, VsOpsError
from vs_ops.one_hot import class_channels, one_hot_reference, require_known

__all__ = ["LABEL_CONV2D", "label_conv2d"]


def label_conv2d(
    ids: Integer[Tensor, "n h w"],
    weight: Float[Tensor, "c_out c k k"],
    bias: Float[Tensor, "c_out"] | None = None,
    *,
    dont_care: bool = False,
    ignore_id: int = 255,
    stride: int = 1,
    padding: int = 0,
    impl: str = "auto",
) -> Float[Tensor, "n c_out h2 w2"]:
    """Convolve the one-hot map of `ids`: every result is the sum of one weight per tap, chosen by the class there.

    Args:
        ids: class ids (N, H, W) of any integer dtype.
        weight: (C_out, C, k, k) for C classes; with `dont_care` for C - 1, and the last channel is that of `ignore_id`.
        bias: (C_out,); None leaves it out.
        dont_care: whether pixels of `ignore_id` have a channel; otherwise they contribute nothing.
        ignore_id: the id of pixels of no class.
        stride: of the convolution, the same on both axes.
        padding: on every side, less than k; what is there contributes nothing.
        impl: which implementation to use.

    It is a convolution: it computes in the dtype of `weight`, or under autocast in autocast's, sums in float32 at
    least, and the result has that dtype. The result is in channels-last order if `weight` is (a kernel of one pixel,
    which is in both orders, counts as contiguous), as the weights of a network in channels-last order are.
    Differentiable in weight and bias, any number of times.

    Raises:
        ClassIdError: an id is neither a class nor `ignore_id`; as in `one_hot`.
        ShapeError: shapes do not fit, or the kernel is larger than the padded `ids`.
        DtypeError: `ids` are not integers, or bias has another dtype than weight and no autocast makes them equal.
        VsOpsError: stride is not positive, or padding is not in [0, k).
    """
    _check(ids, weight, bias, dont_care, stride, padding)
    function = select(LABEL_CONV2D, weight, impl)
    return function(ids, weight, bias, dont_care, ignore_id, stride, padding)  # type: ignore[no-any-return]


def _check(ids: Tensor, weight: Tensor, bias: Tensor | None, dont_care: bool, stride: int, padding: int) -> None:
    if ids.dim() != 3:
        raise ShapeError("label_conv2d", "ids must be (N, H, W)", ids=ids)
    if ids.is_floating_point() or ids.is_complex() or ids.dtype is torch.bool:
        raise DtypeError("label_conv2d", "ids", ids.dtype, "an integer dtype")
    if weight.dim() != 4 or weight.shape[2] != weight.shape[3] or weight.shape[1] < 1 + dont_care:
        classes = "at least one class" + " and one channel more" * dont_care
        raise ShapeError("label_conv2d", f"weight must be (C_out, C, k, k) with C of {classes}", weight=weight)
    if bias is not None and bias.shape != weight.shape[:1]:
        raise ShapeError("label_conv2d", "bias must be (C_out,)", weight=weight, bias=bias)
    if stride < 1:
        raise VsOpsError("label_conv2d", f"stride must be positive, got {stride}")
    if not 0 <= padding < weight.shape[-1]:
        raise VsOpsError("label_conv2d", f"padding must be in [0, {weight.shape[-1]}), got {padding}")
    if min(ids.shape[1:]) + 2 * padding < weight.shape[-1]:
        raise ShapeError(
            "label_conv2d", f"the kernel is larger than ids with padding {padding}", ids=ids, weight=weight
        )
    by_autocast = torch.is_autocast_enabled(weight.device.type) and weight.dtype is not torch.float64
    if bias is not None and bias.dtype is not weight.dtype and (not by_autocast or bias.dtype is torch.float64):
        raise DtypeError("label_conv2d", "bias", bias.dtype, f"{weight.dtype} as weight")


def label_conv2d_reference(
    ids: Tensor, weight: Tensor, bias: Tensor | None, dont_care: bool, ignore_id: int, stride: int, padding: int
) -> Tensor:
    """`label_conv2d`, readable."""
    classes = weight.shape[1] - dont_care
    maps = one_hot_reference(ids, classes, dont_care, ignore_id, weight.dtype, operator="label_conv2d")
    order = memory_format_of(weight)
    # Not all of PyTorch's kernels return the gradient of a weight that is in neither order.
    return F.conv2d(maps, weight.contiguous(memory_format=order), bias, stride, padding).contiguous(memory_format=order)


def label_conv2d_native(
    ids: Tensor, weight: Tensor, bias: Tensor | None, dont_care: bool, ignore_id: int, stride: int, padding: int
) -> Tensor:
    """`label_conv2d` by looking up and adding rows of weights, forward and backward, with the kernel of embeddings."""
    if ids.numel() == 0:
        return label_conv2d_reference(ids, weight, bias, dont_care, ignore_id, stride, padding)
    channels = class_channels("label_conv2d", ids, weight.shape[1] - dont_care, ignore_id, torch.int32)
    dtype = _dtype_of_result(weight)
    wide = compute_dtype(weight)
    shift = None if bias is None else bias.to(dtype).to(wide)
    rows = _Gather.apply(weight.to(dtype).to(wide), shift, channels, stride, padding, dtype)  # type: ignore[no-untyped-call]
    return rows.permute(0, 3, 1, 2).contiguous(memory_format=memory_format_of(weight))  # type: ignore[no-any-return]


def _dtype_of_result(weight: Tensor) -> torch.dtype:
    """That of `weight`, or autocast's, as of any convolution."""
    device_type = weight.device.type
    if torch.is_autocast_enabled(device_type) and weight.dtype is not torch.float64:
        return torch.get_autocast_dtype(device_type)
    return weight.dtype


class _Gather(torch.autograd.Function):
    """(weight, bias) to the result as rows (N, H2, W2, C_out): a linear map, whose transpose is `_Scatter`."""

    @staticmethod
    def forward(
        ctx: Any,
        weight: Tensor,
        bias: Tensor | None,
        channels: Tensor,
        stride: int,
        padding: int,
        dtype: torch.dtype,
    ) -> Tensor:
        ctx.save_for_backward(channels)
        ctx.geometry = stride, padding, weight.shape[1], weight.shape[2]
        c_out, c, k, _ = weight.shape
        table = F.pad(weight.permute(2, 3, 1, 0).reshape(k * k, c, c_out), (0, 0, 0, 1))  # a row of zeros for no class
        if bias is not None:
            table[0] += bias  # of the first tap, which every sum has exactly once
        chosen = _windows(channels, stride, padding, c, k)
        rows = F.embedding_bag(chosen.flatten(0, 2), table.view(-1, c_out), mode="sum")
        return rows.to(dtype).view(*chosen.shape[:3], c_out)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        (channels,) = ctx.saved_tensors
        dtype = torch.promote_types(grad.dtype, torch.float32)
        grad_weight, grad_bias = _Scatter.apply(grad, channels, *ctx.geometry, dtype)  # type: ignore[no-untyped-call]
        wants_bias = ctx.needs_input_grad[1]
        return grad_weight, grad_bias if wants_bias else None, None, None, None, None


class _Scatter(torch.autograd.Function):
    """Rows (N, H2, W2, C_out) to (weight, bias): every row added to all weights that `_Gather` took for it.

    The pixels are sorted by class once; then the sum of a class and a tap is that of a bag of rows, and no two sums
    write to the same place. Pixels that are strides apart, a *phase*, meet the same taps, as if the stride were one.
    """

    @staticmethod
    def forward(
        ctx: Any, rows: Tensor, channels: Tensor, stride: int, padding: int, c: int, k: int, dtype: torch.dtype
    ) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(channels)
        ctx.geometry, ctx.dtype = (stride, padding), rows.dtype
        n, height, width, c_out = rows.shape
        margin = (k - 1) // stride
        height, width = height + margin, width + margin
        spread = rows.new_empty((n, height + margin, width + margin, c_out), dtype=dtype)
        for edge in (spread[:, :margin], spread[:, height:], spread[:, :, :margin], spread[:, :, width:]):
            edge.zero_()
        spread[:, margin:height, margin:width] = rows
        beyond = stride * height - channels.shape[1] - padding, stride * width - channels.shape[2] - padding
        padded = F.pad(channels, (padding, beyond[1], padding, beyond[0]), value=c)
        padded = padded.unflatten(2, (width, stride)).unflatten(1, (height, stride))
        phases = padded.permute(2, 4, 0, 1, 3).flatten(0, 1)
        sums = _sums(spread, phases, margin, c).view(margin + 1, margin + 1, stride, stride, c, c_out)
        # The taps in their order, and some that do not exist where the kernel is no multiple of the stride.
        sums = sums.transpose(1, 2).flatten(2, 3).flatten(0, 1)
        return sums[:k, :k].permute(3, 2, 0, 1), spread.sum((0, 1, 2))

    @staticmethod
    def backward(ctx: Any, grad_weight: Tensor, grad_bias: Tensor) -> tuple[Tensor | None, ...]:
        (channels,) = ctx.saved_tensors
        rows = _Gather.apply(grad_weight, grad_bias, channels, *ctx.geometry, ctx.dtype)  # type: ignore[no-untyped-call]
        return rows, None, None, None, None, None, None


_MANY_CLASSES = 16
_FEW_PIXELS = 1024  # are added up one after the other
_INDICES = 2**20  # are looked up in one call, or those of one tap: more leave the cache


def _index_dtype(count: int) -> torch.dtype:
    """In which the kernel of embeddings is told so many indices, and counts them."""
    return torch.int32 if count < 2**31 else torch.int64


def _windows(channels: Tensor, stride: int, padding: int, c: int, k: int) -> Tensor:
    """For every result and tap the row of the table of weights, (N, H2, W2, k * k); row c is that of no class."""
    padded = F.pad(channels, (padding,) * 4, value=c)
    n, height, width = channels.shape[0], *((size - k) // stride + 1 for size in padded.shape[1:])
    dtype = _index_dtype(n * height * width * k * k)
    windows = channels.new_empty((n, height, width, k * k), dtype=dtype)
    for tap, (y, x) in enumerate(itertools.product(range(k), repeat=2)):  # loops of a whole line are the quicker ones
        met = padded[:, y::stride, x::stride][:, :height, :width]
        torch.add(met, tap * (c + 1), out=windows[..., tap])
    return windows


def _sums(spread: Tensor, phases: Tensor, margin: int, c: int) -> Tensor:
    """For every tap, phase and class the sum of the rows that have met it, (taps, P, C, C_out).

    Pixel (y, x) of the classes `phases` (P, N, H, W) meets by the first tap row (y, x), by the next row (y, x - 1), and
    so on, `margin` to the left and then up; `spread` (N, H + margin, W + margin, C_out) are the rows, with a margin of
    zeros on all sides.
    """
    device, (width, c_out) = spread.device, spread.shape[2:]
    count = phases[0].numel()
    parts = -(-count // _FEW_PIXELS)
    each = -(-count // parts)
    beyond = 0, parts * each - count
    dtype = _index_dtype(max(len(phases) * parts * each, _INDICES))
    keys = F.pad(phases.flatten(1), beyond, value=c).view(-1, each).to(dtype)
    ends = torch.arange(0, len(keys) * (c + 1), c + 1, dtype=dtype, device=device)
    keys, order = (keys + ends[:, None]).flatten().sort()  # by phase, part and class
    starts = torch.searchsorted(keys, torch.arange(len(ends) * (c + 1), dtype=dtype, device=device)).to(dtype)
    position = torch.arange(spread[..., 0].numel(), dtype=dtype, device=device).view(spread.shape[:3])
    position = position[:, margin:, margin:].flatten()
    position = F.pad(position, beyond, value=margin * width + margin).expand(len(phases), -1).flatten()[order]
    near = torch.arange(margin + 1, dtype=dtype, device=device)
    near = (near[:, None] * width + near).flatten()
    sums = []
    for some in near.split(max(1, _INDICES // len(order))):
        before = torch.arange(0, len(some) * len(order), len(order), dtype=dtype, device=device)
        indices, bounds = (position - some[:, None]).flatten(), (starts + before[:, None]).flatten()
        bags = F.embedding_bag(indices, spread.view(-1, c_out), bounds, mode="sum")
        sums.append(bags.view(len(some) * len(phases), parts, c + 1, c_out).sum(1))
    return (sums[0] if len(sums) == 1 else torch.cat(sums))[:, :c]


def _refuse_native(call: DescribedCall) -> str | None:
    """What the weight (C_out, C, k, k) says."""
    if call.device_type not in ("cpu", "cuda"):
        return f"PyTorch's kernels of embeddings are not known to be right on {call.device_type}"
    if call.dtype not in (torch.float32, torch.float64, torch.bfloat16, torch.float16):
        return f"no kernel for {call.dtype}"
    if 0 in call.shape:
        return "the kernels need at least one element"
    if call.device_type == "cpu" and (call.shape[1] < _MANY_CLASSES or call.shape[-1] == 1):
        return f"on the CPU a convolution is quicker for less than {_MANY_CLASSES} classes or a kernel of one pixel"
    return None


def label_conv2d_triton(
    ids: Tensor, weight: Tensor, bias: Tensor | None, dont_care: bool, ignore_id: int, stride: int, padding: int
) -> Tensor:
    """`label_conv2d` by Triton: weights looked up forward, and a product with ones and zeros in registers backward."""
    from vs_ops.triton.label_conv2d import label_conv2d

    if ids.numel() == 0:
        return label_conv2d_reference(ids, weight, bias, dont_care, ignore_id, stride, padding)
    dtype = _dtype_of_result(weight)
    result, _, known = label_conv2d(ids, weight, bias, dont_care, ignore_id, stride, padding, dtype)
    require_known("label_conv2d", known, ids, weight.shape[1] - dont_care, ignore_id)
    return result  # type: ignore[no-any-return]


LABEL_CONV2D = Operator(
    name="label_conv2d",
    implementations=(
        Implementation(name="native", function=label_conv2d_native, refuse=_refuse_native),
        Implementation(name="reference", function=label_conv2d_reference),
        Implementation(name="triton", function=label_conv2d_triton, refuse=refuse_floats, compilable=True),
    ),
)
