"""Hinge losses by Triton: one read of the logits, no intermediate.

Forward: programs stride over the logits, in whatever order they lie in memory (a sum does not mind), and leave a
partial sum each; one more program adds those up. Backward: one read of the logits, one write.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from vs_ops._layout import dense
from vs_ops._precision import compute_dtype
from vs_ops.reference.hinge import hinge_d_fake_reference, hinge_d_real_reference, hinge_g_reference
from vs_ops.triton._launch import FULL_GPU, blocks, differentiable, element_of, finish_sum, on_device_of, power_of_two
from vs_ops.triton._registration import registered

_D_REAL, _D_FAKE, _G = 0, 1, 2
_REFERENCES = (hinge_d_real_reference, hinge_d_fake_reference, hinge_g_reference)
_BLOCK = 1024


@triton.jit
def _loss(logit: tl.tensor, kind: tl.constexpr) -> tl.tensor:
    if kind == 2:
        return -logit
    margin = 1.0 - logit if kind == 0 else 1.0 + logit
    return tl.where(margin <= 0.0, 0.0, margin)  # a NaN stays one, as it would not in tl.maximum


@triton.jit
def _forward(
    logits: tl.tensor,
    partials: tl.tensor,
    numel: tl.tensor,
    kind: tl.constexpr,
    dtype: tl.constexpr,
    block: tl.constexpr,
) -> None:
    """Add up, in program p of P, blocks p, p + P, p + 2P, ...; neighbouring lanes read neighbouring logits."""
    program = tl.program_id(0)
    lanes = tl.arange(0, block)
    total = tl.zeros((block,), dtype)
    for start in range(program * block, numel, tl.num_programs(0) * block):
        inside = start + lanes < numel
        logit = tl.load(logits + start + lanes, mask=inside, other=0.0).to(dtype)
        total += tl.where(inside, _loss(logit, kind), 0.0)
    # Dividing here, by a whole number, keeps sums of float16 logits small and needs no constant in float64.
    tl.store(partials + program, tl.sum(total, axis=0) / numel)


@triton.jit
def _backward(
    grad: tl.tensor,
    logits: tl.tensor,
    grad_logits: tl.tensor,
    numel: tl.tensor,
    kind: tl.constexpr,
    dtype: tl.constexpr,
    block: tl.constexpr,
) -> None:
    """Store one block per program. The upstream gradient is one number, which is read here and never on the host."""
    offsets = tl.program_id(0) * block + tl.arange(0, block)
    inside = offsets < numel
    size = tl.load(grad).to(dtype) / numel
    if kind == 2:
        slope = -size + tl.zeros((block,), dtype)
    else:
        logit = tl.load(logits + offsets, mask=inside, other=0.0).to(dtype)
        slope = tl.where(logit < 1.0, -size, 0.0) if kind == 0 else tl.where(logit > -1.0, size, 0.0)
    tl.store(grad_logits + offsets, slope.to(grad_logits.dtype.element_ty), mask=inside)


@registered("vs_ops::hinge")
def hinge(logits: Tensor, kind: int) -> Tensor:
    """Return the hinge loss of D on real (0) or generated (1) images, or of G (2): a scalar in float32 or float64."""
    logits = dense(logits)
    dtype, numel = compute_dtype(logits), logits.numel()
    block = power_of_two(numel, _BLOCK)
    programs = min(blocks(numel, block), FULL_GPU)
    partials = torch.empty(programs, dtype=dtype, device=logits.device)
    with on_device_of(logits):
        _forward[(programs,)](logits, partials, numel, kind=kind, dtype=element_of(dtype), block=block)
        if programs == 1:
            return partials.view(())
        loss = torch.empty((), dtype=dtype, device=logits.device)
        finish_sum[(1,)](partials, loss, programs, block=power_of_two(programs, _BLOCK))
    return loss


@hinge.register_fake
def _(logits: Tensor, kind: int) -> Tensor:
    return logits.new_empty((), dtype=compute_dtype(logits))


@registered("vs_ops::hinge_backward")
def hinge_backward(grad: Tensor, logits: Tensor, kind: int) -> Tensor:
    """Return the gradient in `logits`, in their dtype and memory format."""
    logits = dense(logits)
    grad_logits = torch.empty_like(logits)
    block = power_of_two(logits.numel(), _BLOCK)
    with on_device_of(logits):
        _backward[(blocks(logits.numel(), block),)](
            grad, logits, grad_logits, logits.numel(), kind=kind, dtype=element_of(compute_dtype(logits)), block=block
        )
    return grad_logits


@hinge_backward.register_fake
def _(grad: Tensor, logits: Tensor, kind: int) -> Tensor:
    return torch.empty_like(dense(logits))


def _remember(ctx: Any, inputs: tuple[Tensor, int], output: Tensor) -> None:
    ctx.save_for_backward(inputs[0])
    ctx.kind = inputs[1]


def _gradient(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    (logits,) = ctx.saved_tensors
    if torch.is_grad_enabled():
        return *differentiable(_REFERENCES[ctx.kind], (logits,), (grad,), (True,)), None
    return hinge_backward(grad, logits, ctx.kind), None


hinge.register_autograd(_gradient, setup_context=_remember)


def hinge_d_real_triton(logits: Tensor) -> Tensor:
    """Compute `vs_ops.hinge_d_real`."""
    return hinge(logits, _D_REAL)


def hinge_d_fake_triton(logits: Tensor) -> Tensor:
    """Compute `vs_ops.hinge_d_fake`."""
    return hinge(logits, _D_FAKE)


def hinge_g_triton(logits: Tensor) -> Tensor:
    """Compute `vs_ops.hinge_g`."""
    return hinge(logits, _G)
