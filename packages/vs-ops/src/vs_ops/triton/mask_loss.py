"""The loss of occlusion masks by Triton: one read of the mask and of both frames, no intermediate.

A program owns a run of pixels of one sample and goes through their channels in tiles of channels x pixels, whose lanes
are neighbours along the axis of stride one. Backward goes through the channels twice: the first time to see how right
a pixel is.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from vs_ops._layout import dense
from vs_ops._precision import compute_dtype
from vs_ops.reference.mask_loss import mask_loss_reference
from vs_ops.triton._launch import (
    blocks,
    differentiable,
    element_of,
    finish_sum,
    like,
    on_device_of,
    power_of_two,
    spread,
    strides,
    tile,
)
from vs_ops.triton._registration import registered

_ELEMENTS = 1024


@triton.jit
def _rightness(
    warped: tl.tensor,
    frame: tl.tensor,
    pixel: tl.tensor,
    base: tl.tensor,
    channels: tl.tensor,
    pixels: tl.tensor,
    stride_c: tl.tensor,
    stride_p: tl.tensor,
    dtype: tl.constexpr,
    block_c: tl.constexpr,
    block_l: tl.constexpr,
) -> tl.tensor:
    """Return one minus the distance of every pixel, not clamped."""
    distance = tl.zeros((block_l,), dtype)
    for start in range(0, channels, block_c):
        channel = start + tl.arange(0, block_c)[:, None]
        inside = (channel < channels) & (pixel < pixels)[None, :]
        offsets = base + channel * stride_c + (pixel * stride_p)[None, :]
        one = tl.load(warped + offsets, mask=inside, other=0.0).to(dtype)
        other = tl.load(frame + offsets, mask=inside, other=0.0).to(dtype)
        distance += tl.sum(tl.abs(one - other), axis=0)
    return 1.0 - distance


@triton.jit
def _forward(
    mask: tl.tensor,
    warped: tl.tensor,
    frame: tl.tensor,
    partials: tl.tensor,
    channels: tl.tensor,
    pixels: tl.tensor,
    stride_n: tl.tensor,
    stride_c: tl.tensor,
    stride_p: tl.tensor,
    numel: tl.tensor,
    dtype: tl.constexpr,
    block_c: tl.constexpr,
    block_l: tl.constexpr,
) -> None:
    """Store a partial sum of the loss in program (run of pixels, sample). Comparisons leave a NaN what it is."""
    pixel = tl.program_id(0) * block_l + tl.arange(0, block_l)
    exists = pixel < pixels
    sample = tl.program_id(1).to(tl.int64)
    right = _rightness(
        warped, frame, pixel, sample * stride_n, channels, pixels, stride_c, stride_p, dtype, block_c, block_l
    )
    right = tl.where(right < 0.0, 0.0, right)
    weight = tl.load(mask + sample * pixels + pixel, mask=exists, other=0.0).to(dtype)
    loss = tl.abs(weight) * right + tl.abs(weight - 1.0) * (1.0 - right)
    total = tl.sum(tl.where(exists, loss, 0.0), axis=0)
    tl.store(partials + sample * tl.num_programs(0) + tl.program_id(0), total / numel)


@triton.jit
def _sign(x: tl.tensor) -> tl.tensor:
    return tl.where(x > 0.0, 1.0, tl.where(x < 0.0, -1.0, x))  # zero and NaN as they are


@triton.jit
def _backward(
    grad: tl.tensor,
    mask: tl.tensor,
    warped: tl.tensor,
    frame: tl.tensor,
    grad_mask: tl.tensor,
    grad_warped: tl.tensor,
    grad_frame: tl.tensor,
    channels: tl.tensor,
    pixels: tl.tensor,
    stride_n: tl.tensor,
    stride_c: tl.tensor,
    stride_p: tl.tensor,
    numel: tl.tensor,
    dtype: tl.constexpr,
    block_c: tl.constexpr,
    block_l: tl.constexpr,
) -> None:
    """Store gradients in program (run of pixels, sample), as forward; those that nobody wants are None."""
    pixel = tl.program_id(0) * block_l + tl.arange(0, block_l)
    exists = pixel < pixels
    sample = tl.program_id(1).to(tl.int64)
    base = sample * stride_n
    size = tl.load(grad).to(dtype) / numel
    right = _rightness(warped, frame, pixel, base, channels, pixels, stride_c, stride_p, dtype, block_c, block_l)
    weight = tl.load(mask + sample * pixels + pixel, mask=exists, other=0.0).to(dtype)
    if grad_mask is not None:
        clamped = tl.where(right < 0.0, 0.0, right)
        slope = size * (_sign(weight) * clamped + _sign(weight - 1.0) * (1.0 - clamped))
        tl.store(grad_mask + sample * pixels + pixel, slope.to(grad_mask.dtype.element_ty), mask=exists)
    if grad_warped is not None or grad_frame is not None:
        # What is wrong altogether has no gradient; what is at the edge of it has, as in PyTorch's clamp.
        nearer = tl.where(right < 0.0, 0.0, size * (tl.abs(weight - 1.0) - tl.abs(weight)))
        for start in range(0, channels, block_c):
            channel = start + tl.arange(0, block_c)[:, None]
            inside = (channel < channels) & exists[None, :]
            offsets = base + channel * stride_c + (pixel * stride_p)[None, :]
            one = tl.load(warped + offsets, mask=inside, other=0.0).to(dtype)
            other = tl.load(frame + offsets, mask=inside, other=0.0).to(dtype)
            slope_of_warped = nearer[None, :] * _sign(one - other)
            if grad_warped is not None:
                tl.store(grad_warped + offsets, slope_of_warped.to(grad_warped.dtype.element_ty), mask=inside)
            if grad_frame is not None:
                tl.store(grad_frame + offsets, (-slope_of_warped).to(grad_frame.dtype.element_ty), mask=inside)


def _arranged(mask: Tensor, warped: Tensor, frame: Tensor) -> tuple[Tensor, Tensor, Tensor, tuple[int, ...]]:
    """Return both frames in the memory format of `warped`; then (channels, pixels), its strides and the mask's size."""
    warped = dense(warped)
    layout = warped.shape[1], warped[0, 0].numel(), *strides(warped), mask.numel()
    return mask.contiguous(), warped, like(frame, warped), layout


