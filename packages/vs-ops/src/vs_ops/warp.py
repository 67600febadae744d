"""Backward warping of images by optical flow, and blending with a hallucinated image (Wang et al., NeurIPS 2018)."""

from jaxtyping import Float
from torch import Tensor

from vs_ops._compiling import compiled, refuse_inductor
from vs_ops._triton import refuse_images
from vs_ops.dispatch import Implementation, Operator, select
from vs_ops.errors import ShapeError
from vs_ops.reference.warp import warp_and_blend_reference, warp_reference


def warp(
    image: Float[Tensor, "n c h w"], flow: Float[Tensor, "n 2 h w"], *, impl: str = "auto"
) -> Float[Tensor, "n c h w"]:
    """Fetch every pixel of the result from `image` at (its own index + flow).

    Bilinear; positions outside are clamped to the border; corners are aligned, so zero flow is the identity. `flow` is
    in pixels, horizontal then vertical. Coordinates and interpolation are float32 (float64 for float64), whatever
    autocast says; the result has the dtype and the memory format of `image`. Differentiable in both arguments; the
    gradient in flow is zero where the position was clamped. Where flow is NaN, so is the result in plain PyTorch.

    Raises:
        ShapeError: `image` is not (N, C, H, W) or `flow` not (N, 2, H, W).
    """
    _check("warp", image, flow)
    return select(WARP, image, impl)(image, flow)


def warp_and_blend(
    image: Float[Tensor, "n c h w"],
    flow: Float[Tensor, "n 2 h w"],
    mask: Float[Tensor, "n 1 h w"],
    hallucinated: Float[Tensor, "n c h w"],
    *,
    impl: str = "auto",
) -> tuple[Float[Tensor, "n c h w"], Float[Tensor, "n c h w"]]:
    """Return (mask * hallucinated + (1 - mask) * warped, warped) with warped = `warp(image, flow)`.

    mask 1 takes the hallucinated pixel, 0 the warped one. Both results have the dtype of `image`.

    Raises:
        ShapeError: shapes do not fit.
    """
    _check("warp_and_blend", image, flow)
    if mask.shape != (image.shape[0], 1, *image.shape[2:]):
        raise ShapeError("warp_and_blend", "mask must be (N, 1, H, W)", image=image, mask=mask)
    if hallucinated.shape != image.shape:
        raise ShapeError("warp_and_blend", "expected shapes to be equal", image=image, hallucinated=hallucinated)
    return select(WARP_AND_BLEND, image, impl)(image, flow, mask, hallucinated)


def _check(operator: str, image: Tensor, flow: Tensor) -> None:
    if image.dim() != 4:
        raise ShapeError(operator, "image must be (N, C, H, W)", image=image)
    if flow.shape != (image.shape[0], 2, *image.shape[2:]):
        raise ShapeError(operator, "flow must be (N, 2, H, W)", image=image, flow=flow)


def _warp_triton(image: Tensor, flow: Tensor) -> Tensor:
    from vs_ops.triton.warp import warp_triton  # here, because Triton is optional

    return warp_triton(image, flow)


def _warp_and_blend_triton(image: Tensor, flow: Tensor, mask: Tensor, hallucinated: Tensor) -> tuple[Tensor, Tensor]:
    from vs_ops.triton.warp import warp_and_blend_triton  # here, because Triton is optional

    return warp_and_blend_triton(image, flow, mask, hallucinated)


WARP = Operator(
    name="warp",
    implementations=(
        Implementation(name="reference", function=warp_reference),
        Implementation(name="inductor", function=compiled(warp_reference), refuse=refuse_inductor),
        Implementation(name="triton", function=_warp_triton, refuse=refuse_images, compilable=True),
    ),
    example_shape=(1, 3, 128, 256),
)
WARP_AND_BLEND = Operator(
    name="warp_and_blend",
    implementations=(
        Implementation(name="reference", function=warp_and_blend_reference),
        Implementation(name="inductor", function=compiled(warp_and_blend_reference), refuse=refuse_inductor),
        Implementation(name="triton", function=_warp_and_blend_triton, refuse=refuse_images, compilable=True),
    ),
    example_shape=(1, 3, 128, 256),
)
