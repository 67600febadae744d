"""Spectral normalisation (Miyato et al., ICLR 2018), as two functions without state: iterate, then divide."""

import torch
from jaxtyping import Float
from torch import Tensor

from vs_ops._compiling import compiled, refuse_inductor
from vs_ops._precision import compute_dtype, without_autocast
from vs_ops._scripting import scripted
from vs_ops.dispatch import Implementation, Operator, select
from vs_ops.errors import ShapeError

__all__ = ["POWER_ITERATION", "SPECTRAL_NORMALIZE", "power_iteration", "spectral_normalize"]


def power_iteration(
    weight_matrix: Float[Tensor, "r c"],
    u: Float[Tensor, "r"],
    v: Float[Tensor, "c"],
    *,
    eps: float = 1e-12,
    impl: str = "auto",
) -> tuple[Float[Tensor, "r"], Float[Tensor, "c"]]:
    """One power iteration: v = normalise(W^T u), u = normalise(W v); returns the new (u, v).

    The vectors are new tensors without gradient, in float32 (float64 for a float64 weight); autocast does not touch
    them. `normalise(x) = x / max(|x|, eps)`. The old `v` is not read: it says only what shape the new one has.

    Raises:
        ShapeError: shapes are not (R, C), (R,) and (C,).
    """
    if weight_matrix.dim() != 2 or u.shape != weight_matrix.shape[:1] or v.shape != weight_matrix.shape[1:]:
        raise ShapeError("power_iteration", "expected weight (R, C), u (R,), v (C,)", weight=weight_matrix, u=u, v=v)
    return select(POWER_ITERATION, weight_matrix, impl)(weight_matrix, u, eps)  # type: ignore[no-any-return]


def spectral_normalize(
    weight: Float[Tensor, "r *rest"], u: Float[Tensor, "r"], v: Float[Tensor, "c"], *, impl: str = "auto"
) -> Float[Tensor, "r *rest"]:
    """`weight / sigma` with sigma = u^T W v, W = weight.flatten(1).

    Differentiable in `weight`, through sigma too; `u` and `v` count as constants. The caller may overwrite `u` and `v`
    in place before running backward. Arithmetic is float32 (float64 for float64) whatever autocast says, also that of
    the gradient, in which 1 / sigma^2 may be larger than float16 holds; the result has the dtype of `weight`.

    Raises:
        ShapeError: shapes are not (R, ...), (R,) and (C,) with C the product of the weight's other dimensions.
    """
    if weight.dim() < 2 or u.shape != weight.shape[:1] or v.shape != (weight[:1].numel(),):
        raise ShapeError("spectral_normalize", "expected weight (R, ...), u (R,), v (C,)", weight=weight, u=u, v=v)
    return select(SPECTRAL_NORMALIZE, weight, impl)(weight, u, v)  # type: ignore[no-any-return]


def power_iteration_reference(weight_matrix: Tensor, u: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """`power_iteration`, readable."""
    with torch.no_grad(), without_autocast(weight_matrix):
        dtype = compute_dtype(weight_matrix)
        matrix = weight_matrix.to(dtype)
        new_v = torch.mv(matrix.t(), u.to(dtype))
        new_v = new_v / new_v.norm().clamp_min(eps)
        new_u = torch.mv(matrix, new_v)
        return new_u / new_u.norm().clamp_min(eps), new_v


def spectral_normalize_reference(weight: Tensor, u: Tensor, v: Tensor) -> Tensor:
    """`spectral_normalize`, readable."""
    with without_autocast(weight):
        dtype = compute_dtype(weight)
        u, v = u.detach().to(dtype, copy=True), v.detach().to(dtype, copy=True)
        wide = weight.to(dtype)
        return (wide / torch.dot(u, torch.mv(wide.flatten(1), v))).to(weight.dtype)


@scripted
def _scripted_divide(weight: Tensor, u: Tensor, v: Tensor, dtype: torch.dtype) -> Tensor:
    wide = weight.to(dtype)
    return (wide / torch.dot(u, torch.mv(wide.flatten(1), v))).to(weight.dtype)


def spectral_normalize_torchscript(weight: Tensor, u: Tensor, v: Tensor) -> Tensor:
    """`spectral_normalize`, scripted."""
    with without_autocast(weight):
        dtype = compute_dtype(weight)
        u, v = u.detach().to(dtype, copy=True), v.detach().to(dtype, copy=True)
        return _scripted_divide(weight, u, v, dtype)  # type: ignore[no-any-return]


@compiled
def _compiled_divide(weight: Tensor, u: Tensor, v: Tensor) -> Tensor:
    wide = weight.to(u.dtype)
    return (wide / torch.dot(u, torch.mv(wide.flatten(1), v))).to(weight.dtype)


def spectral_normalize_inductor(weight: Tensor, u: Tensor, v: Tensor) -> Tensor:
    """`spectral_normalize`, compiled; the vectors are copied before, where the compiler cannot leave it out."""
    dtype = compute_dtype(weight)
    u, v = u.detach().to(dtype, copy=True), v.detach().to(dtype, copy=True)
    return _compiled_divide(weight, u, v)  # type: ignore[no-any-return]


POWER_ITERATION = Operator(
    name="power_iteration", implementations=(Implementation(name="reference", function=power_iteration_reference),)
)
SPECTRAL_NORMALIZE = Operator(
    name="spectral_normalize",
    implementations=(
        Implementation(name="reference", function=spectral_normalize_reference),
        Implementation(name="torchscript", function=spectral_normalize_torchscript),
        Implementation(name="inductor", function=spectral_normalize_inductor, refuse=refuse_inductor),
    ),
)
