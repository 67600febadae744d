"""`label_conv2d` by looking up and adding rows of weights, with the kernels of embeddings."""

import itertools
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from vs_ops._layout import memory_format_of
from vs_ops._precision import compute_dtype, convolution_dtype
from vs_ops._refusals import refuse_empty, refuse_other_devices, refuse_other_dtypes
from vs_ops.dispatch import DescribedCall
from vs_ops.reference.label_conv2d import label_conv2d_reference
from vs_ops.reference.one_hot import class_channels

_MIN_CLASSES = 16
"""Classes from which on it pays on the CPU not to make the one-hot map."""
_SEQUENTIAL_PIXELS = 1024
"""Rows that are added up one after the other."""
_CACHED_INDICES = 2**20
"""Indices that are looked up in one call, or those of one tap: more leave the cache."""


def label_conv2d_native(
    ids: Tensor, weight: Tensor, bias: Tensor | None, dont_care: bool, ignore_id: int, stride: int, padding: int
) -> Tensor:
    """Compute `label_conv2d` by looking up and adding rows of weights, forward and backward."""
    if ids.numel() == 0:
        return label_conv2d_reference(ids, weight, bias, dont_care, ignore_id, stride, padding)
    channels = class_channels("label_conv2d", ids, weight.shape[1] - dont_care, ignore_id, torch.int32)
    dtype = convolution_dtype(weight)
    wide = compute_dtype(weight)
    shift = None if bias is None else bias.to(dtype).to(wide)
    rows = _gather(weight.to(dtype).to(wide), shift, channels, stride, padding, dtype)
    return rows.permute(0, 3, 1, 2).contiguous(memory_format=memory_format_of(weight))


class _Gather(torch.autograd.Function):
    """The map from (weight, bias) to the result as rows (N, H2, W2, C_out); it is linear, its transpose `_Scatter`."""

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
        stride, padding, c, k = ctx.geometry
        grad_weight, grad_bias = _scatter(grad, channels, stride, padding, c, k, dtype)
        wants_bias = ctx.needs_input_grad[1]
        return grad_weight, grad_bias if wants_bias else None, None, None, None, None


class _Scatter(torch.autograd.Function):
    """The map from rows (N, H2, W2, C_out) to (weight, bias): every row is added to all weights `_Gather` took for it.

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
        # A margin of zeros, so that every pixel meets a row by every tap.
        margin = (k - 1) // stride
        height, width = height + margin, width + margin
        spread = rows.new_empty((n, height + margin, width + margin, c_out), dtype=dtype)
        for edge in (spread[:, :margin], spread[:, height:], spread[:, :, :margin], spread[:, :, width:]):
            edge.zero_()
        spread[:, margin:height, margin:width] = rows
        # Pixels apart by phases, where every tap is a whole number of rows away.
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
        stride, padding = ctx.geometry
        rows = _gather(grad_weight, grad_bias, channels, stride, padding, ctx.dtype)
        return rows, None, None, None, None, None, None


_gather: Callable[[Tensor, Tensor | None, Tensor, int, int, torch.dtype], Tensor] = _Gather.apply
_scatter: Callable[[Tensor, Tensor, int, int, int, int, torch.dtype], tuple[Tensor, Tensor]] = _Scatter.apply


def _index_dtype(count: int) -> torch.dtype:
    """Return the dtype in which the kernel of embeddings is told so many indices, and counts them."""
    return torch.int32 if count < 2**31 else torch.int64


def _windows(channels: Tensor, stride: int, padding: int, c: int, k: int) -> Tensor:
    """Return the row of the table of weights for every result and tap, (N, H2, W2, k * k); row c is of no class."""
    padded = F.pad(channels, (padding,) * 4, value=c)
    n, height, width = channels.shape[0], *((size - k) // stride + 1 for size in padded.shape[1:])
    dtype = _index_dtype(n * height * width * k * k)
    windows = channels.new_empty((n, height, width, k * k), dtype=dtype)
    for tap, (y, x) in enumerate(itertools.product(range(k), repeat=2)):  # loops of a whole line are the quicker ones
        met = padded[:, y::stride, x::stride][:, :height, :width]
        torch.add(met, tap * (c + 1), out=windows[..., tap])
    return windows


def _sums(spread: Tensor, phases: Tensor, margin: int, c: int) -> Tensor:
    """Return for every tap, phase and class the sum of the rows that have met it, (taps, P, C, C_out).

    Pixel (y, x) of the classes `phases` (P, N, H, W) meets by the first tap row (y, x), by the next row (y, x - 1), and
    so on, `margin` to the left and then up; `spread` (N, H + margin, W + margin, C_out) are the rows, with a margin of
    zeros on all sides.
    """
    device, (width, c_out) = spread.device, spread.shape[2:]
    # Parts of so few pixels that float32 sums of them are exact enough.
    count = phases[0].numel()
    parts = -(-count // _SEQUENTIAL_PIXELS)
    each = -(-count // parts)
    beyond = 0, parts * each - count
    dtype = _index_dtype(max(len(phases) * parts * each, _CACHED_INDICES))
    # Pixels sorted by phase, part and class, where each such group begins, and the row each meets by the first tap.
    keys = F.pad(phases.flatten(1), beyond, value=c).view(-1, each).to(dtype)
    ends = torch.arange(0, len(keys) * (c + 1), c + 1, dtype=dtype, device=device)
    keys, order = (keys + ends[:, None]).flatten().sort()
    starts = torch.searchsorted(keys, torch.arange(len(ends) * (c + 1), dtype=dtype, device=device)).to(dtype)
    position = torch.arange(spread[..., 0].numel(), dtype=dtype, device=device).view(spread.shape[:3])
    position = position[:, margin:, margin:].flatten()
    position = F.pad(position, beyond, value=margin * width + margin).expand(len(phases), -1).flatten()[order]
    # The other taps are as far from the first for all pixels, so that groups stay as they are.
    near = torch.arange(margin + 1, dtype=dtype, device=device)
    near = (near[:, None] * width + near).flatten()
    sums = []
    for some in near.split(max(1, _CACHED_INDICES // len(order))):
        before = torch.arange(0, len(some) * len(order), len(order), dtype=dtype, device=device)
        indices, bounds = (position - some[:, None]).flatten(), (starts + before[:, None]).flatten()
        bags = F.embedding_bag(indices, spread.view(-1, c_out), bounds, mode="sum")
        sums.append(bags.view(len(some) * len(phases), parts, c + 1, c_out).sum(1))
    return (sums[0] if len(sums) == 1 else torch.cat(sums))[:, :c]


def refuse_native(call: DescribedCall) -> str | None:
    """Refuse by the weight (C_out, C, k, k)."""
    reason = refuse_other_devices(call, "kernels of embeddings") or refuse_other_dtypes(call) or refuse_empty(call)
    if reason is not None or call.device_type != "cpu":
        return reason
    if call.shape[1] < _MIN_CLASSES or call.shape[-1] == 1:
        return f"on the CPU a convolution is quicker for less than {_MIN_CLASSES} classes or a kernel of one pixel"
    return None
