"""`spectral_normalize_all` with as few passes over the weights as there can be, and few calls for small ones."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from vs_ops._layout import memory_format_of
from vs_ops._matrices import as_matrix, as_weight, reordered
from vs_ops._precision import compute_dtype, without_autocast
from vs_ops.reference.spectral_normalize_all import Normalised

_PORTION = 2**20
"""Elements of weights that fit into a cache, where the second product and the division find them."""


def spectral_normalize_all_native(
    weights: list[Tensor], us: list[Tensor], vs: list[Tensor], iterations: int, eps: float, dtype: torch.dtype | None
) -> Normalised:
    """Compute `spectral_normalize_all` a portion of weights at a time.

    An iteration leaves W v behind, whose norm is sigma: dividing costs no further product. A weight in channels-last
    order is read as the matrix that lies in memory, with the vector put into that order, instead of being copied. The
    backward pass reads the gradient twice and the weight once, and writes once.
    """
    result = Normalised([], [], [])
    for some in _portions(weights):
        portion = _normalize(weights[some], us[some], vs[some], iterations, eps, dtype)
        for whole, part in zip(result, portion, strict=True):
            whole.extend(part)
    return result


def _portions(weights: Sequence[Tensor]) -> Iterator[slice]:
    """Yield consecutive weights that fit into a cache together, or one that does not."""
    start, count = 0, 0
    for index, weight in enumerate(weights):
        if count and count + weight.numel() > _PORTION:
            yield slice(start, index)
            start, count = index, 0
        count += weight.numel()
    yield slice(start, len(weights))


def _normalize(
    weights: list[Tensor], us: list[Tensor], vs: list[Tensor], iterations: int, eps: float, dtype: torch.dtype | None
) -> Normalised:
    with torch.no_grad(), without_autocast(weights[0]):
        lefts, rights, sigmas = _iterated(weights, us, vs, iterations, eps)
        # The division keeps vectors of its own, for what is returned may be changed.
        copies = torch._foreach_mul(lefts, 1.0)
        constants = _Constants(_numbers(sigmas.reciprocal()), copies, rights)
    divided = _divide(constants, dtype, *weights)
    ordered = [reordered(v, w, back=True) for v, w in zip(rights, weights, strict=True)]
    return Normalised(list(divided), lefts, ordered)


def power_iterations_native(
    weights: list[Tensor], us: list[Tensor], vs: list[Tensor], iterations: int, eps: float
) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
    """Return new left and right vectors and sigmas of weights, without gradient."""
    with torch.no_grad(), without_autocast(weights[0]):
        lefts, rights, sigmas = _iterated(weights, us, vs, iterations, eps)
        ordered = [reordered(v, w, back=True) for v, w in zip(rights, weights, strict=True)]
    return lefts, ordered, list(sigmas.unbind())


def _iterated(
    weights: list[Tensor], us: list[Tensor], vs: list[Tensor], iterations: int, eps: float
) -> tuple[list[Tensor], list[Tensor], Tensor]:
    """Return new left vectors, right vectors in the order of `as_matrix`, and sigmas."""
    # Products with the weights as they lie in memory; the last one's norm is sigma, if there is an iteration.
    matrices = [as_matrix(weight) for weight in weights]
    lefts = [u.to(m.dtype, copy=not iterations) for u, m in zip(us, matrices, strict=True)]
    for _ in range(iterations):
        rights = [torch.mv(m.t(), u) for m, u in zip(matrices, lefts, strict=True)]
        _unit(rights, eps)
        lefts = [torch.mv(m, v) for m, v in zip(matrices, rights, strict=True)]
        sigmas = _unit(lefts, eps)
    if not iterations:
        rights = [reordered(v.to(m.dtype), w) for v, m, w in zip(vs, matrices, weights, strict=True)]
        products = [torch.mv(m, v) for m, v in zip(matrices, rights, strict=True)]
        sigmas = torch.stack([torch.dot(u, product) for u, product in zip(lefts, products, strict=True)])
    return lefts, rights, sigmas


def _unit(vectors: list[Tensor], eps: float) -> Tensor:
    """Divide each vector, in place, by its norm, which counts as `eps` at least; returned is what was times what is."""
    norms = torch.stack(torch._foreach_norm(vectors))
    divisors = norms.clamp_min(eps)
    torch._foreach_div_(vectors, _numbers(divisors))
    return norms * (norms / divisors)


def _numbers(values: Tensor) -> Sequence[Any]:
    """Return numbers on the host, with which it is quicker, or on another device, for which it had to wait, tensors."""
    return values.tolist() if values.device.type == "cpu" else values.unbind()


class _Constants(NamedTuple):
    """The divisors of a portion of weights: 1 / sigma, and the singular vectors that sigma was found with."""

    scales: Sequence[Any]
    us: Sequence[Tensor]
    vs: Sequence[Tensor]


class _Divide(torch.autograd.Function):
    """The product of weights and `scales`, which are 1 over the functions u^T W v of them; the vectors are constant.

    There is a node for each portion of layers: with one for each layer Python would take as long as small layers do,
    and with one for all no gradient were finished, and what it was made from freed, before the backward pass ends.
    """

    @staticmethod
    def forward(ctx: Any, constants: _Constants, dtype: torch.dtype | None, *weights: Tensor) -> tuple[Tensor, ...]:
        ctx.save_for_backward(*weights, *constants.us, *constants.vs)
        ctx.scales = constants.scales
        ctx.set_materialize_grads(False)
        return tuple(_divided(weights, constants.scales, dtype))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        saved, count = ctx.saved_tensors, len(grads)
        layers = zip(grads, saved[:count], ctx.scales, saved[count : 2 * count], saved[2 * count :], strict=True)
        with without_autocast(saved[0]):
            if torch.is_grad_enabled():
                found = [None if g is None else differentiable_gradient(g, w, u, v) for g, w, _, u, v in layers]
            else:
                found = [None if g is None else _gradient(g, w, scale, u, v) for g, w, scale, u, v in layers]
        return None, None, *found


_divide: Callable[..., tuple[Tensor, ...]] = _Divide.apply


def _divided(weights: tuple[Tensor, ...], scales: Sequence[Any], dtype: torch.dtype | None) -> Sequence[Tensor]:
    """Return every weight times its scale, in `dtype` or its own, rounded once."""
    if all(weight.dtype is compute_dtype(weight) and dtype in (None, weight.dtype) for weight in weights):
        return torch._foreach_mul(weights, scales)
    scaled = []
    for weight, scale in zip(weights, scales, strict=True):  # one by one, so that what is rounded is still in the cache
        wide = torch.mul(weight.to(compute_dtype(weight)), scale)
        scaled.append(wide.to(dtype or weight.dtype))
    return scaled


def _gradient(grad: Tensor, weight: Tensor, scale: Any, u: Tensor, v: Tensor) -> Tensor:
    """Return the gradient of `weight * scale`: scale * grad - scale^2 * <grad, weight> * u v^T.

    In the dtype and the memory format of `weight`.
    """
    simple = weight.is_contiguous() and grad.is_contiguous()  # of small layers, calls are all that takes time
    if simple:
        matrix, upstream = _in(u.dtype, weight.view(-1)), _in(u.dtype, grad.view(-1))
        overlap, upstream = torch.dot(upstream, matrix), upstream.view(u.shape[0], -1)
    else:
        matrix = as_matrix(weight)
        upstream = as_matrix(grad.to(matrix.dtype, memory_format=memory_format_of(weight)), like=weight)
        overlap = torch.dot(upstream.flatten(), matrix.flatten())
    if weight.device.type != "cpu":  # where `_numbers` makes tensors
        result = (upstream * scale).addr_(u * (-overlap * scale * scale), v)
    else:  # in one pass, in place where it is a copy
        alpha = _within(-overlap.item() * scale * scale, upstream.dtype)
        out = None if upstream.data_ptr() == grad.data_ptr() else upstream
        result = torch.addr(upstream, u, v, beta=scale, alpha=alpha, out=out)
    return _in(weight.dtype, result.view_as(weight) if simple else as_weight(result, weight))


def _in(dtype: torch.dtype, tensor: Tensor) -> Tensor:
    """Return the tensor in a dtype; asking whether it is costs less than PyTorch's own asking."""
    return tensor if tensor.dtype is dtype else tensor.to(dtype)


def _within(number: float, dtype: torch.dtype) -> float:
    """Return `number`, or infinity where `dtype` has no such number: PyTorch would refuse it."""
    return number if abs(number) <= torch.finfo(dtype).max else number * math.inf


def differentiable_gradient(grad: Tensor, weight: Tensor, u: Tensor, v: Tensor) -> Tensor:
    """Return `_gradient` as a differentiable function of `grad` and `weight`."""
    matrix, upstream = as_matrix(weight), as_matrix(grad.to(compute_dtype(weight)), like=weight)
    sigma = torch.dot(u, torch.mv(matrix, v))
    overlap = (upstream * matrix).sum()
    result = upstream / sigma - overlap / sigma.square() * torch.outer(u, v)
    return as_weight(result, weight).to(weight.dtype)
