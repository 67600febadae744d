"""Masked L1 by Triton: one read of both tensors and of the mask, which is not expanded to their channels.

A program owns a run of pixels of one sample and goes through the channels, so that it reads a mask of one channel once
and sums its gradient without atomics. A tile is channels x pixels; whichever of the two has stride one
(which Triton knows when it compiles) gets neighbouring lanes, in NCHW and in channels-last order alike.
"""

from collections.abc import Sequence
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from vs_ops._layout import dense
from vs_ops._precision import compute_dtype
from vs_ops.reference.masked_l1 import TINY, masked_l1_reference
from vs_ops.triton._launch import (
    blocks,
    differentiable,
    element_of,
    like,
    on_device_of,
    power_of_two,
    spread,
    strides,
    tile,
)
from vs_ops.triton._registration import registered

_BLOCK = 1024


@triton.jit
def _forward(
    a: tl.tensor,
    b: tl.tensor,
    mask: tl.tensor,
    partials: tl.tensor,
    channels: tl.tensor,
    pixels: tl.tensor,
    stride_n: tl.tensor,
    stride_c: tl.tensor,
    stride_p: tl.tensor,
    mask_stride_n: tl.tensor,
    mask_stride_c: tl.tensor,
    mask_stride_p: tl.tensor,
    dtype: tl.constexpr,
    block_c: tl.constexpr,
    block_l: tl.constexpr,
) -> None:
    """Store two partial sums in program (run of pixels, sample): of the weighted distances, and of the weights."""
    pixel = tl.program_id(0) * block_l + tl.arange(0, block_l)[None, :]
    sample = tl.program_id(1).to(tl.int64)
    a += sample * stride_n
    b += sample * stride_n
    mask += sample * mask_stride_n
    distances = tl.zeros((block_c, block_l), dtype)
    weights = tl.zeros((block_c, block_l), dtype)
    for start in range(0, channels, block_c):
        channel = start + tl.arange(0, block_c)[:, None]
        inside = (channel < channels) & (pixel < pixels)
        offsets = channel * stride_c + pixel * stride_p
        one = tl.load(a + offsets, mask=inside, other=0.0).to(dtype)
        other = tl.load(b + offsets, mask=inside, other=0.0).to(dtype)
        weight = tl.load(mask + channel * mask_stride_c + pixel * mask_stride_p, mask=inside, other=0.0).to(dtype)
        distances += tl.abs(one - other) * weight
        weights += weight
    program = sample * tl.num_programs(0) + tl.program_id(0)
    tl.store(partials + 2 * program, tl.sum(tl.sum(distances, axis=1), axis=0))
    tl.store(partials + 2 * program + 1, tl.sum(tl.sum(weights, axis=1), axis=0))


@triton.jit
def _finish(
    partials: tl.tensor,
    loss: tl.tensor,
    divisor: tl.tensor,
    count: tl.tensor,
    numel: tl.tensor,
    over_valid: tl.constexpr,
    tiny: tl.constexpr,
    block: tl.constexpr,
) -> None:
    """Add up the partial sums in a fixed order, and divide by the weights' or by the elements' number."""
    lanes = tl.arange(0, block)
    total = tl.zeros((block,), partials.dtype.element_ty)
    weight = tl.zeros((block,), partials.dtype.element_ty)
    for start in range(0, count, block):
        inside = start + lanes < count
        total += tl.load(partials + 2 * (start + lanes), mask=inside, other=0.0)
        weight += tl.load(partials + 2 * (start + lanes) + 1, mask=inside, other=0.0)
    if over_valid:
        by = tl.sum(weight, axis=0) + tiny
    else:
        by = numel + tl.sum(tl.zeros((block,), partials.dtype.element_ty), axis=0)
    tl.store(divisor, by)
    tl.store(loss, tl.sum(total, axis=0) / by)


@triton.jit
def _backward(
    grad: tl.tensor,
    loss: tl.tensor,
    divisor: tl.tensor,
    a: tl.tensor,
    b: tl.tensor,
    mask: tl.tensor,
    grad_a: tl.tensor,
    grad_b: tl.tensor,
    grad_mask: tl.tensor,
    channels: tl.tensor,
    pixels: tl.tensor,
    stride_n: tl.tensor,
    stride_c: tl.tensor,
    stride_p: tl.tensor,
    mask_stride_n: tl.tensor,
    mask_stride_c: tl.tensor,
    mask_stride_p: tl.tensor,
    over_valid: tl.constexpr,
    broadcast: tl.constexpr,
    dtype: tl.constexpr,
    block_c: tl.constexpr,
    block_l: tl.constexpr,
) -> None:
    """Go through the same tiles again; a broadcast mask's gradient is summed over the channels here.

    Gradients that nobody wants are None.
    """
    line = tl.program_id(0) * block_l + tl.arange(0, block_l)
    pixel = line[None, :]
    sample = tl.program_id(1).to(tl.int64)
    size = tl.load(grad).to(dtype) / tl.load(divisor).to(dtype)
    mean = tl.load(loss).to(dtype)
    summed = tl.zeros((block_l,), dtype)
    for start in range(0, channels, block_c):
        channel = start + tl.arange(0, block_c)[:, None]
        inside = (channel < channels) & (pixel < pixels)
        offsets = sample * stride_n + channel * stride_c + pixel * stride_p
        mask_offsets = sample * mask_stride_n + channel * mask_stride_c + pixel * mask_stride_p
        one = tl.load(a + offsets, mask=inside, other=0.0).to(dtype)
        other = tl.load(b + offsets, mask=inside, other=0.0).to(dtype)
        weight = tl.load(mask + mask_offsets, mask=inside, other=0.0).to(dtype) * size
        slope = tl.where(one > other, weight, tl.where(one < other, -weight, (one - other) * weight))
        if grad_a is not None:
            tl.store(grad_a + offsets, slope.to(grad_a.dtype.element_ty), mask=inside)
        if grad_b is not None:
            tl.store(grad_b + offsets, (-slope).to(grad_b.dtype.element_ty), mask=inside)
        if grad_mask is not None:
            # With "valid" the mask also moves the divisor: d(total / W) = (d total - loss dW) / W.
            mask_slope = (tl.abs(one - other) - mean) * size if over_valid else tl.abs(one - other) * size
            if broadcast:
                summed += tl.sum(tl.where(inside, mask_slope, 0.0), axis=0)
            else:
                tl.store(grad_mask + mask_offsets, mask_slope.to(grad_mask.dtype.element_ty), mask=inside)
    if broadcast and grad_mask is not None:
        offsets = sample * mask_stride_n + line * mask_stride_p
        tl.store(grad_mask + offsets, summed.to(grad_mask.dtype.element_ty), mask=line < pixels)


