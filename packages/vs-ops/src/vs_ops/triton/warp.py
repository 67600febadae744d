"""Backward warping by Triton, alone or with the blending that follows it: positions, weights and blend in registers.

A program owns a run of pixels of one sample. It reads their flow once and goes through the channels in tiles of
channels x pixels. Neighbouring pixels mostly come from neighbouring places, so that the four gathers are nearly
coalesced along the axis of stride one: along rows in NCHW, along channels in channels-last order.

Backward: positions and warped values are computed again. Where several pixels come from one place its gradient is a
sum, which atomic additions make, in float32 at least (their order, and so the last digit, may change from run to run).
The gradients of flow and mask are sums over the channels of one pixel, which its program has to itself. Gradients that
nobody asks for cost nothing: video networks warp frames that are constants.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from vs_ops._layout import dense
from vs_ops._precision import compute_dtype
from vs_ops.reference.warp import warp_and_blend_reference, warp_reference
from vs_ops.triton._launch import blocks, differentiable, element_of, like, on_device_of, spread, strides, tile
from vs_ops.triton._registration import registered

_ELEMENTS = 256


@triton.jit
def _along(index: tl.tensor, flow: tl.tensor, size: tl.tensor) -> tl.tensor:
    """Return on one axis the two neighbours, the weight of the second, and whether the position is inside.

    Comparisons are written such that NaN goes to 0 and counts as outside: no address depends on it.
    """
    position = index + flow
    inside = (position > 0) & (position < size - 1)
    clamped = tl.where(position > 0, position, 0.0)
    clamped = tl.where(clamped < size - 1, clamped, size - 1)
    lower = tl.floor(clamped)
    first = lower.to(tl.int32)
    return first, tl.minimum(first + 1, size - 1), clamped - lower, inside


@triton.jit
def _forward(
    image: tl.tensor,
    flow: tl.tensor,
    mask: tl.tensor,
    hallucinated: tl.tensor,
    warped: tl.tensor,
    blended: tl.tensor,
    channels: tl.tensor,
    height: tl.tensor,
    width: tl.tensor,
    stride_n: tl.tensor,
    stride_c: tl.tensor,
    stride_p: tl.tensor,
    flow_stride_n: tl.tensor,
    flow_stride_c: tl.tensor,
    flow_stride_p: tl.tensor,
    dtype: tl.constexpr,
    block_c: tl.constexpr,
    block_l: tl.constexpr,
) -> None:
    """Warp a run of pixels of a sample, its program; without a mask the code of the blending is compiled away."""
    pixel = tl.program_id(0) * block_l + tl.arange(0, block_l)
    exists = pixel < height * width
    sample = tl.program_id(1).to(tl.int64)
    flow += sample * flow_stride_n + pixel * flow_stride_p
    x0, x1, weight_x, _ = _along(pixel % width, tl.load(flow, mask=exists, other=0.0).to(dtype), width)
    y0, y1, weight_y, _ = _along(
        pixel // width, tl.load(flow + flow_stride_c, mask=exists, other=0.0).to(dtype), height
    )
    for start in range(0, channels, block_c):
        channel = start + tl.arange(0, block_c)[:, None]
        inside = (channel < channels) & exists[None, :]
        base = sample * stride_n + channel * stride_c
        v00 = tl.load(image + base + ((y0 * width + x0) * stride_p)[None, :], mask=inside, other=0.0).to(dtype)
        v01 = tl.load(image + base + ((y0 * width + x1) * stride_p)[None, :], mask=inside, other=0.0).to(dtype)
        v10 = tl.load(image + base + ((y1 * width + x0) * stride_p)[None, :], mask=inside, other=0.0).to(dtype)
        v11 = tl.load(image + base + ((y1 * width + x1) * stride_p)[None, :], mask=inside, other=0.0).to(dtype)
        upper = v00 * (1.0 - weight_x)[None, :] + v01 * weight_x[None, :]
        lower = v10 * (1.0 - weight_x)[None, :] + v11 * weight_x[None, :]
        value = upper * (1.0 - weight_y)[None, :] + lower * weight_y[None, :]
        at = base + (pixel * stride_p)[None, :]
        tl.store(warped + at, value.to(warped.dtype.element_ty), mask=inside)
        if mask is not None:
            weight = tl.load(mask + sample * height * width + pixel, mask=exists, other=0.0).to(dtype)[None, :]
            other = tl.load(hallucinated + at, mask=inside, other=0.0).to(dtype)
            value = weight * other + (1.0 - weight) * value
            tl.store(blended + at, value.to(blended.dtype.element_ty), mask=inside)


@triton.jit
def _backward(
    grad_warped: tl.tensor,
    grad_blended: tl.tensor,
    image: tl.tensor,
    flow: tl.tensor,
    mask: tl.tensor,
    hallucinated: tl.tensor,
    grad_image: tl.tensor,
    grad_flow: tl.tensor,
    grad_mask: tl.tensor,
    grad_hallucinated: tl.tensor,
    channels: tl.tensor,
    height: tl.tensor,
    width: tl.tensor,
    stride_n: tl.tensor,
    stride_c: tl.tensor,
    stride_p: tl.tensor,
    flow_stride_n: tl.tensor,
    flow_stride_c: tl.tensor,
    flow_stride_p: tl.tensor,
    dtype: tl.constexpr,
    block_c: tl.constexpr,
    block_l: tl.constexpr,
) -> None:
    """Store gradients in program (run of pixels, sample), as forward; those that nobody wants are None."""
    pixel = tl.program_id(0) * block_l + tl.arange(0, block_l)
    exists = pixel < height * width
    sample = tl.program_id(1).to(tl.int64)
    at_flow = sample * flow_stride_n + pixel * flow_stride_p
    flow_x = tl.load(flow + at_flow, mask=exists, other=0.0).to(dtype)
    flow_y = tl.load(flow + at_flow + flow_stride_c, mask=exists, other=0.0).to(dtype)
    x0, x1, weight_x, inside_x = _along(pixel % width, flow_x, width)
    y0, y1, weight_y, inside_y = _along(pixel // width, flow_y, height)
    rest_x, rest_y = 1.0 - weight_x, 1.0 - weight_y
    sum_x = tl.zeros((block_l,), dtype)
    sum_y = tl.zeros((block_l,), dtype)
    sum_mask = tl.zeros((block_l,), dtype)
    for start in range(0, channels, block_c):
        channel = start + tl.arange(0, block_c)[:, None]
        inside = (channel < channels) & exists[None, :]
        base = sample * stride_n + channel * stride_c
        at = base + (pixel * stride_p)[None, :]
        at00 = base + ((y0 * width + x0) * stride_p)[None, :]
        at01 = base + ((y0 * width + x1) * stride_p)[None, :]
        at10 = base + ((y1 * width + x0) * stride_p)[None, :]
        at11 = base + ((y1 * width + x1) * stride_p)[None, :]
        # The gradient of the warped image, by way of both results.
        grad = tl.load(grad_warped + at, mask=inside, other=0.0).to(dtype)
        if mask is not None:
            weight = tl.load(mask + sample * height * width + pixel, mask=exists, other=0.0).to(dtype)[None, :]
            grad_blend = tl.load(grad_blended + at, mask=inside, other=0.0).to(dtype)
            grad += (1.0 - weight) * grad_blend
            if grad_hallucinated is not None:
                grad_other = weight * grad_blend
                tl.store(grad_hallucinated + at, grad_other.to(grad_hallucinated.dtype.element_ty), mask=inside)
        # Gradients of flow and mask want the neighbours' values, which are fetched again.
        if grad_flow is not None or grad_mask is not None:
            v00 = tl.load(image + at00, mask=inside, other=0.0).to(dtype)
            v01 = tl.load(image + at01, mask=inside, other=0.0).to(dtype)
            v10 = tl.load(image + at10, mask=inside, other=0.0).to(dtype)
            v11 = tl.load(image + at11, mask=inside, other=0.0).to(dtype)
            upper = v00 * rest_x[None, :] + v01 * weight_x[None, :]
            lower = v10 * rest_x[None, :] + v11 * weight_x[None, :]
            if grad_mask is not None:
                other = tl.load(hallucinated + at, mask=inside, other=0.0).to(dtype)
                value = upper * rest_y[None, :] + lower * weight_y[None, :]
                sum_mask += tl.sum(grad_blend * (other - value), axis=0)
            along_x = (v01 - v00) * rest_y[None, :] + (v11 - v10) * weight_y[None, :]
            sum_x += tl.sum(grad * along_x, axis=0)
            sum_y += tl.sum(grad * (lower - upper), axis=0)
        if grad_image is not None:
            # No weight of a neighbour means no addition: a whole flow makes one, not four.
            tl.atomic_add(grad_image + at00, grad * (rest_y * rest_x)[None, :], mask=inside, sem="relaxed")
            needed = inside & (weight_x > 0)[None, :]
            tl.atomic_add(grad_image + at01, grad * (rest_y * weight_x)[None, :], mask=needed, sem="relaxed")
            needed = inside & (weight_y > 0)[None, :]
            tl.atomic_add(grad_image + at10, grad * (weight_y * rest_x)[None, :], mask=needed, sem="relaxed")
            needed = inside & ((weight_x > 0) & (weight_y > 0))[None, :]
            tl.atomic_add(grad_image + at11, grad * (weight_y * weight_x)[None, :], mask=needed, sem="relaxed")
    if grad_flow is not None:
        grad_flow_x, grad_flow_y = tl.where(inside_x, sum_x, 0.0), tl.where(inside_y, sum_y, 0.0)
        tl.store(grad_flow + at_flow, grad_flow_x.to(grad_flow.dtype.element_ty), mask=exists)
        tl.store(grad_flow + at_flow + flow_stride_c, grad_flow_y.to(grad_flow.dtype.element_ty), mask=exists)
    if grad_mask is not None:
        tl.store(grad_mask + sample * height * width + pixel, sum_mask.to(grad_mask.dtype.element_ty), mask=exists)


def _launch(
    kernel: Any,
    image: Tensor,
    flow: Tensor,
    before: tuple[Tensor | None, ...],
    between: tuple[Tensor | None, ...],
    after: tuple[Tensor | None, ...],
) -> None:
    """Launch with the image and the flow among the other tensors, then what both kernels have to know of them."""
    samples, channels, height, width = image.shape
    block_c, block_l = tile(image, _ELEMENTS)
    with on_device_of(image):
        kernel[(blocks(height * width, block_l), samples)](
            *(*before, image, flow, *between, *after),
            *(channels, height, width, *strides(image), *strides(flow)),
            dtype=element_of(compute_dtype(image, flow)),
            block_c=block_c,
            block_l=block_l,
        )


@registered("vs_ops::warp")
def warp_triton(image: Tensor, flow: Tensor) -> Tensor:
    """Compute `vs_ops.warp`."""
    image = dense(image)
    warped = torch.empty_like(image)
    _launch(_forward, image, dense(flow), (), (None, None), (warped, None))
    return warped


@warp_triton.register_fake
def _(image: Tensor, flow: Tensor) -> Tensor:
    return torch.empty_like(dense(image))


@registered("vs_ops::warp_and_blend")
def warp_and_blend_triton(image: Tensor, flow: Tensor, mask: Tensor, hallucinated: Tensor) -> tuple[Tensor, Tensor]:
    """Compute `vs_ops.warp_and_blend`."""
    image = dense(image)
    warped, blended = torch.empty_like(image), torch.empty_like(image)
    others = mask.contiguous(), like(hallucinated, image)
    _launch(_forward, image, dense(flow), (), others, (warped, blended))
    return blended, warped


@warp_and_blend_triton.register_fake
def _(image: Tensor, flow: Tensor, mask: Tensor, hallucinated: Tensor) -> tuple[Tensor, Tensor]:
    image = dense(image)
    return torch.empty_like(image), torch.empty_like(image)


@registered("vs_ops::warp_backward")
def warp_backward(
    grad_warped: Tensor,
    grad_blended: Tensor | None,
    image: Tensor,
    flow: Tensor,
    mask: Tensor | None,
    hallucinated: Tensor | None,
    wanted: list[bool],
) -> list[Tensor]:
    """Return the wanted ones of the gradients in image, flow, mask, hallucinated, in their dtypes."""
    image, flow = dense(image), dense(flow)
    mask = None if mask is None else mask.contiguous()
    hallucinated = None if hallucinated is None else like(hallucinated, image)
    grad_blended = None if grad_blended is None else like(grad_blended, image)
    targets: list[Tensor | None] = [
        torch.empty_like(each) if want and each is not None else None
        for each, want in zip((image, flow, mask, hallucinated), wanted, strict=True)
    ]
    if wanted[0]:
        targets[0] = torch.zeros_like(image, dtype=compute_dtype(image, flow))
    _launch(_backward, image, flow, (like(grad_warped, image), grad_blended), (mask, hallucinated), tuple(targets))
    if targets[0] is not None:
        targets[0] = targets[0].to(image.dtype)
    return [each for each in targets if each is not None]


@warp_backward.register_fake
def _(
    grad_warped: Tensor,
    grad_blended: Tensor | None,
    image: Tensor,
    flow: Tensor,
    mask: Tensor | None,
    hallucinated: Tensor | None,
    wanted: list[bool],
) -> list[Tensor]:
    image = dense(image)
    like_them = (
        image,
        dense(flow),
        None if mask is None else mask.contiguous(),
        None if hallucinated is None else like(hallucinated, image),
    )
    return [torch.empty_like(each) for each, want in zip(like_them, wanted, strict=True) if want and each is not None]


def _remember(ctx: Any, inputs: tuple[Tensor, ...], output: Any) -> None:
    ctx.save_for_backward(*inputs)


def _by_reference(ctx: Any) -> bool:
    """Return whether gradients will be differentiated again, or must not depend on the order of atomic additions.

    In the latter case PyTorch decides what its own kernel may do, as `torch.use_deterministic_algorithms` describes.
    """
    return torch.is_grad_enabled() or (ctx.needs_input_grad[0] and torch.are_deterministic_algorithms_enabled())


def _gradient_of_warp(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    image, flow = ctx.saved_tensors
    wanted = tuple(ctx.needs_input_grad)
    if _by_reference(ctx):
        return differentiable(warp_reference, (image, flow), (grad,), wanted)
    return spread(warp_backward(grad, None, image, flow, None, None, [*wanted, False, False]), wanted)


def _gradient_of_both(ctx: Any, grad_blended: Tensor, grad_warped: Tensor) -> tuple[Tensor | None, ...]:
    wanted = tuple(ctx.needs_input_grad)
    if _by_reference(ctx):
        return differentiable(warp_and_blend_reference, ctx.saved_tensors, (grad_blended, grad_warped), wanted)
    image, flow, mask, hallucinated = ctx.saved_tensors
    found = warp_backward(grad_warped, grad_blended, image, flow, mask, hallucinated, list(wanted))
    return spread(found, wanted)


warp_triton.register_autograd(_gradient_of_warp, setup_context=_remember)
warp_and_blend_triton.register_autograd(_gradient_of_both, setup_context=_remember)
