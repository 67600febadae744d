"""Spectral normalisation (Miyato et al., ICLR 2018), as two functions without state: iterate, then divide."""

from jaxtyping import Float
from torch import Tensor

from vs_ops._compiling import refuse_inductor
from vs_ops.dispatch import Implementation, Operator, select
from vs_ops.errors import ShapeError
from vs_ops.inductor.spectral_norm import spectral_normalize_inductor
from vs_ops.reference.spectral_norm import power_iteration_reference, spectral_normalize_reference
from vs_ops.torchscript.spectral_norm import spectral_normalize_torchscript


def power_iteration(
    weight_matrix: Float[Tensor, "r c"],
    u: Float[Tensor, "r"],
    v: Float[Tensor, "c"],
    *,
    eps: float = 1e-12,
    impl: str = "auto",
) -> tuple[Float[Tensor, "r"], Float[Tensor, "c"]]:
    """Do one power iteration: v = normalise(W^T u), u = normalise(W v); returns the new (u, v).

    The vectors are new tensors without gradient, in float32 (float64 for a float64 weight); autocast does not touch
    them. `normalise(x) = x / max(|x|, eps)`. The old `v` is not read: it says only what shape the new one has.

    Raises:
        ShapeError: shapes are not (R, C), (R,) and (C,).
    """
    if weight_matrix.dim() != 2 or u.shape != weight_matrix.shape[:1] or v.shape != weight_matrix.shape[1:]:
        raise ShapeError("power_iteration", "expected weight (R, C), u (R,), v (C,)", weight=weight_matrix, u=u, v=v)
    return select(POWER_ITERATION, weight_matrix, impl)(weight_matrix, u, eps)


def spectral_normalize(
    weight: Float[Tensor, "r *rest"], u: Float[Tensor, "r"], v: Float[Tensor, "c"], *, impl: str = "auto"
) -> Float[Tensor, "r *rest"]:
    """Return `weight / sigma` with sigma = u^T W v, W = weight.flatten(1).

    Differentiable in `weight`, through sigma too; `u` and `v` count as constants. The caller may overwrite `u` and `v`
    in place before running backward. Arithmetic is float32 (float64 for float64) whatever autocast says, also that of
    the gradient, in which 1 / sigma^2 may be larger than float16 holds; the result has the dtype of `weight`.

    Raises:
        ShapeError: shapes are not (R, ...), (R,) and (C,) with C the product of the weight's other dimensions.
    """
    if weight.dim() < 2 or u.shape != weight.shape[:1] or v.shape != (weight[:1].numel(),):
        raise ShapeError("spectral_normalize", "expected weight (R, ...), u (R,), v (C,)", weight=weight, u=u, v=v)
    return select(SPECTRAL_NORMALIZE, weight, impl)(weight, u, v)


POWER_ITERATION = Operator(
    name="power_iteration",
    implementations=(Implementation(name="reference", function=power_iteration_reference),),
    example_shape=(256, 2304),
)
SPECTRAL_NORMALIZE = Operator(
    name="spectral_normalize",
    implementations=(
        Implementation(name="reference", function=spectral_normalize_reference),
        Implementation(name="torchscript", function=spectral_normalize_torchscript),
        Implementation(name="inductor", function=spectral_normalize_inductor, refuse=refuse_inductor),
    ),
    example_shape=(256, 256, 3, 3),
)
