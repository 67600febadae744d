"""Instance norm by Triton: two kernels forward, two backward (see `_norm_kernels`)."""

from typing import Any

import torch
from torch import Tensor

from vs_ops.instance_norm import dense, instance_norm_reference
from vs_ops.triton import _norm
from vs_ops.triton._launch import differentiable, like

__all__ = ["instance_norm", "instance_norm_backward"]


@torch.library.custom_op("vs_ops::instance_norm", mutates_args=())
def instance_norm(x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """Result, and mean and 1 / deviation of every plane (N * C,) for the backward."""
    weight = None if weight is None else weight.contiguous()
    bias = None if bias is None else bias.contiguous()
    return _norm.forward(dense(x), weight, bias, [], eps, None, False)


@instance_norm.register_fake
def _(x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    return torch.empty_like(dense(x)), *_norm.of_planes(x)


@torch.library.custom_op("vs_ops::instance_norm_backward", mutates_args=())
def instance_norm_backward(
    grad: Tensor, x: Tensor, weight: Tensor | None, mean: Tensor, scale: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients in x, weight and bias; those of the vectors (C,) in the dtype of the statistics."""
    x = dense(x)
    weight = None if weight is None else weight.contiguous()
    grad_x, _, sums = _norm.backward(like(grad, x), x, weight, [], mean, scale, None, False, [])
    return grad_x, sums[1].sum(0), sums[0].sum(0)


@instance_norm_backward.register_fake
def _(grad: Tensor, x: Tensor, weight: Tensor | None, mean: Tensor, scale: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return torch.empty_like(dense(x)), mean.new_empty(x.shape[1]), mean.new_empty(x.shape[1])


def _remember(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor, Tensor]) -> None:
    x, weight, bias, ctx.eps = inputs
    ctx.save_for_backward(x, weight, bias, *output[1:])
    ctx.mark_non_differentiable(*output[1:])


def _gradient(ctx: Any, grad: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
    x, weight, bias, mean, scale = ctx.saved_tensors
    wants = ctx.needs_input_grad[:3]
    if torch.is_grad_enabled():

        def reference(x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
            return instance_norm_reference(x, weight, bias, ctx.eps)

        return *differentiable(reference, (x, weight, bias), (grad,), wants), None
    grad_x, grad_weight, grad_bias = instance_norm_backward(grad, x, weight, mean, scale)
    return (
        grad_x,
        grad_weight.to(weight.dtype) if wants[1] else None,
        grad_bias.to(bias.dtype) if wants[2] else None,
        None,
    )


instance_norm.register_autograd(_gradient, setup_context=_remember)
