"""`spectral_conv2d` that divides the result, which is small, and never the weight, which is large.

For few pixels the convolution is a matrix product with the weight as it lies in memory. Then the gradient of the weight
is one product too: the part of sigma, a matrix of rank one, is one more row on either side.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from vs_ops._layout import is_channels_last, memory_format_of
from vs_ops._matrices import as_matrix, as_weight, reordered
from vs_ops._precision import convolution_dtype
from vs_ops._refusals import refuse_empty
from vs_ops.dispatch import DescribedCall
from vs_ops.native.product_conv2d import columns, sides_of_result
from vs_ops.reference.spectral_conv2d import spectral_conv2d_reference

_MAX_PIXELS = 256
"""Pixels of a batch's result up to which a product of matrices is quicker than oneDNN, which reorders weights."""


class _Shape(NamedTuple):
    """Settings of a convolution."""

    stride: int
    padding: int


def spectral_conv2d_native(
    x: Tensor, weight: Tensor, bias: Tensor, u: Tensor, v: Tensor, sigma: Tensor | None, stride: int, padding: int
) -> Tensor:
    """Compute `spectral_conv2d` with the weight read once forward, and in one pass over it back."""
    # Where autocast casts the weight it may as well be divided; without samples there is nothing to gain.
    if convolution_dtype(weight) is not weight.dtype or not x.numel():
        return spectral_conv2d_reference(x, weight, bias, u, v, sigma, stride, padding)
    with torch.no_grad():
        if sigma is None:
            sigma = torch.dot(u, torch.mv(as_matrix(weight), reordered(v, weight, copy=False)))
        vectors = u.clone(), reordered(v, weight)  # the caller may change his
    return _convolve(x, weight, bias, *vectors, sigma.item(), _Shape(stride, padding))


class _SpectralConvolution(torch.autograd.Function):
    """The convolution by weight / sigma; `v` is in the order of the weight's matrix."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, u: Tensor, v: Tensor, sigma: float, shape: _Shape
    ) -> Tensor:
        ctx.sigma, ctx.shape = sigma, shape
        matrix = as_matrix(weight)
        h, w = sides_of_result(x, weight, *shape)
        if x.shape[0] * h * w <= _MAX_PIXELS:
            product = torch.mm(columns(x, weight, *shape), matrix.t())  # (N * H * W, C_out)
            result = torch.add(bias, product, alpha=1 / sigma).view(x.shape[0], h, w, -1).permute(0, 3, 1, 2)
        else:
            product = F.conv2d(x, weight, None, shape.stride, shape.padding)
            result = torch.add(bias.view(-1, 1, 1), product, alpha=1 / sigma)
        ctx.save_for_backward(x, weight, bias, u, v, product)
        return result.contiguous(memory_format=memory_format_of(x))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, bias, u, v, product = ctx.saved_tensors
        if torch.is_grad_enabled():
            inputs = [t for t, needed in zip((x, weight, bias), ctx.needs_input_grad[:3], strict=True) if needed]
            right = reordered(v, weight, back=True)
            result = spectral_conv2d_reference(x, weight, bias, u, right, None, *ctx.shape)
            found = iter(torch.autograd.grad(result, inputs, grad, create_graph=True))
            return *(next(found) if needed else None for needed in ctx.needs_input_grad[:3]), None, None, None, None
        constants = _Constants(u, v, ctx.sigma, ctx.shape)
        backward = _by_product if product.dim() == 2 else _by_convolution
        of_x, of_weight = backward(grad, x, weight, product, constants, ctx.needs_input_grad[:2])
        of_bias = grad.sum((0, 2, 3)) if ctx.needs_input_grad[2] else None
        return of_x, of_weight, of_bias, None, None, None, None


_convolve: Callable[..., Tensor] = _SpectralConvolution.apply


class _Constants(NamedTuple):
    u: Tensor
    v: Tensor
    sigma: float
    shape: _Shape

    def of_sigma(self, grad: Tensor, product: Tensor) -> float:
        """Return what `u v^T` is multiplied by in the gradient of the weight: -<grad, W x> / sigma^2."""
        return -torch.dot(grad.flatten(), product.flatten()).item() / self.sigma**2


def _by_product(
    grad: Tensor, x: Tensor, weight: Tensor, product: Tensor, constants: _Constants, needed: tuple[bool, bool]
) -> tuple[Tensor | None, Tensor | None]:
    u, v, sigma, shape = constants
    rows = grad.permute(0, 2, 3, 1).reshape(product.shape)  # (N * H * W, C_out)
    scaled = rows / sigma
    of_x = _folded(torch.mm(scaled, as_matrix(weight)), x, weight, shape) if needed[0] else None
    if not needed[1]:
        return of_x, None
    left = torch.cat((scaled, (u * constants.of_sigma(rows, product))[None]))
    right = torch.cat((columns(x, weight, *shape), v[None]))
    return of_x, as_weight(torch.mm(left.t(), right), weight)


def _by_convolution(
    grad: Tensor, x: Tensor, weight: Tensor, product: Tensor, constants: _Constants, needed: tuple[bool, bool]
) -> tuple[Tensor | None, Tensor | None]:
    u, v, sigma, shape = constants
    stride, padding, nothing = [shape.stride] * 2, [shape.padding] * 2, [0, 0]
    of_x, of_weight, _ = torch.ops.aten.convolution_backward(
        grad / sigma, x, weight, None, stride, padding, [1, 1], False, nothing, 1, [*needed, False]
    )
    if of_weight is not None:
        of_weight = of_weight.contiguous(memory_format=memory_format_of(weight))
        matrix = as_matrix(of_weight, like=weight)
        ordered = grad.contiguous(memory_format=memory_format_of(product))
        factor = constants.of_sigma(_in_memory(ordered), _in_memory(product))
        of_weight = as_weight(matrix.addr_(u, v, alpha=factor), weight)
    return of_x, of_weight


def _in_memory(x: Tensor) -> Tensor:
    """Return (N, C, H, W) with its axes in the order of memory."""
    return x.permute(0, 2, 3, 1) if is_channels_last(x) else x


def _folded(parts: Tensor, x: Tensor, weight: Tensor, shape: _Shape) -> Tensor:
    """Add up what `columns` has taken apart: the gradient of `x`, in its memory format."""
    n, c, height, width = x.shape
    k, stride, padding = weight.shape[-1], shape.stride, shape.padding
    h, w = sides_of_result(x, weight, *shape)
    taps = parts.view(n, h, w, k, k, c) if is_channels_last(weight) else parts.view(n, h, w, c, k, k).movedim(3, 5)
    whole = parts.new_zeros(n, height + 2 * padding, width + 2 * padding, c)
    for i in range(k):
        for j in range(k):
            whole[:, i : i + stride * h : stride, j : j + stride * w : stride] += taps[:, :, :, i, j]
    inside = whole[:, padding : padding + height, padding : padding + width]
    return inside.permute(0, 3, 1, 2).contiguous(memory_format=memory_format_of(x))


def refuse_native(call: DescribedCall) -> str | None:
    """Refuse by the weight (C_out, C_in, k, k): what is not computed in its own dtype, and other devices."""
    if call.device_type != "cpu":
        return "only tried on the CPU"
    if call.dtype not in (torch.float32, torch.float64):
        return "the division of small results rounds them once more"
    return refuse_empty(call)
