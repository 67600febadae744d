"""The largest singular values of all layers by Triton: two launches, however many layers (see `_spectral_kernels`)."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from vs_ops._layout import dense
from vs_ops._precision import compute_dtype
from vs_ops.native.singular_values import singular_values_native
from vs_ops.triton import _spectral_kernels as kernels
from vs_ops.triton._launch import element_of, on_device_of
from vs_ops.triton._layers import COLUMNS_OF_ROWS, LANES, ROWS, fit, layout_of
from vs_ops.triton._registration import registered
from vs_ops.triton._tables import sent


@registered("vs_ops::singular_values")
def sigmas(weights: Sequence[Tensor], us: Sequence[Tensor], vs: Sequence[Tensor]) -> Tensor:
    """Return sigma = u^T W v of all layers, (layers,); the weights are dense, and of one dtype."""
    layout, first = layout_of(weights), weights[0]
    wide = compute_dtype(first)
    vectors = torch.cat((*us, *vs)).to(wide)
    _, forths, _, _ = layout.layers
    ys, y_sums = vectors.new_empty(layout.lefts + len(forths)).split((layout.lefts, len(forths)))
    result = vectors.new_empty(len(weights))
    common = {"dtype": element_of(wide), "lanes": LANES}
    with on_device_of(first):
        kernels.forth[(len(forths),)](
            *(sent(weights, first.device), layout.table, forths, vectors, layout.lefts, None, None, ys, y_sums),
            eps=0.0,
            element=element_of(first.dtype),
            block_r=ROWS,
            block_c=COLUMNS_OF_ROWS,
            **common,
        )
        kernels.sums[(len(weights),)](y_sums, layout.table, result, **common)
    return result


@sigmas.register_fake
def _(weights: Sequence[Tensor], us: Sequence[Tensor], vs: Sequence[Tensor]) -> Tensor:
    return weights[0].new_empty(len(weights), dtype=compute_dtype(weights[0]))


def _remember(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    weights, us, vs = inputs
    ctx.save_for_backward(*us, *vs)
    ctx.likes = [(each.shape, each.dtype) for each in weights]


def _gradient(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    """Return the product of both vectors: what is linear in a weight needs no kernel of its own."""
    saved, none = ctx.saved_tensors, [None] * len(ctx.likes)
    us, vs = saved[: len(none)], saved[len(none) :]
    found = [
        (one * torch.outer(u, v).to(grad.dtype)).view(shape).to(dtype) if want else None
        for one, u, v, (shape, dtype), want in zip(grad, us, vs, ctx.likes, ctx.needs_input_grad[0], strict=True)
    ]
    return found, none, none


sigmas.register_autograd(_gradient, setup_context=_remember)


def singular_values_triton(weights: Sequence[Tensor], us: Sequence[Tensor], vs: Sequence[Tensor]) -> list[Tensor]:
    """Compute `vs_ops.singular_values`; weights that do not fit into one launch are left to PyTorch."""
    if not fit(weights):
        return singular_values_native(weights, us, vs)
    detached = ([each.detach() for each in some] for some in (us, vs))
    return list(sigmas([dense(each) for each in weights], *detached).unbind())
