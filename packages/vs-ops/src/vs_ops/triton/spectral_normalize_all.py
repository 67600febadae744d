"""Spectral normalisation of all layers of a network by Triton: three launches, and two backward, however many layers.

The kernels find their matrices by address (see `_tables`). Every program belongs to one layer: a table says to which,
and of every layer the sizes, where its vectors lie among those of all, and which programs are its own.

An iteration is `back`, z = W^T u, and `forth`, y = W z / |z|; `divide` makes W / sigma of it, where sigma is |y|.
Every kernel leaves partial sums of squares, of which the next one makes the norm, in a fixed order: nothing is atomic.
Weights in channels-last order are read as they lie; their right vectors are put into the order of the matrix only when
they are stored. Backward: `overlap` sums gradient times weight, `combine` makes the gradient of it and both vectors.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from vs_ops._layout import dense, memory_format_of
from vs_ops._matrices import reordered
from vs_ops._precision import compute_dtype, without_autocast
from vs_ops.native.spectral_normalize_all import differentiable_gradient, spectral_normalize_all_native
from vs_ops.reference.spectral_normalize_all import Normalised
from vs_ops.triton import _spectral_kernels as kernels
from vs_ops.triton._launch import element_of, on_device_of, spread
from vs_ops.triton._layers import (
    BLOCK,
    COLUMNS,
    COLUMNS_OF_ROWS,
    LANES,
    ROWS,
    ROWS_OF_COLUMNS,
    fit,
    layout_of,
)
from vs_ops.triton._registration import registered
from vs_ops.triton._tables import sent


def _made(weights: Sequence[Tensor], dtype: torch.dtype) -> list[Tensor]:
    """Return empty tensors of a dtype that lie as the weights do."""
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
    """Return all normalised weights; all left and then all right vectors in one row; 1 / sigma of all layers.

    The weights are dense, and of one dtype.
    """
    layout, first = layout_of(weights), weights[0]
    wide, device = compute_dtype(first), first.device
    backs, forths, elements, _ = layout.layers
    lefts, rights = layout.lefts, layout.rights
    # All vectors in one row, which become the results, and one allocation for what passes between the kernels.
    vectors = torch.cat((*us, *vs)).to(wide)
    ys, y_sums, zs, z_sums = vectors.new_empty(lefts + len(forths) + rights + len(backs)).split(
        (lefts, len(forths), rights, len(backs))
    )
    scales, results = vectors.new_empty(len(weights)), _made(weights, dtype)
    where = sent(weights, device), layout.table
    common = {"eps": eps, "element": element_of(first.dtype), "dtype": element_of(wide), "lanes": LANES}
    back = {"block_r": ROWS_OF_COLUMNS, "block_c": COLUMNS, **common}
    forth = {"block_r": ROWS, "block_c": COLUMNS_OF_ROWS, **common}
    with on_device_of(first):
        for number in range(iterations):
            kernels.back[(len(backs),)](*where, backs, vectors, ys if number else None, y_sums, zs, z_sums, **back)
            kernels.forth[(len(forths),)](*where, forths, vectors, lefts, zs, z_sums, ys, y_sums, **forth)
        if not iterations:
            kernels.forth[(len(forths),)](*where, forths, vectors, lefts, None, z_sums, ys, y_sums, **forth)
        kernels.divide[(len(elements),)](
            *(*where, sent(results, device), elements, vectors, ys, y_sums, scales),
            iterated=iterations > 0,
            result=element_of(dtype),
            block=BLOCK,
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
    """Return the gradients in those weights of whose normalised weights there is one, as the weights lie.

    The gradients that are given are all of one dtype.
    """
    layout, first = layout_of(weights), weights[0]
    given = [
        None if grad is None else grad.contiguous(memory_format=memory_format_of(each))
        for grad, each in zip(grads, weights, strict=True)
    ]
    results = [None if grad is None else torch.empty_like(each) for grad, each in zip(given, weights, strict=True)]
    addresses, grad_addresses, result_addresses = (sent(each, first.device) for each in (weights, given, results))
    _, _, elements, pieces = layout.layers
    overlaps = vectors.new_empty(len(pieces))
    grad_element = next(element_of(each.dtype) for each in given if each is not None)
    choices = {"grad_element": grad_element, "dtype": element_of(vectors.dtype), "block": BLOCK}
    element = element_of(first.dtype)
    with on_device_of(first):
        kernels.overlap[(len(pieces),)](
            addresses, grad_addresses, layout.table, pieces, overlaps, element=element, **choices
        )
        kernels.combine[(len(elements),)](
            *(grad_addresses, result_addresses, layout.table, elements, vectors, layout.lefts, scales, overlaps),
            lanes=LANES,
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
    """Compute nothing for weights that nobody used, or whose gradient nobody wants."""
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


def _split(vectors: Tensor, weights: Sequence[Tensor]) -> tuple[Sequence[Tensor], Sequence[Tensor]]:
    """Return the left and the right vectors of all weights."""
    both = vectors.split([each.shape[0] for each in weights] + [each.shape[1:].numel() for each in weights])
    return both[: len(weights)], both[len(weights) :]


def spectral_normalize_all_triton(
    weights: list[Tensor], us: list[Tensor], vs: list[Tensor], iterations: int, eps: float, dtype: torch.dtype | None
) -> Normalised:
    """Compute `vs_ops.spectral_normalize_all`.

    Weights of several dtypes or devices are left to PyTorch, and so is what is being captured in a CUDA graph, because
    addresses cannot be sent then.
    """
    first = weights[0]
    if not fit(weights):
        return spectral_normalize_all_native(weights, us, vs, iterations, eps, dtype)
    lying = [dense(each) for each in weights]
    normalised, vectors, _ = normalise(lying, us, vs, iterations, float(eps), first.dtype if dtype is None else dtype)
    return Normalised(normalised, *map(list, _split(vectors, lying)))
