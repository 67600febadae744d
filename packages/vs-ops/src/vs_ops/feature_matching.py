"""Feature matching between a discriminator's activations on generated and on real images (Wang et al., 2018)."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from vs_ops._compiling import compiled, refuse_inductor
from vs_ops._precision import compute_dtype, mean
from vs_ops._scripting import scripted
from vs_ops._triton import refuse_floats
from vs_ops.dispatch import Implementation, Operator, select
from vs_ops.errors import ShapeError, VsOpsError

__all__ = ["FEATURE_MATCHING", "feature_matching"]


def feature_matching(
    fake: Sequence[Sequence[Float[Tensor, "..."]]],
    real: Sequence[Sequence[Float[Tensor, "..."]]],
    *,
    impl: str = "auto",
) -> Float[Tensor, ""]:
    """Mean L1 distance per layer, summed over the layers of a scale, averaged over scales.

    `fake[s][l]` and `real[s][l]` are the activations of layer l at scale s. The real ones are constants. Computed and
    returned in float32 (float64 for float64 activations).

    Raises:
        ShapeError: two activations that should match differ in shape.
        VsOpsError: no activations at all, or scales or layers differ in number.
    """
    if not fake or not fake[0] or [len(layers) for layers in fake] != [len(layers) for layers in real]:
        raise VsOpsError(
            "feature_matching",
            "fake and real must have the same layers at one or more scales, got layers per scale "
            f"{[len(layers) for layers in fake]} and {[len(layers) for layers in real]}",
        )
    for scale, (fakes, reals) in enumerate(zip(fake, real, strict=True)):
        for layer, (one, other) in enumerate(zip(fakes, reals, strict=True)):
            if one.shape != other.shape:
                raise ShapeError("feature_matching", f"scale {scale}, layer {layer} differ", fake=one, real=other)
    return select(FEATURE_MATCHING, fake[0][0], impl)(fake, real)  # type: ignore[no-any-return]


def feature_matching_reference(fake: Sequence[Sequence[Tensor]], real: Sequence[Sequence[Tensor]]) -> Tensor:
    """`feature_matching`, readable."""
    distances = [
        mean_l1(one, other)
        for fakes, reals in zip(fake, real, strict=True)
        for one, other in zip(fakes, reals, strict=True)
    ]
    return torch.stack(distances).sum() / len(fake)


def mean_l1(one: Tensor, other: Tensor) -> Tensor:
    """Mean of |one - other| with `other` constant, in float32 or float64."""
    dtype = compute_dtype(one)
    return mean((one.to(dtype) - other.detach().to(dtype)).abs())


@scripted
def _scripted_mean_l1(one: Tensor, other: Tensor, dtype: torch.dtype) -> Tensor:
    return (one.to(dtype) - other.to(dtype)).abs().sum() / max(one.numel(), 1)


def feature_matching_torchscript(fake: Sequence[Sequence[Tensor]], real: Sequence[Sequence[Tensor]]) -> Tensor:
    """`feature_matching` with the distance of one layer scripted."""
    distances = [
        _scripted_mean_l1(one, other.detach(), compute_dtype(one))
        for fakes, reals in zip(fake, real, strict=True)
        for one, other in zip(fakes, reals, strict=True)
    ]
    return torch.stack(distances).sum() / len(fake)


def feature_matching_triton(fake: Sequence[Sequence[Tensor]], real: Sequence[Sequence[Tensor]]) -> Tensor:
    """`feature_matching` by Triton."""
    from vs_ops.triton.feature_matching import feature_matching_triton as function

    return function(fake, real)


FEATURE_MATCHING = Operator(
    name="feature_matching",
    implementations=(
        Implementation(name="reference", function=feature_matching_reference),
        Implementation(name="torchscript", function=feature_matching_torchscript),
        Implementation(name="inductor", function=compiled(feature_matching_reference), refuse=refuse_inductor),
        Implementation(name="triton", function=feature_matching_triton, refuse=refuse_floats, compilable=True),
    ),
)
