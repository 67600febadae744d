"""`reference_matrix` as plain PyTorch."""

from torch import Tensor

from vs_ops._precision import compute_dtype


def reference_matrix_reference(image: Tensor, label: Tensor) -> Tensor:
    """Compute `reference_matrix` readably."""
    dtype = compute_dtype(image, label)
    probabilities = label.to(dtype).softmax(1)
    products = image.to(dtype)[:, :, None] * probabilities[:, None]  # (N, C, D, H, W)
    return products.sum((3, 4)).to(image.dtype)
