"""Spectral normalisation of all layers of a network by Triton: three launches, and two backward, however many layers.

The kernels find their matrices by address (see `_tables`). Every program belongs to one layer: a table says to which,
and of every layer the sizes, where its vectors lie among those of all, and which programs are its own.

An iteration is `back`, z = W^T u, and `forth`, y = W z / |z|; `divide` makes W / sigma of it, where sigma is |y|.
Every kernel leaves partial sums of squares, of which the next one makes the norm, in a fixed order: nothing is atomic.
Weights in channels-last order are read as they lie; their right vectors are put into the order of the matrix only when
they are stored. Backward: `overlap` sums gradient times weight, `combine` makes the gradient of it and both vectors.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from vs_ops._matrices import reordered
from vs_ops._precision import compute_dtype, dense, memory_format_of, without_autocast
from vs_ops.singular_values import singular_values_native
from vs_ops.spectral_normalize_all import Normalised, differentiable_gradient, spectral_normalize_all_native
from vs_ops.triton import _spectral_kernels as kernels
from vs_ops.triton._launch import accumulator, blocks, element_of, on_device_of, spread
from vs_ops.triton._registration import registered
from vs_ops.triton._tables import REMEMBERED, alike, can_send, owners, sent, stream_of

__all__ = [
    "normalise",
    "normalise_backward",
    "sigmas",
    "singular_values_triton",
    "spectral_normalize_all_triton",
]

_COLUMNS, _ROWS_OF_COLUMNS = 128, 8
"""A program of `back` owns so many columns, and holds so many rows of them at a time."""
_ROWS, _COLUMNS_OF_ROWS = 8, 128
"""A program of `forth` owns so many rows, and holds so many columns of them at a time."""
_BLOCK = 2048
"""A program of `divide` and `combine` owns so many elements."""
_MOST_PIECES = 64
"""A layer has at most so many programs in `overlap`, of which each program of `combine` reads the sums."""
_LANES = 256
"""So many partial sums are added at a time."""


class _Layout(NamedTuple):
    """What follows from the shapes and orders of all weights, on the device where it is needed."""

    table: Tensor
    """(layers, fields), int64."""
    layers: tuple[Tensor, ...]
    """For every kind of program the layers of all programs, int32."""
    lefts: int
    """Length of all left vectors together."""
    rights: int


@functools.lru_cache(maxsize=REMEMBERED)
def _layout(orders: tuple[tuple[torch.Size, tuple[int, ...]], ...], device: torch.device, stream: int) -> _Layout:
    """The layout of weights of the given shapes and strides, which are dense in one of two orders."""
    sizes, counts = [], []
    at_u = at_v = 0
    for shape, strides in orders:
        rows, columns = shape[0], shape[1:].numel()
        together = len(shape) == 4 and strides[1] == 1 and strides[3] != 1
        channels, taps = (shape[1], shape[2] * shape[3]) if together else (columns, 1)
        elements = blocks(rows * columns, _BLOCK)
        sizes.append((rows, columns, channels, taps, at_u, at_v))
        counts.append((blocks(columns, _COLUMNS), blocks(rows, _ROWS), elements, min(elements, _MOST_PIECES)))
        at_u, at_v = at_u + rows, at_v + columns
    kinds = [(owners(kind, device), kind) for kind in zip(*counts, strict=True)]
    programs = zip(*(row for (_, firsts), kind in kinds for row in (firsts, kind)), strict=True)
    fields = [(*first, *then) for first, then in zip(sizes, programs, strict=True)]
    return _Layout(
        table=torch.tensor(fields, dtype=torch.int64, device=device),
        layers=tuple(owner for (owner, _), _ in kinds),
        lefts=at_u,
        rights=at_v,
    )


def _layout_of(weights: Sequence[Tensor]) -> _Layout:
    orders = tuple((each.shape, each.stride()) for each in weights)
    return _layout(orders, weights[0].device, stream_of(weights[0].device))


def _made(weights: Sequence[Tensor], dtype: torch.dtype) -> list[Tensor]:
    """Empty tensors of a dtype that lie as the weights do."""
    return [torch.empty_like(each, dtype=dtype) for each in weights]


@registered("vs_ops::spectral_normalize_all")
def normalise(
    weights: Sequence[Tensor],
    us: Sequence[Tensor],
    vs: Sequence[Tensor],
    iterations: int,
    eps: float,
    dtype: torch.dtype,
) -> tuple[list[Tensor], Tensor, Tensor]:
    """All normalised weights; all left and then all right vectors in one row; 1 / sigma of all layers.

    The weights are dense, and of one dtype.
    """
    layout, first = _layout_of(weights), weights[0]
    wide, device = compute_dtype(first), first.device
    backs, forths, elements, _ = layout.layers
    lefts, rights = layout.lefts, layout.rights
    vectors = torch.cat((*us, *vs)).to(wide)
    ys, of_ys, zs, of_zs = vectors.new_empty(lefts + len(forths) + rights + len(backs)).split(
        (lefts, len(forths), rights, len(backs))
    )
    scales, results = vectors.new_empty(len(weights)), _made(weights, dtype)
    where = sent(weights, device), layout.table
    common = {"eps": eps, "element": element_of(first.dtype), "dtype": accumulator(wide), "lanes": _LANES}
    back = {"block_r": _ROWS_OF_COLUMNS, "block_c": _COLUMNS, **common}
    forth = {"block_r": _ROWS, "block_c": _COLUMNS_OF_ROWS, **common}
    with on_device_of(first):
        for number in range(iterations):
            kernels.back[(len(backs),)](*where, backs, vectors, ys if number else None, of_ys, zs, of_zs, **back)
            kernels.forth[(len(forths),)](*where, forths, vectors, lefts, zs, of_zs, ys, of_ys, **forth)
        if not iterations:
            kernels.forth[(len(forths),)](*where, forths, vectors, lefts, None, of_zs, ys, of_ys, **forth)
        kernels.divide[(len(elements),)](
            *(*where, sent(results, device), elements, vectors, ys, of_ys, scales),
            iterated=iterations > 0,
            result=element_of(dtype),
            block=_BLOCK,
            **common,
        )
    return results, vectors, scales


@normalise.register_fake
def _(
    weights: Sequence[Tensor],
    us: Sequence[Tensor],
    vs: Sequence[Tensor],
    iterations: int,
    eps: float,
    dtype: torch.dtype,
) -> tuple[list[Tensor], Tensor, Tensor]:
    first, wide = weights[0], compute_dtype(weights[0])
    length = sum(each.numel() for each in (*us, *vs))
    return _made(weights, dtype), first.new_empty(length, dtype=wide), first.new_empty(len(weights), dtype=wide)


@registered("vs_ops::spectral_normalize_all_backward")
def normalise_backward(
    grads: Sequence[Tensor | None], weights: Sequence[Tensor], vectors: Tensor, scales: Tensor
) -> list[Tensor]:
    """The gradients in those weights of whose normalised weights there is one, as the weights lie.

    The gradients that are given are all of one dtype.
    """
    layout, first = _layout_of(weights), weights[0]
    given = [
        None if grad is None else grad.contiguous(memory_format=memory_format_of(each))
        for grad, each in zip(grads, weights, strict=True)
    ]
    results = [None if grad is None else torch.empty_like(each) for grad, each in zip(given, weights, strict=True)]
    addresses, of_grads, of_results = (sent(each, first.device) for each in (weights, given, results))
    _, _, elements, pieces = layout.layers
    overlaps = vectors.new_empty(len(pieces))
    of_grad = next(element_of(each.dtype) for each in given if each is not None)
    choices = {"of_grad": of_grad, "dtype": accumulator(vectors.dtype), "block": _BLOCK}
    element = element_of(first.dtype)
    with on_device_of(first):
        kernels.overlap[(len(pieces),)](addresses, of_grads, layout.table, pieces, overlaps, element=element, **choices)
        kernels.combine[(len(elements),)](
            *(of_grads, of_results, layout.table, elements, vectors, layout.lefts, scales, overlaps),
            lanes=_LANES,
            result=element,
            **choices,
        )
    return [each for each in results if each is not None]


@normalise_backward.register_fake
def _(grads: Sequence[Tensor | None], weights: Sequence[Tensor], vectors: Tensor, scales: Tensor) -> list[Tensor]:
    return [torch.empty_like(each) for grad, each in zip(grads, weights, strict=True) if grad is not None]


def _remember(ctx: Any, inputs: tuple[Any, ...], output: tuple[list[Tensor], Tensor, Tensor]) -> None:
    _, vectors, scales = output
    ctx.save_for_backward(*inputs[0], vectors.clone(), scales)  # what is returned may be changed
    ctx.mark_non_differentiable(vectors, scales)
    ctx.set_materialize_grads(False)


def _gradient(ctx: Any, grads: Sequence[Tensor | None], *_: None) -> tuple[Any, ...]:
    """Nothing is computed for weights that nobody used, or whose gradient nobody wants."""
    *weights, vectors, scales = ctx.saved_tensors
    given = [grad if want else None for grad, want in zip(grads, ctx.needs_input_grad[0], strict=True)]
    wanted = [grad is not None for grad in given]
    found: Sequence[Tensor] = []
    if torch.is_grad_enabled():
        us, vs = _split(vectors, weights)
        with without_autocast(vectors):
            found = [
                differentiable_gradient(grad, weight, u, reordered(v, weight))
                for grad, weight, u, v in zip(given, weights, us, vs, strict=True)
                if grad is not None
            ]
    elif any(wanted):
        found = normalise_backward(given, weights, vectors, scales)
    none = [None] * len(weights)
    return list(spread(found, wanted)), none, none, None, None, None


normalise.register_autograd(_gradient, setup_context=_remember)


@registered("vs_ops::singular_values")
def sigmas(weights: Sequence[Tensor], us: Sequence[Tensor], vs: Sequence[Tensor]) -> Tensor:
    """Sigma = u^T W v of all layers, (layers,); weights as for `normalise`."""
    layout, first = _layout_of(weights), weights[0]
    wide = compute_dtype(first)
    vectors = torch.cat((*us, *vs)).to(wide)
    _, forths, _, _ = layout.layers
    ys, of_ys = vectors.new_empty(layout.lefts + len(forths)).split((layout.lefts, len(forths)))
    result = vectors.new_empty(len(weights))
    common = {"dtype": accumulator(wide), "lanes": _LANES}
    with on_device_of(first):
        kernels.forth[(len(forths),)](
            *(sent(weights, first.device), layout.table, forths, vectors, layout.lefts, None, None, ys, of_ys),
            eps=0.0,
            element=element_of(first.dtype),
            block_r=_ROWS,
            block_c=_COLUMNS_OF_ROWS,
            **common,
        )
        kernels.sums[(len(weights),)](of_ys, layout.table, result, **common)
    return result


@sigmas.register_fake
def _(weights: Sequence[Tensor], us: Sequence[Tensor], vs: Sequence[Tensor]) -> Tensor:
    return weights[0].new_empty(len(weights), dtype=compute_dtype(weights[0]))


def _remember_sigmas(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    weights, us, vs = inputs
    ctx.save_for_backward(*us, *vs)
    ctx.likes = [(each.shape, each.dtype) for each in weights]


def _gradient_of_sigmas(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    """The product of both vectors: what is linear in a weight needs no kernel of its own."""
    saved, none = ctx.saved_tensors, [None] * len(ctx.likes)
    us, vs = saved[: len(none)], saved[len(none) :]
    found = [
        (one * torch.outer(u, v).to(grad.dtype)).view(shape).to(dtype) if want else None
        for one, u, v, (shape, dtype), want in zip(grad, us, vs, ctx.likes, ctx.needs_input_grad[0], strict=True)
    ]
    return found, none, none


sigmas.register_autograd(_gradient_of_sigmas, setup_context=_remember_sigmas)


def singular_values_triton(weights: Sequence[Tensor], us: Sequence[Tensor], vs: Sequence[Tensor]) -> list[Tensor]:
    """`vs_ops.singular_values` by Triton, where `spectral_normalize_all_triton` would do."""
    if not _fit(weights):
        return singular_values_native(weights, us, vs)
    detached = ([each.detach() for each in some] for some in (us, vs))
    return list(sigmas([dense(each) for each in weights], *detached).unbind())


def _fit(weights: Sequence[Tensor]) -> bool:
    """Whether the kernels take these weights, and can be sent their addresses now."""
    return alike(weights) and all(each.numel() for each in weights) and can_send(weights[0].device)


def _split(vectors: Tensor, weights: Sequence[Tensor]) -> tuple[Sequence[Tensor], Sequence[Tensor]]:
    """The left and the right vectors of all weights."""
    both = vectors.split([each.shape[0] for each in weights] + [each.shape[1:].numel() for each in weights])
    return both[: len(weights)], both[len(weights) :]


def spectral_normalize_all_triton(
    weights: list[Tensor], us: list[Tensor], vs: list[Tensor], iterations: int, eps: float, dtype: torch.dtype | None
) -> Normalised:
    """`vs_ops.spectral_normalize_all` by Triton.

    Weights of several dtypes or devices are left to PyTorch, and so is what is being captured in a CUDA graph, because
    addresses cannot be sent then.
    """
    first = weights[0]
    if not _fit(weights):
        return spectral_normalize_all_native(weights, us, vs, iterations, eps, dtype)
    lying = [dense(each) for each in weights]
    normalised, vectors, _ = normalise(lying, us, vs, iterations, float(eps), first.dtype if dtype is None else dtype)
    return Normalised(normalised, *map(list, _split(vectors, lying)))
