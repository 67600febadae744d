"""`reference_matrix` without a 5-D intermediate."""

import torch
from torch import Tensor

from vs_ops._precision import compute_dtype, without_autocast


def reference_matrix_native(image: Tensor, label: Tensor) -> Tensor:
    """Compute `reference_matrix` as one matrix product per sample."""
    with without_autocast(image):
        dtype = compute_dtype(image, label)
        probabilities = label.to(dtype).softmax(1)
        return torch.bmm(image.to(dtype).flatten(2), probabilities.flatten(2).mT).to(image.dtype)
