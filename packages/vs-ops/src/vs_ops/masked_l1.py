"""L1 distance where a mask trusts it: the loss of flow, warped images and occlusion masks (Wang et al., 2018)."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from vs_ops._compiling import compiled, refuse_inductor
from vs_ops._precision import compute_dtype, mean
from vs_ops._scripting import scripted
from vs_ops._triton import refuse_images
from vs_ops.dispatch import Implementation, Operator, select
from vs_ops.errors import ShapeError, VsOpsError

__all__ = ["MASKED_L1", "masked_l1"]

TINY = 1e-6


def masked_l1(
    a: Float[Tensor, "n c *space"],
    b: Float[Tensor, "n c *space"],
    mask: Float[Tensor, "n _ *space"],
    *,
    reduction: Literal["all", "valid"] = "all",
    impl: str = "auto",
) -> Float[Tensor, ""]:
    """Mean of |a - b| * mask.

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
    return select(MASKED_L1, a, impl)(a, b, mask, reduction == "valid")  # type: ignore[no-any-return]


def masked_l1_reference(a: Tensor, b: Tensor, mask: Tensor, over_valid: bool) -> Tensor:
    """`masked_l1`, readable."""
    dtype = compute_dtype(a, b)
    weights = mask.to(dtype)
    distances = (a.to(dtype) - b.to(dtype)).abs() * weights
    return distances.sum() / (weights.expand_as(a).sum() + TINY) if over_valid else mean(distances)


@scripted
def _scripted_masked_l1(
    a: Tensor, b: Tensor, mask: Tensor, over_valid: bool, dtype: torch.dtype, tiny: float
) -> Tensor:
    weights = mask.to(dtype)
    total = ((a.to(dtype) - b.to(dtype)).abs() * weights).sum()
    if over_valid:
        return total / (weights.expand_as(a).sum() + tiny)
    return total / max(a.numel(), 1)


def masked_l1_torchscript(a: Tensor, b: Tensor, mask: Tensor, over_valid: bool) -> Tensor:
    """`masked_l1`, scripted."""
    return _scripted_masked_l1(a, b, mask, over_valid, compute_dtype(a, b), TINY)  # type: ignore[no-any-return]


def masked_l1_triton(a: Tensor, b: Tensor, mask: Tensor, over_valid: bool) -> Tensor:
    """`masked_l1` by Triton."""
    from vs_ops.triton.masked_l1 import masked_l1

    return masked_l1(a, b, mask, over_valid)[0]  # type: ignore[no-any-return]


MASKED_L1 = Operator(
    name="masked_l1",
    implementations=(
        Implementation(name="reference", function=masked_l1_reference),
        Implementation(name="torchscript", function=masked_l1_torchscript),
        Implementation(name="inductor", function=compiled(masked_l1_reference), refuse=refuse_inductor),
        Implementation(name="triton", function=masked_l1_triton, refuse=refuse_images, compilable=True),
    ),
)