@registered("vs_ops::mask_loss")
def mask_loss(mask: Tensor, warped: Tensor, frame: Tensor) -> Tensor:
    """Return the loss, a scalar in float32 or float64."""
    dtype = compute_dtype(mask, warped, frame)
    mask, warped, frame, layout = _arranged(mask, warped, frame)
    block_c, block_l = tile(warped, _ELEMENTS)
    grid = blocks(layout[1], block_l), mask.shape[0]
    partials = torch.empty(grid[0] * grid[1], dtype=dtype, device=mask.device)
    loss = torch.empty((), dtype=dtype, device=mask.device)
    with on_device_of(mask):
        _forward[grid](
            mask, warped, frame, partials, *layout, dtype=element_of(dtype), block_c=block_c, block_l=block_l
        )
        finish_sum[(1,)](partials, loss, len(partials), block=power_of_two(len(partials), _ELEMENTS))
    return loss


@mask_loss.register_fake
def _(mask: Tensor, warped: Tensor, frame: Tensor) -> Tensor:
    return mask.new_empty((), dtype=compute_dtype(mask, warped, frame))


@registered("vs_ops::mask_loss_backward")
def mask_loss_backward(grad: Tensor, mask: Tensor, warped: Tensor, frame: Tensor, wanted: list[bool]) -> list[Tensor]:
    """Return the wanted ones of the gradients in mask, warped and frame, in their dtypes; frames as `warped` lies."""
    dtype = compute_dtype(mask, warped, frame)
    mask, warped, frame, layout = _arranged(mask, warped, frame)
    grads = [torch.empty_like(each) if want else None for each, want in zip((mask, warped, frame), wanted, strict=True)]
    block_c, block_l = tile(warped, _ELEMENTS)
    with on_device_of(mask):
        _backward[(blocks(layout[1], block_l), mask.shape[0])](
            *(grad, mask, warped, frame, *grads, *layout),
            dtype=element_of(dtype),
            block_c=block_c,
            block_l=block_l,
        )
    return [each for each in grads if each is not None]


@mask_loss_backward.register_fake
def _(grad: Tensor, mask: Tensor, warped: Tensor, frame: Tensor, wanted: list[bool]) -> list[Tensor]:
    warped = dense(warped)
    arranged = mask.contiguous(), warped, like(frame, warped)
    return [torch.empty_like(each) for each, want in zip(arranged, wanted, strict=True) if want]


def _remember(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _gradient(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    wanted = list(ctx.needs_input_grad)
    if torch.is_grad_enabled():
        return differentiable(mask_loss_reference, ctx.saved_tensors, (grad,), wanted)
    mask, warped, frame = ctx.saved_tensors
    return spread(mask_loss_backward(grad, mask, warped, frame, wanted), wanted)


mask_loss.register_autograd(_gradient, setup_context=_remember)


def mask_loss_triton(mask: Tensor, warped: Tensor, frame: Tensor) -> Tensor:
    """Compute `vs_ops.mask_loss`; frames without channels are left to the reference."""
    if warped.shape[1] == 0:
        return mask_loss_reference(mask, warped, frame)
    return mask_loss(mask, warped, frame)
