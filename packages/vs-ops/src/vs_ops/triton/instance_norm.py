"""Instance norm by Triton: two kernels forward, two backward (see `_norm_kernels`)."""

from typing import Any

import torch
from torch import Tensor

from vs_ops._layout import dense
from vs_ops.reference.instance_norm import instance_norm_reference
from vs_ops.triton import _norm
from vs_ops.triton._launch import differentiable, like
from vs_ops.triton._registration import registered


@registered("vs_ops::instance_norm")
def instance_norm(x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float) -> tuple[Tensor, Tensor]:
    """Return the result, and mean and 1 / deviation of every plane (2, N * C) for the backward."""
    weight = None if weight is None else weight.contiguous()
    bias = None if bias is None else bias.contiguous()
    return _norm.forward(dense(x), weight, bias, [], eps, None, False)


@instance_norm.register_fake
def _(x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float) -> tuple[Tensor, Tensor]:
    return torch.empty_like(dense(x)), _norm.statistics_of(x)


@registered("vs_ops::instance_norm_backward")
def instance_norm_backward(grad: Tensor, x: Tensor, weight: Tensor | None, statistics: Tensor) -> tuple[Tensor, Tensor]:
    """Return the gradient in x, and those in bias and weight (2, C) in the dtype of the statistics."""
    x = dense(x)
    weight = None if weight is None else weight.contiguous()
    grad_x, _, sums = _norm.backward(like(grad, x), x, weight, [], statistics, None, False, [])
    return grad_x, sums.sum((1, 3))


@instance_norm_backward.register_fake
def _(grad: Tensor, x: Tensor, weight: Tensor | None, statistics: Tensor) -> tuple[Tensor, Tensor]:
    return torch.empty_like(dense(x)), statistics.new_empty((2, x.shape[1]))


def _remember(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    x, weight, bias, ctx.eps = inputs
    ctx.save_for_backward(x, weight, bias, output[1])
    ctx.mark_non_differentiable(output[1])
    ctx.set_materialize_grads(False)  # what has no gradient gets no zeros


def _gradient(ctx: Any, grad: Tensor | None, _: None) -> tuple[Tensor | None, ...]:
    if grad is None:
        return (None,) * 4
    x, weight, bias, statistics = ctx.saved_tensors
    wants = ctx.needs_input_grad[:3]
    if torch.is_grad_enabled():

        def reference(x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
            return instance_norm_reference(x, weight, bias, ctx.eps)

        return *differentiable(reference, (x, weight, bias), (grad,), wants), None
    grad_x, vector_grads = instance_norm_backward(grad, x, weight, statistics)
    grad_weight = vector_grads[1].to(weight.dtype) if wants[1] else None
    grad_bias = vector_grads[0].to(bias.dtype) if wants[2] else None
    return grad_x, grad_weight, grad_bias, None


instance_norm.register_autograd(_gradient, setup_context=_remember)


def instance_norm_triton(x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float) -> Tensor:
    """Compute `vs_ops.instance_norm`."""
    return instance_norm(x, weight, bias, float(eps))[0]
