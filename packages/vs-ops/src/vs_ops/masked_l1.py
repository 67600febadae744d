"""L1 distance where a mask trusts it: the loss of flow, warped images and occlusion masks (Wang et al., 2018)."""

from typing import Literal

from jaxtyping import Float
from torch import Tensor

from vs_ops._compiling import compiled, refuse_inductor
from vs_ops.dispatch import Implementation, Operator, select
from vs_ops.errors import ShapeError, VsOpsError
from vs_ops.reference.masked_l1 import masked_l1_reference


def masked_l1(
    a: Float[Tensor, "n c *space"],
    b: Float[Tensor, "n c *space"],
    mask: Float[Tensor, "n _ *space"],
    *,
    reduction: Literal["all", "valid"] = "all",
    impl: str = "auto",
) -> Float[Tensor, ""]:
    """Return the mean of |a - b| * mask.

    Args:
        a: (N, C, ...).
        b: the shape of `a`.
        mask: (N, 1, ...) or the shape of `a`, weights that are not negative.
        reduction: "all" divides by the number of elements of `a`, "valid" by the sum of the weights (plus 1e-6).
        impl: which implementation to use.

    Computed and returned in float32 (float64 if `a` is). Differentiable in all three. No elements give zero.

    Raises:
        ShapeError: shapes do not fit.
        VsOpsError: unknown reduction.
    """
    if a.shape != b.shape:
        raise ShapeError("masked_l1", "a and b must have one shape", a=a, b=b)
    if a.dim() < 2 or mask.shape not in (a.shape, (a.shape[0], 1, *a.shape[2:])):
        raise ShapeError("masked_l1", "mask must be (N, 1, ...) or have the shape of a", a=a, mask=mask)
    if reduction not in ("all", "valid"):
        raise VsOpsError("masked_l1", f"reduction must be 'all' or 'valid', got {reduction!r}")
    return select(MASKED_L1, a, impl)(a, b, mask, reduction == "valid")


MASKED_L1 = Operator(
    name="masked_l1",
    implementations=(
        Implementation(name="reference", function=masked_l1_reference),
        Implementation(name="inductor", function=compiled(masked_l1_reference), refuse=refuse_inductor),
    ),
    example_shape=(1, 2, 128, 256),
)
