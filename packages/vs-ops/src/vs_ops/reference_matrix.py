"""From the features of a reference to a matrix that makes weights (Wang et al., NeurIPS 2019)."""

from jaxtyping import Float
from torch import Tensor

from vs_ops._compiling import compiled, refuse_inductor
from vs_ops.dispatch import Implementation, Operator, select
from vs_ops.errors import ShapeError
from vs_ops.native.reference_matrix import reference_matrix_native
from vs_ops.reference.reference_matrix import reference_matrix_reference


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
    return select(REFERENCE_MATRIX, image, impl)(image, label)


REFERENCE_MATRIX = Operator(
    name="reference_matrix",
    implementations=(
        Implementation(name="native", function=reference_matrix_native),
        Implementation(name="reference", function=reference_matrix_reference),
        Implementation(name="inductor", function=compiled(reference_matrix_native), refuse=refuse_inductor),
    ),
    example_shape=(1, 32, 128, 256),
)
