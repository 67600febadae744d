"""Spectral normalisation of all layers of a network at once: iterate and divide lists of weights."""

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from vs_ops._matrices import as_matrix, as_weight, check_layers, reordered
from vs_ops._precision import compute_dtype, memory_format_of, without_autocast
from vs_ops._triton import refuse_floats
from vs_ops.dispatch import DescribedCall, Implementation, Operator, select
from vs_ops.errors import DtypeError, VsOpsError
from vs_ops.spectral_norm import power_iteration_reference, spectral_normalize_reference

__all__ = ["SPECTRAL_NORMALIZE_ALL", "Normalised", "spectral_normalize_all"]


class Normalised(NamedTuple):
    """What `spectral_normalize_all` returns: three lists in the order of the weights."""

    weights: list[Tensor]
    """(R, ...) each: weight / sigma."""
    us: list[Tensor]
    """(R,) each: left singular vectors after the iterations."""
    vs: list[Tensor]
    """(C,) each: right singular vectors after the iterations."""


def spectral_normalize_all(
    weights: Sequence[Float[Tensor, "..."]],
    us: Sequence[Float[Tensor, "..."]],
    vs: Sequence[Float[Tensor, "..."]],
    *,
    iterations: int = 1,
    eps: float = 1e-12,
    dtype: torch.dtype | None = None,
    impl: str = "auto",
) -> Normalised:
    """`power_iteration`, `iterations` times, and `spectral_normalize`, for every weight of a list.

    Args:
        weights: any number of weights, (R, ...) each.
        us: left singular vectors, (R,) each.
        vs: right singular vectors, (C,) each with C the product of the weight's other dimensions.
        iterations: power iterations before the division; 0 divides by u^T W v as the vectors are.
        eps: least norm that a vector is divided by.
        dtype: of the normalised weights, that of each weight by default. Asking for the dtype that a convolution will
            compute in saves the cast after the division.
        impl: which implementation to use.

    Differentiable in the weights, through sigma too; the vectors count as constants, are returned as new tensors
    without gradient, and may be overwritten before backward. Weights of one call may share a node of the graph: who
    goes backward through some of them and later through others retains it (`retain_graph=True`). Products with
    vectors, sigma and the division are float32 (float64 for float64), whatever autocast says, and rounded once at the
    end. A normalised weight has the memory format of its weight.

    Raises:
        ShapeError: shapes do not fit; the message says which weight of the list.
        DtypeError: `dtype` is no floating dtype.
        VsOpsError: lists differ in length, or iterations is negative.
    """
    check_layers("spectral_normalize_all", weights, us, vs)
    if iterations < 0:
        raise VsOpsError("spectral_normalize_all", f"iterations must not be negative, got {iterations}")
    if dtype is not None and not dtype.is_floating_point:
        raise DtypeError("spectral_normalize_all", "dtype", dtype, "a floating dtype")
    if not weights:
        return Normalised([], [], [])
    sizes = [weight.numel() for weight in weights]
    largest = weights[sizes.index(max(sizes))]
    results = select(SPECTRAL_NORMALIZE_ALL, largest, impl)(list(weights), list(us), list(vs), iterations, eps, dtype)
    return results  # type: ignore[no-any-return]


def spectral_normalize_all_reference(
    weights: list[Tensor], us: list[Tensor], vs: list[Tensor], iterations: int, eps: float, dtype: torch.dtype | None
) -> Normalised:
    """`spectral_normalize_all`, readable: one weight after the other."""
    new_us, new_vs, normalised = [], [], []
    for weight, u, v in zip(weights, us, vs, strict=True):
        wide = compute_dtype(weight)
        u, v = u.detach().to(wide, copy=True), v.detach().to(wide, copy=True)
        for _ in range(iterations):
            u, v = power_iteration_reference(weight.flatten(1), u, eps)
        new_us.append(u)
        new_vs.append(v)
        result = spectral_normalize_reference(weight if dtype is None else weight.to(wide), u, v)
        normalised.append(result if dtype is None else result.to(dtype))
    return Normalised(normalised, new_us, new_vs)


