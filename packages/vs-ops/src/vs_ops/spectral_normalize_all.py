"""Spectral normalisation of all layers of a network at once: iterate and divide lists of weights."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from vs_ops._checks import check_layers
from vs_ops._refusals import refuse_empty
from vs_ops._triton import refuse_floats
from vs_ops.dispatch import Implementation, Operator, select
from vs_ops.errors import DtypeError, VsOpsError
from vs_ops.native.spectral_normalize_all import spectral_normalize_all_native
from vs_ops.reference.spectral_normalize_all import Normalised, spectral_normalize_all_reference


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
    """Do `power_iteration`, `iterations` times, and `spectral_normalize`, for every weight of a list.

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
    return select(SPECTRAL_NORMALIZE_ALL, largest, impl)(list(weights), list(us), list(vs), iterations, eps, dtype)


def _triton(
    weights: list[Tensor], us: list[Tensor], vs: list[Tensor], iterations: int, eps: float, dtype: torch.dtype | None
) -> Normalised:
    from vs_ops.triton.spectral_normalize_all import spectral_normalize_all_triton  # here, because Triton is optional

    return spectral_normalize_all_triton(weights, us, vs, iterations, eps, dtype)


SPECTRAL_NORMALIZE_ALL = Operator(
    name="spectral_normalize_all",
    implementations=(
        Implementation(name="native", function=spectral_normalize_all_native, refuse=refuse_empty),
        Implementation(name="reference", function=spectral_normalize_all_reference),
        Implementation(name="triton", function=_triton, refuse=refuse_floats, compilable=True),
    ),
    example_shape=(256, 256, 3, 3),
)
