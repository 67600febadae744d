"""The loss of occlusion masks: warped pixels where they are right, hallucinated ones elsewhere (Wang et al., 2018)."""

from jaxtyping import Float
from torch import Tensor

from vs_ops._compiling import compiled, refuse_inductor
from vs_ops._triton import refuse_images
from vs_ops.dispatch import Implementation, Operator, select
from vs_ops.errors import ShapeError
from vs_ops.reference.mask_loss import mask_loss_reference


def mask_loss(
    mask: Float[Tensor, "n 1 h w"],
    warped: Float[Tensor, "n c h w"],
    frame: Float[Tensor, "n c h w"],
    *,
    impl: str = "auto",
) -> Float[Tensor, ""]:
    """Return the mean of |mask| where the warped frame is right, plus that of |mask - 1| where it is wrong.

    Args:
        mask: (N, 1, H, W); 1: use the hallucinated pixel, 0: use the warped one.
        warped: the warped frame (N, C, H, W).
        frame: the frame that it should be, of the same shape.
        impl: which implementation to use.

    How right a pixel is, is clamp(1 - sum over channels of |warped - frame|, 0, 1). That weighs the first mean, and one
    minus it the second; both are over all elements of the mask. Computed and returned in float32 (float64 if any
    argument is). Differentiable in all three: how right a pixel is carries a gradient too, as published. No elements
    give zero.

    Raises:
        ShapeError: shapes do not fit.
    """
    if warped.dim() != 4 or frame.shape != warped.shape:
        raise ShapeError("mask_loss", "warped and frame must have one shape (N, C, H, W)", warped=warped, frame=frame)
    if mask.shape != (warped.shape[0], 1, *warped.shape[2:]):
        raise ShapeError("mask_loss", "mask must be (N, 1, H, W)", mask=mask, warped=warped)
    return select(MASK_LOSS, mask, impl)(mask, warped, frame)


def _triton(mask: Tensor, warped: Tensor, frame: Tensor) -> Tensor:
    from vs_ops.triton.mask_loss import mask_loss_triton  # here, because Triton is optional

    return mask_loss_triton(mask, warped, frame)


MASK_LOSS = Operator(
    name="mask_loss",
    implementations=(
        Implementation(name="reference", function=mask_loss_reference),
        Implementation(name="inductor", function=compiled(mask_loss_reference), refuse=refuse_inductor),
        Implementation(name="triton", function=_triton, refuse=refuse_images, compilable=True),
    ),
    example_shape=(1, 1, 128, 256),
)
