"""The convolution of class ids by Triton: every result adds up one weight per tap, chosen by the class there.

A first launch checks the ids and makes them channels, int32, which are also all that is kept for the backward. Forward:
a program owns a run of results of one sample and some filters, and reads rows of a table of weights, which is small
enough for the cache.

Backward: a gradient of weights is a product of the upstream gradient with the one-hot map, of which a program makes
the tile that it needs in registers. Zeros and ones are exact in every dtype, so that tensor cores can multiply 16-bit
gradients and sum in float32. Programs leave partial sums, which are added in a fixed order: nothing is atomic.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from vs_ops._layout import is_channels_last, memory_format_of
from vs_ops._precision import compute_dtype, convolution_dtype, without_autocast
from vs_ops.reference.label_conv2d import label_conv2d_reference
from vs_ops.reference.one_hot import require_known
from vs_ops.triton._launch import (
    FULL_GPU,
    blocks,
    differentiable,
    element_of,
    like,
    on_device_of,
    power_of_two,
    spread,
    strides,
)
from vs_ops.triton._registration import registered

_IDS = 1024
_ELEMENTS = 1024
_MIN_BLOCK, _ROWS = 16, 64
"""The smallest block that a product may have, and how many results the backward multiplies at a time."""
_PRODUCTS = {
    torch.float16: (tl.float16, "ieee"),
    torch.bfloat16: (tl.float32, "tf32"),  # which has every bfloat16; Triton's interpreter cannot multiply those
    torch.float32: (tl.float32, "ieee"),
    torch.float64: (tl.float64, "ieee"),
}
"""The types in which gradients are multiplied with zeros and ones, such that nothing is rounded."""


@triton.jit
def _channels(
    ids: tl.tensor,
    channels: tl.tensor,
    known: tl.tensor,
    numel: tl.tensor,
    classes: tl.tensor,
    ignore_id: tl.tensor,
    none: tl.tensor,
    block: tl.constexpr,
) -> None:
    """Turn a block of ids per program into channels: ignored ones into the one after the classes, wrong into `none`."""
    offsets = tl.program_id(0).to(tl.int64) * block + tl.arange(0, block)
    inside = offsets < numel
    value = tl.load(ids + offsets, mask=inside, other=0).to(tl.int64)
    ignored = value == ignore_id
    wrong = (value != ignore_id) & ((value < 0) | (value >= classes))
    # All programs that find a wrong id write the same: none waits for another, and nobody on the host.
    tl.store(known + tl.zeros((block,), tl.int32), tl.zeros((block,), tl.int32), mask=inside & wrong)
    value = tl.where(ignored, classes, tl.where(wrong, none, value))
    tl.store(channels + offsets, value.to(tl.int32), mask=inside)


@triton.jit
def _forward(
    channels: tl.tensor,
    table: tl.tensor,
    bias: tl.tensor,
    result: tl.tensor,
    classes: tl.tensor,
    filters: tl.tensor,
    height: tl.tensor,
    width: tl.tensor,
    places: tl.tensor,
    columns: tl.tensor,
    stride: tl.tensor,
    padding: tl.tensor,
    stride_n: tl.tensor,
    stride_c: tl.tensor,
    stride_p: tl.tensor,
    runs: tl.tensor,
    kernel: tl.constexpr,
    dtype: tl.constexpr,
    block_f: tl.constexpr,
    block_l: tl.constexpr,
) -> None:
    """Add up the weights that a run of results has chosen; `table` is (taps, classes, filters).

    Program (sample and run of its places, run of filters).
    """
    sample = (tl.program_id(0) // runs).to(tl.int64)
    place = tl.program_id(0) % runs * block_l + tl.arange(0, block_l)
    exists = place < places
    first_y = place // columns * stride - padding
    first_x = place % columns * stride - padding
    channels += sample * height * width
    row = tl.program_id(1) * block_f + tl.arange(0, block_f)[:, None]
    total = tl.zeros((block_f, block_l), dtype)
    if bias is not None:
        total += tl.load(bias + row, mask=row < filters, other=0.0).to(dtype)
    for tap in range(kernel * kernel):
        y, x = first_y + tap // kernel, first_x + tap % kernel
        inside = exists & (y >= 0) & (y < height) & (x >= 0) & (x < width)
        channel = tl.load(channels + y * width + x, mask=inside, other=classes)
        chosen = table + ((tap * classes + channel) * filters)[None, :] + row
        total += tl.load(chosen, mask=(channel < classes)[None, :] & (row < filters), other=0.0).to(dtype)
    at = sample * stride_n + row.to(tl.int64) * stride_c + (place * stride_p)[None, :]
    tl.store(result + at, total.to(result.dtype.element_ty), mask=(row < filters) & exists[None, :])


@triton.jit
def _backward(
    grad: tl.tensor,
    channels: tl.tensor,
    partials: tl.tensor,
    classes: tl.tensor,
    filters: tl.tensor,
    height: tl.tensor,
    width: tl.tensor,
    places: tl.tensor,
    columns: tl.tensor,
    stride: tl.tensor,
    padding: tl.tensor,
    stride_n: tl.tensor,
    stride_c: tl.tensor,
    stride_p: tl.tensor,
    rows: tl.tensor,
    piece: tl.tensor,
    class_runs: tl.tensor,
    kernel: tl.constexpr,
    operand: tl.constexpr,
    precision: tl.constexpr,
    dtype: tl.constexpr,
    block_k: tl.constexpr,
    block_f: tl.constexpr,
    block_l: tl.constexpr,
) -> None:
    """Multiply gradients with the one-hot map of a tap.

    Program (piece of the rows, tap, run of classes and of filters); a row is a place of a sample.
    """
    tap = tl.program_id(1)
    class_ = tl.program_id(2) % class_runs * block_k + tl.arange(0, block_k)[:, None]
    filter_ = tl.program_id(2) // class_runs * block_f + tl.arange(0, block_f)[None, :]
    total = tl.zeros((block_k, block_f), dtype)
    first = tl.program_id(0).to(tl.int64) * piece
    for start in range(0, piece, block_l):
        row = first + start + tl.arange(0, block_l)
        sample, place = row // places, (row % places).to(tl.int32)
        y = place // columns * stride - padding + tap // kernel
        x = place % columns * stride - padding + tap % kernel
        inside = (row < rows) & (y >= 0) & (y < height) & (x >= 0) & (x < width)
        channel = tl.load(channels + sample * height * width + y * width + x, mask=inside, other=-1)
        at = (sample * stride_n + place * stride_p)[:, None] + filter_ * stride_c
        upstream = tl.load(grad + at, mask=inside[:, None] & (filter_ < filters), other=0.0).to(operand)
        hit = (class_ == channel[None, :]).to(operand)
        total = tl.dot(hit, upstream, total, input_precision=precision, out_dtype=dtype)
    at = ((tl.program_id(0) * kernel * kernel + tap) * classes + class_) * filters + filter_
    tl.store(partials + at, total, mask=(class_ < classes) & (filter_ < filters))


def _geometry(channels: Tensor, result: Tensor, stride: int, padding: int) -> tuple[int, ...]:
    """Return what both kernels know of the map of ids and of the results: sizes, and the results' strides."""
    (height, width), (rows, columns) = channels.shape[1:], result.shape[2:]
    return height, width, rows * columns, columns, stride, padding, *strides(result)


