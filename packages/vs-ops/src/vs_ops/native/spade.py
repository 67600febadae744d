"""`spade` with the fused instance norm, then every map as one step of few passes and few new tensors."""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from vs_ops._layout import is_channels_last, upsampled
from vs_ops.native.instance_norm import instance_norm_native

_LEAKY_RELU_BACKWARD = torch.ops.aten.leaky_relu_backward.grad_input
_CACHED_ELEMENTS = 2**18
"""Elements of features that stay in the cache."""
_CALL_BOUND_PIXELS = 64
"""Pixels of a plane that are computed in less time than it takes to call for it."""
_VECTOR = 32
"""Channels of 16 bits that fill a vector of the CPU."""


def spade_native(
    x: Tensor, gamma_betas: Sequence[Tensor], eps: float, negative_slope: float | None, upsample: bool
) -> Tensor:
    """Compute `spade` by PyTorch's kernels.

    It up-samples what is normalised, so that the backward of the norm sees gradients summed over 2x2 pixels.
    """
    result = instance_norm_native(x, None, None, eps)
    if upsample:
        result = upsampled(result)
    for index, gamma_beta in enumerate(gamma_betas):
        if gamma_beta.dtype is not result.dtype:
            wide = torch.promote_types(gamma_beta.dtype, result.dtype)
            result, gamma_beta = result.to(wide), gamma_beta.to(wide)
        slope = negative_slope if index == len(gamma_betas) - 1 else None
        result = _modulate(result, gamma_beta, slope)
    if negative_slope is not None and not gamma_betas:
        result = F.leaky_relu(result, negative_slope)
    return result if result.dtype is x.dtype else result.to(x.dtype)


class _Plan(NamedTuple):
    """A way to modulate, which follows from where the tensors are and how they lie."""

    by_calls: bool
    """Whether operators of PyTorch, more of them and with more new tensors, take less time than a function in Python.

    So on a GPU, and with few pixels. Of maps whose halves are copied anyway, one copy is all that it takes, if they are
    in the cache and have channels enough for a vector.
    """
    by_addcmul: bool
    """Whether `addcmul` is quick (see `_scaled`), and the maps, whose order it answers in, lie as x does."""


@functools.lru_cache(maxsize=1024)
def _plan(
    shape: torch.Size, device_type: str, channels_last: bool, maps_dtype: torch.dtype, maps_channels_last: bool
) -> _Plan:
    """Decide how to modulate features of a shape."""
    alike = channels_last is maps_channels_last
    if device_type != "cpu":
        return _Plan(by_calls=True, by_addcmul=alike)
    apart = maps_dtype.itemsize == 2 and maps_channels_last
    few = math.prod(shape[2:]) <= _CALL_BOUND_PIXELS
    copied = apart and channels_last and shape[1] >= _VECTOR and math.prod(shape) <= _CACHED_ELEMENTS
    return _Plan(by_calls=few or copied, by_addcmul=alike and apart)


def _modulate(x: Tensor, gamma_beta: Tensor, slope: float | None) -> Tensor:
    """Scale by 1 + gamma, shift by beta, then leaky ReLU."""
    plan = _plan(x.shape, x.device.type, is_channels_last(x), gamma_beta.dtype, is_channels_last(gamma_beta))
    if not plan.by_calls:
        return _modulation(x, gamma_beta, slope)
    gamma, beta = gamma_beta.chunk(2, dim=1)
    result = torch.addcmul(beta, x, gamma + 1) if plan.by_addcmul else torch.mul(x, gamma + 1).add_(beta)
    return result if slope is None else F.leaky_relu_(result, slope)


class _Modulation(torch.autograd.Function):
    """The node of `_modulate` that makes few new tensors.

    On the CPU a new tensor costs more than the arithmetic that fills it. Autograd makes one for every operation; here
    they are the result, forward, and the two gradients, backward, of which that of the maps is written half by half.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, gamma_beta: Tensor, slope: float | None) -> Tensor:
        gamma, beta = _halves(gamma_beta)
        result = _scaled(x, gamma).add_(beta)
        if slope is not None:
            F.leaky_relu_(result, slope)
        ctx.save_for_backward(x, gamma_beta, None if slope is None else result)
        ctx.slope = slope
        return result

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        x, gamma_beta, result = ctx.saved_tensors
        if torch.is_grad_enabled():
            if result is not None:
                grad = torch.where(result > 0, grad, ctx.slope * grad)
            gamma = gamma_beta.chunk(2, dim=1)[0]
            return grad * (1 + gamma), torch.cat((grad * x, grad), dim=1), None
        if _lies_apart(gamma_beta):
            if result is not None:
                grad = torch.ops.aten.leaky_relu_backward(grad, result, ctx.slope, True)
            return _scaled(grad, _halves(gamma_beta)[0]), torch.cat((grad * x, grad), dim=1), None
        grad_map = torch.empty_like(gamma_beta)
        grad_gamma, grad_beta = grad_map.chunk(2, dim=1)
        if result is None:
            grad_beta.copy_(grad)
        else:
            _LEAKY_RELU_BACKWARD(grad, result, ctx.slope, True, grad_input=grad_beta)
            grad = grad_beta
        torch.mul(grad, x, out=grad_gamma)
        return _scaled(grad, gamma_beta.chunk(2, dim=1)[0]), grad_map, None


_modulation: Callable[[Tensor, Tensor, float | None], Tensor] = _Modulation.apply


def _lies_apart(gamma_beta: Tensor) -> bool:
    """Return whether halves are better copied: on the CPU, kernels crawl over 16-bit channels between others."""
    return gamma_beta.device.type == "cpu" and gamma_beta.dtype.itemsize == 2 and is_channels_last(gamma_beta)


def _halves(gamma_beta: Tensor) -> tuple[Tensor, Tensor]:
    """Return gamma and beta."""
    gamma, beta = gamma_beta.chunk(2, dim=1)
    if not _lies_apart(gamma_beta):
        return gamma, beta
    return gamma.contiguous(memory_format=torch.channels_last), beta.contiguous(memory_format=torch.channels_last)


def _scaled(x: Tensor, gamma: Tensor) -> Tensor:
    """Scale by 1 + gamma; addcmul is slow where pixels lie apart, as those of half of the channels in channels-last."""
    if gamma.stride(-1) == 1 or gamma.stride() == x.stride():
        return torch.addcmul(x, x, gamma)
    return torch.mul(x, gamma).add_(x)
