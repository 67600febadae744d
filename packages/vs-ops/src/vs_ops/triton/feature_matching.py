"""Feature matching by Triton: one read of every activation, one sum for all layers of all scales.

Every layer's programs stride over its two activations, in the order in which they lie in memory, and leave partial sums
that already have the layer's weight; one more program adds up those of all layers.
"""

from collections.abc import Sequence
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from vs_ops._precision import compute_dtype
from vs_ops.feature_matching import feature_matching_reference
from vs_ops.instance_norm import dense
from vs_ops.triton._launch import (
    FULL_GPU,
    accumulator,
    blocks,
    differentiable,
    finish_sum,
    like,
    on_device_of,
    power_of_two,
)
from vs_ops.triton._registration import registered

__all__ = ["feature_matching", "feature_matching_backward", "feature_matching_triton"]

_BLOCK = 1024


@triton.jit
def _forward(
    fake: tl.tensor,
    real: tl.tensor,
    partials: tl.tensor,
    numel: tl.tensor,
    scales: tl.tensor,
    dtype: tl.constexpr,
    block: tl.constexpr,
) -> None:
    """Program p adds up blocks p, p + P, p + 2P, ... of one layer."""
    program = tl.program_id(0)
    lanes = tl.arange(0, block)
    total = tl.zeros((block,), dtype)
    for start in range(program * block, numel, tl.num_programs(0) * block):
        inside = start + lanes < numel
        one = tl.load(fake + start + lanes, mask=inside, other=0.0).to(dtype)
        other = tl.load(real + start + lanes, mask=inside, other=0.0).to(dtype)
        total += tl.abs(one - other)
    mean = tl.sum(total, axis=0) / numel / scales
    tl.store(partials + program, mean.to(partials.dtype.element_ty))


@triton.jit
def _backward(
    grad: tl.tensor,
    fake: tl.tensor,
    real: tl.tensor,
    grad_fake: tl.tensor,
    numel: tl.tensor,
    scales: tl.tensor,
    dtype: tl.constexpr,
    block: tl.constexpr,
) -> None:
    """One block per program; equal activations have no gradient."""
    offsets = tl.program_id(0) * block + tl.arange(0, block)
    inside = offsets < numel
    share = tl.load(grad).to(dtype) / numel / scales
    one = tl.load(fake + offsets, mask=inside, other=0.0).to(dtype)
    other = tl.load(real + offsets, mask=inside, other=0.0).to(dtype)
    slope = tl.where(one > other, share, tl.where(one < other, -share, (one - other) * share))
    tl.store(grad_fake + offsets, slope.to(grad_fake.dtype.element_ty), mask=inside)


@registered("vs_ops::feature_matching")
def feature_matching(fake: Sequence[Tensor], real: Sequence[Tensor], scales: int) -> Tensor:
    """Mean L1 distance of each pair, summed over all pairs, divided by the number of scales."""
    launches = [min(blocks(one.numel(), _BLOCK), FULL_GPU) for one in fake]
    dtype, programs = compute_dtype(*fake), sum(launches)
    partials = torch.empty(programs, dtype=dtype, device=fake[0].device)
    loss = torch.empty((), dtype=dtype, device=fake[0].device)
    with on_device_of(loss):
        for one, other, share in zip(fake, real, partials.split(launches), strict=True):
            if one.numel():
                given = dense(one)
                accumulate = accumulator(compute_dtype(one))
                _forward[(share.numel(),)](
                    given, like(other, given), share, one.numel(), scales, dtype=accumulate, block=_BLOCK
                )
        finish_sum[(1,)](partials, loss, programs, block=power_of_two(programs, _BLOCK))
    return loss


@feature_matching.register_fake
def _(fake: Sequence[Tensor], real: Sequence[Tensor], scales: int) -> Tensor:
    return fake[0].new_empty((), dtype=compute_dtype(*fake))


@registered("vs_ops::feature_matching_backward")
def feature_matching_backward(
    grad: Tensor, fake: Sequence[Tensor], real: Sequence[Tensor], scales: int
) -> list[Tensor]:
    """The gradients in the generated images' activations, in their dtypes and memory formats."""
    fake = [dense(one) for one in fake]
    grads = [torch.empty_like(one) for one in fake]
    with on_device_of(grad):
        for one, other, grad_one in zip(fake, real, grads, strict=True):
            if one.numel():
                _backward[(blocks(one.numel(), _BLOCK),)](
                    *(grad, one, like(other, one), grad_one, one.numel(), scales),
                    dtype=accumulator(compute_dtype(one)),
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
    """`vs_ops.feature_matching` by Triton, with all scales in one list."""
    ones = [one for layers in fake for one in layers]
    others = [other.detach() for layers in real for other in layers]
    return feature_matching(ones, others, len(fake))  # type: ignore[no-any-return]
