"""The largest singular values of many weights, from singular vectors that are known already (Miyato et al., 2018)."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from vs_ops._matrices import as_matrix, check_layers, reordered
from vs_ops._precision import compute_dtype, without_autocast
from vs_ops._triton import refuse_floats
from vs_ops.dispatch import DescribedCall, Implementation, Operator, select

__all__ = ["SINGULAR_VALUES", "singular_values"]


def singular_values(
    weights: Sequence[Float[Tensor, "..."]],
    us: Sequence[Float[Tensor, "..."]],
    vs: Sequence[Float[Tensor, "..."]],
    *,
    impl: str = "auto",
) -> list[Float[Tensor, ""]]:
    """Sigma = u^T W v of every weight of a list, with W = weight.flatten(1); nothing is iterated or divided.

    Args:
        weights: any number of weights, (R, ...) each.
        us: left singular vectors, (R,) each.
        vs: right singular vectors, (C,) each with C the product of the weight's other dimensions.
        impl: which implementation to use.

    Scalars in float32 (float64 for float64), whatever autocast says. Differentiable in the weights; the vectors count
    as constants.

    Raises:
        ShapeError: shapes do not fit; the message says which weight of the list.
        VsOpsError: lists differ in length.
    """
    check_layers("singular_values", weights, us, vs)
    if not weights:
        return []
    sizes = [weight.numel() for weight in weights]
    largest = weights[sizes.index(max(sizes))]
    with without_autocast(largest):
        return select(SINGULAR_VALUES, largest, impl)(weights, us, vs)  # type: ignore[no-any-return]


def singular_values_reference(weights: Sequence[Tensor], us: Sequence[Tensor], vs: Sequence[Tensor]) -> list[Tensor]:
    """`singular_values`, readable."""
    sigmas = []
    for weight, u, v in zip(weights, us, vs, strict=True):
        dtype = compute_dtype(weight)
        product = torch.mv(weight.flatten(1).to(dtype), v.detach().to(dtype, copy=True))
        sigmas.append(torch.dot(u.detach().to(dtype, copy=True), product))
    return sigmas


def singular_values_native(weights: Sequence[Tensor], us: Sequence[Tensor], vs: Sequence[Tensor]) -> list[Tensor]:
    """`singular_values` of the matrices as they lie in memory: nobody copies a weight in channels-last order."""
    sigmas = []
    for weight, u, v in zip(weights, us, vs, strict=True):
        matrix = as_matrix(weight)
        u, v = _constant(u, matrix.dtype), reordered(_constant(v, matrix.dtype), weight, copy=False)
        if torch.is_grad_enabled() and weight.requires_grad:  # what backward reads, the caller may overwrite
            u, v = u.clone(), v.clone()
        sigmas.append(torch.dot(u, torch.mv(matrix, v)))
    return sigmas


def _constant(vector: Tensor, dtype: torch.dtype) -> Tensor:
    """The vector in a dtype and without gradient; asking first, because most are, and layers are small."""
    if vector.requires_grad:
        vector = vector.detach()
    return vector if vector.dtype is dtype else vector.to(dtype)


def _triton(weights: Sequence[Tensor], us: Sequence[Tensor], vs: Sequence[Tensor]) -> list[Tensor]:
    from vs_ops.triton.spectral_normalize_all import singular_values_triton as function

    return function(weights, us, vs)


def _refuse_native(call: DescribedCall) -> str | None:
    if 0 in call.shape:
        return "the products need at least one element"
    return None


SINGULAR_VALUES = Operator(
    name="singular_values",
    implementations=(
        Implementation(name="native", function=singular_values_native, refuse=_refuse_native),
        Implementation(name="reference", function=singular_values_reference),
        Implementation(name="triton", function=_triton, refuse=refuse_floats, compilable=True),
    ),
)
