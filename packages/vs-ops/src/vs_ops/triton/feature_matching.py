"""Feature matching by Triton: one read of every activation, one sum for all layers of all scales.

One launch serves all layers, which are found by address (see `_tables`). Every layer's programs stride over its two
activations, in the order in which they lie in memory, and leave partial sums that already have the layer's weight; one
more program adds up those of all layers.
"""

from collections.abc import Sequence
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from vs_ops._layout import dense
from vs_ops._precision import compute_dtype
from vs_ops.reference.feature_matching import feature_matching_reference
from vs_ops.triton._launch import FULL_GPU, differentiable, element_of, finish_sum, like, on_device_of, power_of_two
from vs_ops.triton._registration import registered
from vs_ops.triton._tables import alike, can_send, programs, sent

_BLOCK = 1024


@triton.jit
def _forward(
    fakes: tl.tensor,
    reals: tl.tensor,
    partials: tl.tensor,
    table: tl.tensor,
    owner: tl.tensor,
    scales: tl.tensor,
    element: tl.constexpr,
    dtype: tl.constexpr,
    block: tl.constexpr,
) -> None:
    """Add up, in program p of a layer's P, the layer's blocks p, p + P, p + 2P, ..."""
    program = tl.program_id(0)
    layer = tl.load(owner + program)
    numel, count = tl.load(table + 3 * layer), tl.load(table + 3 * layer + 2)
    fake = tl.load(fakes + layer).to(tl.pointer_type(element))
    real = tl.load(reals + layer).to(tl.pointer_type(element))
    lanes = tl.arange(0, block)
    total = tl.zeros((block,), dtype)
    for start in range((program - tl.load(table + 3 * layer + 1)) * block, numel, count * block):
        inside = start + lanes < numel
        one = tl.load(fake + start + lanes, mask=inside, other=0.0).to(dtype)
        other = tl.load(real + start + lanes, mask=inside, other=0.0).to(dtype)
        total += tl.abs(one - other)
    tl.store(partials + program, tl.sum(total, axis=0) / numel / scales)


@triton.jit
def _backward(
    grad: tl.tensor,
    fakes: tl.tensor,
    reals: tl.tensor,
    grads: tl.tensor,
    table: tl.tensor,
    owner: tl.tensor,
    scales: tl.tensor,
    element: tl.constexpr,
    dtype: tl.constexpr,
    block: tl.constexpr,
) -> None:
    """Store the gradient of one block of one layer per program; equal activations have no gradient."""
    layer = tl.load(owner + tl.program_id(0))
    numel = tl.load(table + 3 * layer)
    fake = tl.load(fakes + layer).to(tl.pointer_type(element))
    real = tl.load(reals + layer).to(tl.pointer_type(element))
    grad_fake = tl.load(grads + layer).to(tl.pointer_type(element))
    offsets = (tl.program_id(0) - tl.load(table + 3 * layer + 1)) * block + tl.arange(0, block)
    inside = offsets < numel
    size = tl.load(grad).to(dtype) / numel / scales
    one = tl.load(fake + offsets, mask=inside, other=0.0).to(dtype)
    other = tl.load(real + offsets, mask=inside, other=0.0).to(dtype)
    slope = tl.where(one > other, size, tl.where(one < other, -size, (one - other) * size))
    tl.store(grad_fake + offsets, slope.to(element), mask=inside)


def _arranged(fake: Sequence[Tensor], real: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
    """Return the activations without gaps, and those of the real images in the order of the others."""
    fake = [dense(one) for one in fake]
    return fake, [like(other, one) for one, other in zip(fake, real, strict=True)]


@registered("vs_ops::feature_matching")
def feature_matching(fake: Sequence[Tensor], real: Sequence[Tensor], scales: int) -> Tensor:
    """Return the mean L1 distance of each pair, summed over all pairs, divided by the number of scales.

    All activations have one dtype.
    """
    fake, real = _arranged(fake, real)
    device, dtype = fake[0].device, compute_dtype(fake[0])
    table, owner = programs(fake, _BLOCK, FULL_GPU)
    partials, loss = torch.empty(len(owner), dtype=dtype, device=device), torch.empty((), dtype=dtype, device=device)
    with on_device_of(loss):
        if len(owner):
            _forward[(len(owner),)](
                *(sent(fake, device), sent(real, device), partials, table, owner, scales),
                element=element_of(fake[0].dtype),
                dtype=element_of(dtype),
                block=_BLOCK,
            )
        finish_sum[(1,)](partials, loss, len(owner), block=power_of_two(len(owner), _BLOCK))
    return loss


@feature_matching.register_fake
def _(fake: Sequence[Tensor], real: Sequence[Tensor], scales: int) -> Tensor:
    return fake[0].new_empty((), dtype=compute_dtype(*fake))


@registered("vs_ops::feature_matching_backward")
def feature_matching_backward(
    grad: Tensor, fake: Sequence[Tensor], real: Sequence[Tensor], scales: int
) -> list[Tensor]:
    """Return the gradients in the generated images' activations, in their dtypes and memory formats."""
    fake, real = _arranged(fake, real)
    grads, device = [torch.empty_like(one) for one in fake], fake[0].device
    table, owner = programs(fake, _BLOCK)
    with on_device_of(grad):
        if len(owner):
            _backward[(len(owner),)](
                *(grad, sent(fake, device), sent(real, device), sent(grads, device), table, owner, scales),
                element=element_of(fake[0].dtype),
                dtype=element_of(compute_dtype(fake[0])),
                block=_BLOCK,
            )
    return grads


@feature_matching_backward.register_fake
def _(grad: Tensor, fake: Sequence[Tensor], real: Sequence[Tensor], scales: int) -> list[Tensor]:
    return [torch.empty_like(dense(one)) for one in fake]


def _remember(ctx: Any, inputs: tuple[Sequence[Tensor], Sequence[Tensor], int], output: Tensor) -> None:
    fake, real, ctx.scales = inputs
    ctx.save_for_backward(*fake, *real)


def _gradient(ctx: Any, grad: Tensor) -> tuple[list[Tensor | None], list[None], None]:
    saved = ctx.saved_tensors
    layers = len(saved) // 2
    fake, real = saved[:layers], saved[layers:]
    grads: Sequence[Tensor | None]
    if torch.is_grad_enabled():

        def reference(*ones: Tensor) -> Tensor:
            return feature_matching_reference([ones], [real]).div(ctx.scales)

        grads = differentiable(reference, fake, (grad,), ctx.needs_input_grad[0])
    else:
        grads = feature_matching_backward(grad, list(fake), list(real), ctx.scales)
    return list(grads), [None] * layers, None


feature_matching.register_autograd(_gradient, setup_context=_remember)


def feature_matching_triton(fake: Sequence[Sequence[Tensor]], real: Sequence[Sequence[Tensor]]) -> Tensor:
    """Compute `vs_ops.feature_matching` with all scales in one list.

    Activations of several dtypes or devices are left to the reference, and so is what is being captured in a CUDA
    graph, because addresses cannot be sent then.
    """
    ones = [one for layers in fake for one in layers]
    others = [other.detach() for layers in real for other in layers]
    if not alike([*ones, *others]) or not can_send(ones[0].device):
        return feature_matching_reference(fake, real)
    return feature_matching(ones, others, len(fake))
