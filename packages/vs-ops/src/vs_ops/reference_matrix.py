"""From the features of a reference to a matrix that makes weights (Wang et al., NeurIPS 2019)."""

import torch
from jaxtyping import Float
from torch import Tensor

from vs_ops._compiling import compiled, refuse_inductor
from vs_ops._precision import compute_dtype, without_autocast
from vs_ops.dispatch import Implementation, Operator, select
from vs_ops.errors import ShapeError

__all__ = ["REFERENCE_MATRIX", "reference_matrix"]


def reference_matrix(
    image: Float[Tensor, "n c h w"], label: Float[Tensor, "n d h w"], *, impl: str = "auto"
) -> Float[Tensor, "n c d"]:
    """Sum `image` over positions, each spread over D columns by the softmax of `label` over its channels.

    result[n, c, d] = sum over positions of image[n, c] * softmax(label[n])[d]: column d is what the image's features
    are where the label's features say d. It is a sum, not a mean: it grows with the number of positions.

    Softmax, products and sum are float32 (float64 if either is float64), whatever autocast says; the result has the
    dtype of `image`. Differentiable in both.

    Raises:
        ShapeError: `image` is not (N, C, H, W) or `label` not (N, D, H, W).
    """
    if image.dim() != 4:
        raise ShapeError("reference_matrix", "image must be (N, C, H, W)", image=image)
    n, _, h, w = image.shape
    if label.dim() != 4 or label.shape != (n, label.shape[1], h, w):
        raise ShapeError("reference_matrix", "label must be (N, D, H, W)", image=image, label=label)
    return select(REFERENCE_MATRIX, image, impl)(image, label)  # type: ignore[no-any-return]


def reference_matrix_reference(image: Tensor, label: Tensor) -> Tensor:
    """`reference_matrix`, readable."""
    dtype = compute_dtype(image, label)
    shares = label.to(dtype).softmax(1)
    products = image.to(dtype)[:, :, None] * shares[:, None]  # (N, C, D, H, W)
    return products.sum((3, 4)).to(image.dtype)


def reference_matrix_native(image: Tensor, label: Tensor) -> Tensor:
    """`reference_matrix` as one matrix product per sample."""
    with without_autocast(image):
        dtype = compute_dtype(image, label)
        shares = label.to(dtype).softmax(1)
        return torch.bmm(image.to(dtype).flatten(2), shares.flatten(2).mT).to(image.dtype)


REFERENCE_MATRIX = Operator(
    name="reference_matrix",
    implementations=(
        Implementation(name="native", function=reference_matrix_native),
        Implementation(name="reference", function=reference_matrix_reference),
        Implementation(name="inductor", function=compiled(reference_matrix_native), refuse=refuse_inductor),
    ),
)