def _arranged(a: Tensor, b: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor, tuple[int, ...]]:
    """Return all three in the memory format of `a`, then (channels, pixels) and the strides of `a` and of the mask."""
    a = dense(a)
    mask = like(mask, a)
    channels, pixels = a.shape[1], a[0, 0].numel()
    mask_strides = strides(mask)
    if mask.shape[1] == 1:  # one channel, which all read: its stride is none
        mask_strides = (pixels, 0, 1)
    return a, like(b, a), mask, (channels, pixels, *strides(a), *mask_strides)


@registered("vs_ops::masked_l1")
def masked_l1(a: Tensor, b: Tensor, mask: Tensor, over_valid: bool) -> tuple[Tensor, Tensor]:
    """Return (loss, divisor): the loss, and what its sum was divided by, for the backward."""
    dtype, numel = compute_dtype(a, b), a.numel()
    a, b, mask, layout = _arranged(a, b, mask)
    block_c, block_l = tile(a, _BLOCK)
    grid = (blocks(layout[1], block_l), a.shape[0])
    partials = torch.empty(grid[0] * grid[1], 2, dtype=dtype, device=a.device)
    loss, divisor = torch.empty((), dtype=dtype, device=a.device), torch.empty((), dtype=dtype, device=a.device)
    with on_device_of(a):
        _forward[grid](a, b, mask, partials, *layout, dtype=element_of(dtype), block_c=block_c, block_l=block_l)
        count = len(partials)
        block = power_of_two(count, _BLOCK)
        _finish[(1,)](partials, loss, divisor, count, numel, over_valid=over_valid, tiny=TINY, block=block)
    return loss, divisor


@masked_l1.register_fake
def _(a: Tensor, b: Tensor, mask: Tensor, over_valid: bool) -> tuple[Tensor, Tensor]:
    dtype = compute_dtype(a, b)
    return a.new_empty((), dtype=dtype), a.new_empty((), dtype=dtype)


@registered("vs_ops::masked_l1_backward")
def masked_l1_backward(
    grad: Tensor,
    loss: Tensor,
    divisor: Tensor,
    a: Tensor,
    b: Tensor,
    mask: Tensor,
    over_valid: bool,
    wanted: Sequence[bool],
) -> list[Tensor]:
    """Return the wanted ones of the gradients in a, b and mask, in their dtypes and in the memory format of `a`."""
    a, b, mask, layout = _arranged(a, b, mask)
    grads = [torch.empty_like(each) if want else None for each, want in zip((a, b, mask), wanted, strict=True)]
    block_c, block_l = tile(a, _BLOCK)
    with on_device_of(a):
        _backward[(blocks(layout[1], block_l), a.shape[0])](
            *(grad, loss, divisor, a, b, mask, *grads, *layout),
            over_valid=over_valid,
            broadcast=mask.shape[1] == 1,
            dtype=element_of(loss.dtype),
            block_c=block_c,
            block_l=block_l,
        )
    return [each for each in grads if each is not None]


@masked_l1_backward.register_fake
def _(
    grad: Tensor,
    loss: Tensor,
    divisor: Tensor,
    a: Tensor,
    b: Tensor,
    mask: Tensor,
    over_valid: bool,
    wanted: Sequence[bool],
) -> list[Tensor]:
    a = dense(a)
    arranged = a, like(b, a), like(mask, a)
    return [torch.empty_like(each) for each, want in zip(arranged, wanted, strict=True) if want]


def _remember(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor, bool], output: tuple[Tensor, Tensor]) -> None:
    a, b, mask, ctx.over_valid = inputs
    ctx.save_for_backward(a, b, mask, *output)
    ctx.mark_non_differentiable(output[1])


def _gradient(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
    a, b, mask, loss, divisor = ctx.saved_tensors
    wanted = list(ctx.needs_input_grad[:3])
    if torch.is_grad_enabled():

        def reference(a: Tensor, b: Tensor, mask: Tensor) -> Tensor:
            return masked_l1_reference(a, b, mask, ctx.over_valid)

        return *differentiable(reference, (a, b, mask), (grad,), wanted), None
    found = masked_l1_backward(grad, loss, divisor, a, b, mask, ctx.over_valid, wanted)
    return *spread(found, wanted), None


masked_l1.register_autograd(_gradient, setup_context=_remember)


def masked_l1_triton(a: Tensor, b: Tensor, mask: Tensor, over_valid: bool) -> Tensor:
    """Compute `vs_ops.masked_l1`."""
    return masked_l1(a, b, mask, over_valid)[0]
