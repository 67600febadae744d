"""The largest singular values of many weights, from singular vectors that are known already (Miyato et al., 2018)."""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from vs_ops._checks import check_layers
from vs_ops._precision import without_autocast
from vs_ops._refusals import refuse_empty
from vs_ops._triton import refuse_floats
from vs_ops.dispatch import Implementation, Operator, select
from vs_ops.native.singular_values import singular_values_native
from vs_ops.reference.singular_values import singular_values_reference


def singular_values(
    weights: Sequence[Float[Tensor, "..."]],
    us: Sequence[Float[Tensor, "..."]],
    vs: Sequence[Float[Tensor, "..."]],
    *,
    impl: str = "auto",
) -> list[Float[Tensor, ""]]:
    """Return sigma = u^T W v of every weight of a list, with W = weight.flatten(1); nothing is iterated or divided.

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
        return select(SINGULAR_VALUES, largest, impl)(weights, us, vs)


def _triton(weights: Sequence[Tensor], us: Sequence[Tensor], vs: Sequence[Tensor]) -> list[Tensor]:
    from vs_ops.triton.singular_values import singular_values_triton  # here, because Triton is optional

    return singular_values_triton(weights, us, vs)


SINGULAR_VALUES = Operator(
    name="singular_values",
    implementations=(
        Implementation(name="native", function=singular_values_native, refuse=refuse_empty),
        Implementation(name="reference", function=singular_values_reference),
        Implementation(name="triton", function=_triton, refuse=refuse_floats, compilable=True),
    ),
    example_shape=(256, 256, 3, 3),
)
