"""Bias and leaky ReLU by Triton: one read, one write, and the result is all that is kept for the backward.

Backward: one read of gradient and result, one write; the same pass adds up the gradient of the bias. A program owns
some channels and a piece of all pixels of all samples, leaves one partial sum per channel, and those are added in a
fixed order.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from vs_ops._layout import dense, is_channels_last
from vs_ops._precision import compute_dtype
from vs_ops.native.bias_leaky_relu import bias_leaky_relu_gradients
from vs_ops.triton._launch import FULL_GPU, blocks, element_of, like, on_device_of, power_of_two, strides
from vs_ops.triton._registration import registered

_BLOCK = 1024


@triton.jit
def _forward(
    x: tl.tensor,
    bias: tl.tensor,
    result: tl.tensor,
    numel: tl.tensor,
    channels: tl.tensor,
    stride_c: tl.tensor,
    slope: tl.constexpr,
    dtype: tl.constexpr,
    block: tl.constexpr,
) -> None:
    """Compute one block per program, in the order of memory; the channel follows from the place."""
    offsets = tl.program_id(0) * block + tl.arange(0, block)
    inside = offsets < numel
    shift = tl.load(bias + offsets // stride_c % channels, mask=inside, other=0.0).to(dtype)
    total = tl.load(x + offsets, mask=inside, other=0.0).to(dtype) + shift
    total = tl.where(total > 0.0, total, total * slope)
    tl.store(result + offsets, total.to(result.dtype.element_ty), mask=inside)


@triton.jit
def _backward(
    grad: tl.tensor,
    result: tl.tensor,
    grad_x: tl.tensor,
    partials: tl.tensor,
    channels: tl.tensor,
    pixels: tl.tensor,
    stride_n: tl.tensor,
    stride_c: tl.tensor,
    stride_p: tl.tensor,
    places: tl.tensor,
    piece: tl.tensor,
    slope: tl.constexpr,
    dtype: tl.constexpr,
    block_c: tl.constexpr,
    block_l: tl.constexpr,
) -> None:
    """Store the gradient in x, and partial sums of it unless nobody wants those.

    Program (piece of the places, run of channels); a place is a pixel of a sample.
    """
    line = tl.program_id(1) * block_c + tl.arange(0, block_c)
    channel = line[:, None]
    first = tl.program_id(0) * piece
    summed = tl.zeros((block_c, block_l), dtype)
    for start in range(first, tl.minimum(first + piece, places), block_l):
        place = start + tl.arange(0, block_l)[None, :]
        inside = (channel < channels) & (place < places)
        offsets = place // pixels * stride_n + channel * stride_c + place % pixels * stride_p
        slopes = tl.load(grad + offsets, mask=inside, other=0.0).to(dtype)
        above = tl.load(result + offsets, mask=inside, other=0.0).to(dtype) > 0.0
        slopes = tl.where(above, slopes, slopes * slope)
        tl.store(grad_x + offsets, slopes.to(grad_x.dtype.element_ty), mask=inside)
        summed += slopes
    if partials is not None:
        tl.store(partials + tl.program_id(0) * channels + line, tl.sum(summed, axis=1), mask=line < channels)


@registered("vs_ops::bias_leaky_relu")
def bias_leaky_relu_triton(x: Tensor, bias: Tensor, negative_slope: float) -> Tensor:
    """Compute `vs_ops.bias_leaky_relu`, in the dtype and memory format of `x`."""
    x = dense(x)
    result = torch.empty_like(x)
    numel, block = x.numel(), power_of_two(x.numel(), _BLOCK)
    with on_device_of(x):
        _forward[(blocks(numel, block),)](
            *(x, bias.contiguous(), result, numel, x.shape[1], strides(x)[1]),
            slope=negative_slope,
            dtype=element_of(compute_dtype(x)),
            block=block,
        )
    return result


@bias_leaky_relu_triton.register_fake
def _(x: Tensor, bias: Tensor, negative_slope: float) -> Tensor:
    return torch.empty_like(dense(x))


def _tile(x: Tensor, places: int) -> tuple[int, int]:
    """Return the channels and places that a program of the backward holds at a time: first those of stride one."""
    if is_channels_last(x):
        block_c = power_of_two(x.shape[1], 256)
        return block_c, power_of_two(places, _BLOCK // block_c)
    return 1, power_of_two(places, _BLOCK)


@registered("vs_ops::bias_leaky_relu_backward")
def bias_leaky_relu_backward(
    grad: Tensor, result: Tensor, bias: Tensor, negative_slope: float, wants_bias: bool
) -> tuple[Tensor, Tensor]:
    """Return the gradient in x like the result, and that in the bias like the bias, or an empty one if unwanted."""
    result = dense(result)
    grad_x = torch.empty_like(result)
    channels, dtype = result.shape[1], compute_dtype(result)
    places = result.numel() // channels
    block_c, block_l = _tile(result, places)
    runs, tiles = blocks(channels, block_c), blocks(places, block_l)
    piece = blocks(tiles, max(FULL_GPU // runs, 1)) * block_l
    pieces = blocks(places, piece)
    partials = torch.empty(pieces, channels, dtype=dtype, device=result.device) if wants_bias else None
    with on_device_of(result):
        _backward[(pieces, runs)](
            *(like(grad, result), result, grad_x, partials, channels, places // result.shape[0], *strides(result)),
            *(places, piece),
            slope=negative_slope,
            dtype=element_of(dtype),
            block_c=block_c,
            block_l=block_l,
        )
    return grad_x, bias.new_empty(0) if partials is None else partials.sum(0).to(bias.dtype)


@bias_leaky_relu_backward.register_fake
def _(grad: Tensor, result: Tensor, bias: Tensor, negative_slope: float, wants_bias: bool) -> tuple[Tensor, Tensor]:
    return torch.empty_like(dense(result)), bias.new_empty(bias.shape if wants_bias else (0,))


def _remember(ctx: Any, inputs: tuple[Tensor, Tensor, float], output: Tensor) -> None:
    _, bias, ctx.negative_slope = inputs
    ctx.save_for_backward(output, bias)


def _gradient(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
    result, bias = ctx.saved_tensors
    _, wants_bias, _ = ctx.needs_input_grad
    if torch.is_grad_enabled():
        return *bias_leaky_relu_gradients(grad, result, ctx.negative_slope, bias.dtype, wants_bias), None
    grad_x, grad_bias = bias_leaky_relu_backward(grad, result, bias, ctx.negative_slope, wants_bias)
    return grad_x, grad_bias if wants_bias else None, None


bias_leaky_relu_triton.register_autograd(_gradient, setup_context=_remember)
