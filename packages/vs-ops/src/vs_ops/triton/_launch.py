"""What the kernels and the operators around them have in common.

In a kernel's signature `tl.tensor` is what comes with the launch: the address of a tensor's first element, or a number.
Numbers that decide what is compiled are `tl.constexpr`: among them eps and slopes, which would be float32 otherwise.
"""

import contextlib
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from vs_ops._layout import dense, is_channels_last, memory_format_of

FULL_GPU = 512
"""Programs that keep every GPU of today busy: two to four for each of its up to 132 (H100) multiprocessors."""

_ELEMENTS = {
    torch.float16: tl.float16,
    torch.bfloat16: tl.bfloat16,
    torch.float32: tl.float32,
    torch.float64: tl.float64,
}


def on_device_of(tensor: Tensor) -> AbstractContextManager[object]:
    """Launch on the device of `tensor`: Triton launches on the current one."""
    if tensor.is_cuda and tensor.device.index != torch.cuda.current_device():
        return torch.cuda.device(tensor.device)
    return contextlib.nullcontext()


def element_of(dtype: torch.dtype) -> Any:
    """Return Triton's name for a floating dtype."""
    return _ELEMENTS[dtype]


def blocks(length: int, block: int) -> int:
    """Return how many blocks cover `length`."""
    return -(-length // block)


def power_of_two(length: int, maximum: int) -> int:
    """Return the smallest power of two that covers `length`, or `maximum`: what Triton's blocks may measure."""
    return min(1 << max(length - 1, 0).bit_length(), maximum)


def like(tensor: Tensor, leader: Tensor) -> Tensor:
    """Return `tensor` in the memory format of `leader`, which is dense, to read both in the order of memory."""
    order = memory_format_of(leader)
    return tensor if tensor.is_contiguous(memory_format=order) else dense(tensor.contiguous(memory_format=order))


def strides(x: Tensor) -> tuple[int, int, int]:
    """Return the strides of samples, channels and pixels of a dense `x` (N, C, ...); its spatial axes count as one."""
    return strides_of(x.shape[1], x.shape[2:].numel(), is_channels_last(x))


def strides_of(channels: int, pixels: int, channels_last: bool) -> tuple[int, int, int]:
    """Return the strides of samples, channels and pixels of a dense tensor, whose spatial axes count as one."""
    return (channels * pixels, 1, channels) if channels_last else (channels * pixels, pixels, 1)


def tile(x: Tensor, elements: int) -> tuple[int, int]:
    """Return how many channels and pixels of `x` (N, C, ...) a program holds at a time: about `elements` in all.

    The axis of stride one goes first (up to 256 channels of channels-last); the other one gets the rest.
    """
    return tile_of(x.shape[1], x.shape[2:].numel(), is_channels_last(x), elements)


def tile_of(channels: int, pixels: int, channels_last: bool, elements: int) -> tuple[int, int]:
    """Return the `tile` of a dense tensor."""
    if channels_last:
        block_c = power_of_two(channels, min(256, elements))
        return block_c, power_of_two(pixels, elements // block_c)
    block_l = power_of_two(pixels, elements)
    return power_of_two(channels, elements // block_l), block_l


def differentiable(
    reference: Callable[..., Any], arguments: Sequence[Any], grads: Sequence[Tensor], wanted: Sequence[bool]
) -> tuple[Tensor | None, ...]:
    """Return gradients in the wanted arguments, by the reference, such that they can be differentiated again.

    The backward of an operator answers with this where gradients of gradients are asked for (grad mode is on during
    backward, as `create_graph=True` makes it), because Triton's kernels have a first derivative only.
    """
    with torch.enable_grad():
        # Views, because one tensor may be given as two arguments, whose gradients are to be told apart.
        given = [each.view_as(each) if want else each for each, want in zip(arguments, wanted, strict=True)]
        results = reference(*given)
        leaves = [each for each, want in zip(given, wanted, strict=True) if want]
        return spread(torch.autograd.grad(results, leaves, grads, create_graph=True), wanted)


def spread(found: Sequence[Tensor], wanted: Sequence[bool]) -> tuple[Tensor | None, ...]:
    """Put the gradients that were found in the places of those that were wanted, None in the others."""
    remaining = iter(found)
    return tuple(next(remaining) if want else None for want in wanted)


@triton.jit
def finish_sum(partials: tl.tensor, result: tl.tensor, count: tl.tensor, block: tl.constexpr) -> None:
    """Add `count` partial sums in one program, always in the same order, so that it is the same in every run."""
    lanes = tl.arange(0, block)
    total = tl.zeros((block,), partials.dtype.element_ty)
    for start in range(0, count, block):
        total += tl.load(partials + start + lanes, mask=start + lanes < count, other=0.0)
    tl.store(result, tl.sum(total, axis=0))
