"""Backward warping of images by optical flow, and blending with a hallucinated image (Wang et al., NeurIPS 2018)."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from vs_ops._compiling import compiled, refuse_inductor
from vs_ops._precision import compute_dtype, memory_format_of, without_autocast
from vs_ops._scripting import scripted
from vs_ops._triton import refuse_images
from vs_ops.dispatch import Implementation, Operator, select
from vs_ops.errors import ShapeError

__all__ = ["WARP", "WARP_AND_BLEND", "warp", "warp_and_blend"]


def warp(
    image: Float[Tensor, "n c h w"], flow: Float[Tensor, "n 2 h w"], *, impl: str = "auto"
) -> Float[Tensor, "n c h w"]:
    """Fetch every pixel of the result from `image` at (its own index + flow).

    Bilinear; positions outside are clamped to the border; corners are aligned, so zero flow is the identity. `flow` is
    in pixels, horizontal then vertical. Coordinates and interpolation are float32 (float64 for float64), whatever
    autocast says; the result has the dtype and the memory format of `image`. Differentiable in both arguments; the
    gradient in flow is zero where the position was clamped.

    Raises:
        ShapeError: `image` is not (N, C, H, W) or `flow` not (N, 2, H, W).
    """
    _check("warp", image, flow)
    return select(WARP, image, impl)(image, flow)  # type: ignore[no-any-return]


def warp_and_blend(
    image: Float[Tensor, "n c h w"],
    flow: Float[Tensor, "n 2 h w"],
    mask: Float[Tensor, "n 1 h w"],
    hallucinated: Float[Tensor, "n c h w"],
    *,
    impl: str = "auto",
) -> tuple[Float[Tensor, "n c h w"], Float[Tensor, "n c h w"]]:
    """(mask * hallucinated + (1 - mask) * warped, warped) with warped = `warp(image, flow)`.

    mask 1 takes the hallucinated pixel, 0 the warped one. Both results have the dtype of `image`.

    Raises:
        ShapeError: shapes do not fit.
    """
    _check("warp_and_blend", image, flow)
    if mask.shape != (image.shape[0], 1, *image.shape[2:]):
        raise ShapeError("warp_and_blend", "mask must be (N, 1, H, W)", image=image, mask=mask)
    if hallucinated.shape != image.shape:
        raise ShapeError("warp_and_blend", "expected shapes to be equal", image=image, hallucinated=hallucinated)
    return select(WARP_AND_BLEND, image, impl)(image, flow, mask, hallucinated)  # type: ignore[no-any-return]


def warp_reference(image: Tensor, flow: Tensor) -> Tensor:
    """`warp`, readable."""
    with without_autocast(image):
        dtype = compute_dtype(image, flow)
        height, width = image.shape[2:]
        x, y = flow.to(dtype).unbind(1)  # (N, H, W)
        x = x + torch.arange(width, device=image.device, dtype=dtype)
        y = y + torch.arange(height, device=image.device, dtype=dtype)[:, None]
        # grid_sample counts from -1 to 1; an axis of one pixel has nowhere to go.
        half_x, half_y = max(width - 1, 1) / 2, max(height - 1, 1) / 2
        grid = torch.stack((x / half_x - 1, y / half_y - 1), dim=-1)
        sampled = F.grid_sample(image.to(dtype), grid, mode="bilinear", padding_mode="border", align_corners=True)
        # The sampling kernels answer in contiguous order, whatever they are given.
        return sampled.to(image.dtype).contiguous(memory_format=memory_format_of(image))


def warp_and_blend_reference(image: Tensor, flow: Tensor, mask: Tensor, hallucinated: Tensor) -> tuple[Tensor, Tensor]:
    """`warp_and_blend`, readable."""
    warped = warp_reference(image, flow)
    dtype = compute_dtype(image)
    wide_mask = mask.to(dtype)
    blended = wide_mask * hallucinated.to(dtype) + (1 - wide_mask) * warped.to(dtype)
    return blended.to(image.dtype), warped


def _check(operator: str, image: Tensor, flow: Tensor) -> None:
    if image.dim() != 4:
        raise ShapeError(operator, "image must be (N, C, H, W)", image=image)
    if flow.shape != (image.shape[0], 2, *image.shape[2:]):
        raise ShapeError(operator, "flow must be (N, 2, H, W)", image=image, flow=flow)


@scripted
def _scripted_blend(warped: Tensor, mask: Tensor, hallucinated: Tensor, dtype: torch.dtype) -> Tensor:
    weights = mask.to(dtype)
    return (weights * hallucinated.to(dtype) + (1 - weights) * warped.to(dtype)).to(warped.dtype)


def warp_and_blend_torchscript(
    image: Tensor, flow: Tensor, mask: Tensor, hallucinated: Tensor
) -> tuple[Tensor, Tensor]:
    """`warp_and_blend` with the blending scripted."""
    warped = warp_reference(image, flow)
    return _scripted_blend(warped, mask, hallucinated, compute_dtype(image)), warped


def warp_triton(image: Tensor, flow: Tensor) -> Tensor:
    """`warp` by Triton."""
    from vs_ops.triton.warp import warp

    return warp(image, flow)  # type: ignore[no-any-return]


def warp_and_blend_triton(image: Tensor, flow: Tensor, mask: Tensor, hallucinated: Tensor) -> tuple[Tensor, Tensor]:
    """`warp_and_blend` by Triton, in one pass."""
    from vs_ops.triton.warp import warp_and_blend

    return warp_and_blend(image, flow, mask, hallucinated)  # type: ignore[no-any-return]


WARP = Operator(
    name="warp",
    implementations=(
        Implementation(name="reference", function=warp_reference),
        Implementation(name="inductor", function=compiled(warp_reference), refuse=refuse_inductor),
        Implementation(name="triton", function=warp_triton, refuse=refuse_images, compilable=True),
    ),
)
WARP_AND_BLEND = Operator(
    name="warp_and_blend",
    implementations=(
        Implementation(name="reference", function=warp_and_blend_reference),
        Implementation(name="torchscript", function=warp_and_blend_torchscript),
        Implementation(name="inductor", function=compiled(warp_and_blend_reference), refuse=refuse_inductor),
        Implementation(name="triton", function=warp_and_blend_triton, refuse=refuse_images, compilable=True),
    ),
)
