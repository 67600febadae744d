"""Feature matching between a discriminator's activations on generated and on real images (Wang et al., 2018)."""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from vs_ops._compiling import compiled, refuse_inductor
from vs_ops._triton import refuse_floats
from vs_ops.dispatch import Implementation, Operator, select
from vs_ops.errors import ShapeError, VsOpsError
from vs_ops.native.feature_matching import feature_matching_native, refuse_native
from vs_ops.reference.feature_matching import feature_matching_reference


def feature_matching(
    fake: Sequence[Sequence[Float[Tensor, "..."]]],
    real: Sequence[Sequence[Float[Tensor, "..."]]],
    *,
    impl: str = "auto",
) -> Float[Tensor, ""]:
    """Return the mean L1 distance per layer, summed over the layers of a scale, averaged over scales.

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
    return select(FEATURE_MATCHING, fake[0][0], impl)(fake, real)


def _triton(fake: Sequence[Sequence[Tensor]], real: Sequence[Sequence[Tensor]]) -> Tensor:
    from vs_ops.triton.feature_matching import feature_matching_triton  # here, because Triton is optional

    return feature_matching_triton(fake, real)


FEATURE_MATCHING = Operator(
    name="feature_matching",
    implementations=(
        Implementation(name="native", function=feature_matching_native, refuse=refuse_native),
        Implementation(name="reference", function=feature_matching_reference),
        Implementation(name="inductor", function=compiled(feature_matching_reference), refuse=refuse_inductor),
        Implementation(name="triton", function=_triton, refuse=refuse_floats, compilable=True),
    ),
    example_shape=(1, 32, 128, 256),
)