def spectral_normalize_all_native(
    weights: list[Tensor], us: list[Tensor], vs: list[Tensor], iterations: int, eps: float, dtype: torch.dtype | None
) -> Normalised:
    """`spectral_normalize_all` with as few passes over the weights as there can be, and few calls for small ones.

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


_PORTION = 2**20
"""Elements of weights that fit into a cache, where the second product and the division find them."""


def _portions(weights: Sequence[Tensor]) -> Iterator[slice]:
    """Consecutive weights that fit into a cache together, or one that does not."""
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
        copies = torch._foreach_mul(lefts, 1.0)  # for what is returned may be changed
        constants = _Constants(_numbers(sigmas.reciprocal()), copies, rights)
    divided = _Divide.apply(constants, dtype, *weights)  # type: ignore[no-untyped-call]
    ordered = [reordered(v, w, back=True) for v, w in zip(rights, weights, strict=True)]
    return Normalised(divided, lefts, ordered)


def _unit(vectors: list[Tensor], eps: float) -> Tensor:
    """Divide each vector, in place, by its norm, which counts as `eps` at least; returned is what was times what is."""
    norms = torch.stack(torch._foreach_norm(vectors))
    divisors = norms.clamp_min(eps)
    torch._foreach_div_(vectors, _numbers(divisors))
    return norms * (norms / divisors)


def _numbers(values: Tensor) -> Sequence[Any]:
    """Numbers on the host, with which it is quicker, or on another device, for which it had to wait, tensors."""
    return values.tolist() if values.device.type == "cpu" else values.unbind()


class _Constants(NamedTuple):
    """What a portion of weights is divided by: 1 / sigma, and the singular vectors that sigma was found with."""

    scales: Sequence[Any]
    us: Sequence[Tensor]
    vs: Sequence[Tensor]


class _Divide(torch.autograd.Function):
    """Weights times `scales`, which are 1 over the functions u^T W v of them; the vectors are constant.

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


def _divided(weights: Sequence[Tensor], scales: Sequence[Any], dtype: torch.dtype | None) -> Sequence[Tensor]:
    """Every weight times its scale, in `dtype` or its own, rounded once."""
    if all(weight.dtype is compute_dtype(weight) and dtype in (None, weight.dtype) for weight in weights):
        return torch._foreach_mul(weights, scales)  # type: ignore[no-any-return, call-overload]
    scaled = []
    for weight, scale in zip(weights, scales, strict=True):  # one by one, so that what is rounded is still in the cache
        wide = torch.mul(weight.to(compute_dtype(weight)), scale)
        scaled.append(wide.to(dtype or weight.dtype))
    return scaled


def _gradient(grad: Tensor, weight: Tensor, scale: Any, u: Tensor, v: Tensor) -> Tensor:
    """The gradient of `weight * scale`: scale * grad - scale^2 * <grad, weight> * u v^T.

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
    if isinstance(scale, Tensor):
        result = (upstream * scale).addr_(u * (-overlap * scale * scale), v)
    else:  # in one pass, in place where it is a copy
        alpha = _within(-overlap.item() * scale * scale, upstream.dtype)
        out = None if upstream.data_ptr() == grad.data_ptr() else upstream
        result = torch.addr(upstream, u, v, beta=scale, alpha=alpha, out=out)
    return _in(weight.dtype, result.view_as(weight) if simple else as_weight(result, weight))


def _in(dtype: torch.dtype, tensor: Tensor) -> Tensor:
    """The tensor in a dtype; asking whether it is costs less than PyTorch's own asking."""
    return tensor if tensor.dtype is dtype else tensor.to(dtype)


def _within(number: float, dtype: torch.dtype) -> float:
    """`number`, or infinity where `dtype` has no such number: PyTorch would refuse it."""
    return number if abs(number) <= torch.finfo(dtype).max else number * math.inf


def differentiable_gradient(grad: Tensor, weight: Tensor, u: Tensor, v: Tensor) -> Tensor:
    """`_gradient` as a differentiable function of `grad` and `weight`."""
    matrix, upstream = as_matrix(weight), as_matrix(grad.to(compute_dtype(weight)), like=weight)
    sigma = torch.dot(u, torch.mv(matrix, v))
    overlap = (upstream * matrix).sum()
    result = upstream / sigma - overlap / sigma.square() * torch.outer(u, v)
    return as_weight(result, weight).to(weight.dtype)


def _triton(
    weights: list[Tensor], us: list[Tensor], vs: list[Tensor], iterations: int, eps: float, dtype: torch.dtype | None
) -> Normalised:
    from vs_ops.triton.spectral_normalize_all import spectral_normalize_all_triton as function

    return function(weights, us, vs, iterations, eps, dtype)


def _refuse_native(call: DescribedCall) -> str | None:
    if 0 in call.shape:
        return "the products need at least one element"
    return None


SPECTRAL_NORMALIZE_ALL = Operator(
    name="spectral_normalize_all",
    implementations=(
        Implementation(name="native", function=spectral_normalize_all_native, refuse=_refuse_native),
        Implementation(name="reference", function=spectral_normalize_all_reference),
        Implementation(name="triton", function=_triton, refuse=refuse_floats, compilable=True),
    ),
)