def _empty_result(ids: Tensor, weight: Tensor, stride: int, padding: int, dtype: torch.dtype) -> Tensor:
    filters, _, k, _ = weight.shape
    size = ((extent + 2 * padding - k) // stride + 1 for extent in ids.shape[1:])
    return weight.new_empty((ids.shape[0], filters, *size), dtype=dtype).contiguous(
        memory_format=memory_format_of(weight)
    )


@registered("vs_ops::label_conv2d")
def label_conv2d(
    ids: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    dont_care: bool,
    ignore_id: int,
    stride: int,
    padding: int,
    dtype: torch.dtype,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return (result in `dtype`, channels of ids, known): `known`, an int32 scalar, is 0 if an id is wrong, else 1."""
    ids = ids.contiguous()
    filters, classes, k, _ = weight.shape
    channels = torch.empty(ids.shape, dtype=torch.int32, device=ids.device)
    known = torch.ones((), dtype=torch.int32, device=ids.device)
    result = _empty_result(ids, weight, stride, padding, dtype)
    table = weight.to(dtype).permute(2, 3, 1, 0).contiguous()
    shift = None if bias is None else bias.to(dtype).contiguous()
    geometry = _geometry(channels, result, stride, padding)
    block_f = power_of_two(filters, 64 if is_channels_last(result) else 16)
    block_l = power_of_two(geometry[2], _ELEMENTS // block_f)
    runs = blocks(geometry[2], block_l)
    with on_device_of(ids):
        _channels[(blocks(ids.numel(), _IDS),)](
            *(ids, channels, known, ids.numel(), classes - dont_care, ignore_id, classes), block=_IDS
        )
        _forward[(ids.shape[0] * runs, blocks(filters, block_f))](
            *(channels, table, shift, result, classes, filters, *geometry, runs),
            kernel=k,
            dtype=element_of(compute_dtype(table)),
            block_f=block_f,
            block_l=block_l,
        )
    return result, channels, known


@label_conv2d.register_fake
def _(
    ids: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    dont_care: bool,
    ignore_id: int,
    stride: int,
    padding: int,
    dtype: torch.dtype,
) -> tuple[Tensor, Tensor, Tensor]:
    channels = ids.new_empty(ids.shape, dtype=torch.int32)
    return _empty_result(ids, weight, stride, padding, dtype), channels, ids.new_empty((), dtype=torch.int32)


@registered("vs_ops::label_conv2d_backward")
def label_conv2d_backward(
    grad: Tensor,
    channels: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: int,
    padding: int,
    wanted: list[bool],
) -> list[Tensor]:
    """Return the wanted ones of the gradients in weight and bias, in their dtypes and memory formats."""
    grad = like(grad, weight)
    wide, found = compute_dtype(grad), []
    if wanted[0]:
        filters, classes, k, _ = weight.shape
        sums = _sums(grad, channels, classes, k, stride, padding).view(k, k, classes, filters).permute(3, 2, 0, 1)
        found.append(sums.to(weight.dtype).contiguous(memory_format=memory_format_of(weight)))
    if wanted[1] and bias is not None:
        found.append(grad.sum((0, 2, 3), dtype=wide).to(bias.dtype))
    return found


def _sums(grad: Tensor, channels: Tensor, classes: int, k: int, stride: int, padding: int) -> Tensor:
    """Return for every tap and class the sum of the gradients of results that took it, (taps, classes, filters)."""
    filters, wide = grad.shape[1], compute_dtype(grad)
    rows = grad.numel() // filters
    block_k, block_f = (max(power_of_two(extent, 64), _MIN_BLOCK) for extent in (classes, filters))
    class_runs, filter_runs = blocks(classes, block_k), blocks(filters, block_f)
    tiles = blocks(rows, _ROWS)
    piece = blocks(tiles, max(FULL_GPU // (k * k * class_runs * filter_runs), 1)) * _ROWS
    pieces = blocks(rows, piece)
    operand, precision = _PRODUCTS[grad.dtype]
    partials = torch.empty(pieces, k * k, classes, filters, dtype=wide, device=grad.device)
    with on_device_of(grad):
        _backward[(pieces, k * k, class_runs * filter_runs)](
            *(grad, channels, partials, classes, filters, *_geometry(channels, grad, stride, padding)),
            *(rows, piece, class_runs),
            kernel=k,
            operand=operand,
            precision=precision,
            dtype=element_of(wide),
            block_k=block_k,
            block_f=block_f,
            block_l=_ROWS,
        )
    return partials.sum(0)


@label_conv2d_backward.register_fake
def _(
    grad: Tensor,
    channels: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: int,
    padding: int,
    wanted: list[bool],
) -> list[Tensor]:
    grad_weight = torch.empty_like(weight, memory_format=memory_format_of(weight))
    grad_bias = None if bias is None else torch.empty_like(bias, memory_format=torch.contiguous_format)
    return [each for each, want in zip((grad_weight, grad_bias), wanted, strict=True) if want and each is not None]


def _remember(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor, Tensor]) -> None:
    _, weight, bias, _, _, ctx.stride, ctx.padding, ctx.dtype = inputs
    _, channels, known = output
    ctx.save_for_backward(weight, bias, channels)
    ctx.mark_non_differentiable(channels, known)
    ctx.set_materialize_grads(False)  # what has no gradient gets no zeros


def _gradient(ctx: Any, grad: Tensor | None, *_: None) -> tuple[Tensor | None, ...]:
    if grad is None:
        return (None,) * 8
    weight, bias, channels = ctx.saved_tensors
    wanted = list(ctx.needs_input_grad[1:3])
    if not torch.is_grad_enabled():
        found = label_conv2d_backward(grad, channels, weight, bias, ctx.stride, ctx.padding, wanted)
        return None, *spread(found, wanted), *(None,) * 5

    def reference(weight: Tensor, bias: Tensor | None) -> Tensor:
        # Channels are ids of that many classes; the one that a weight does not have is that of no class.
        shift = None if bias is None else bias.to(ctx.dtype)
        none = weight.shape[1]
        return label_conv2d_reference(channels, weight.to(ctx.dtype), shift, False, none, ctx.stride, ctx.padding)

    with without_autocast(grad):
        return None, *differentiable(reference, (weight, bias), (grad,), wanted), *(None,) * 5


label_conv2d.register_autograd(_gradient, setup_context=_remember)


def label_conv2d_triton(
    ids: Tensor, weight: Tensor, bias: Tensor | None, dont_care: bool, ignore_id: int, stride: int, padding: int
) -> Tensor:
    """Compute `vs_ops.label_conv2d`; without pixels there is nothing to launch."""
    if ids.numel() == 0:
        return label_conv2d_reference(ids, weight, bias, dont_care, ignore_id, stride, padding)
    dtype = convolution_dtype(weight)
    result, _, known = label_conv2d(ids, weight, bias, dont_care, ignore_id, stride, padding, dtype)
    require_known("label_conv2d", known, ids, weight.shape[1] - dont_care, ignore_id)
    return result
