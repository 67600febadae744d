"""`attend` as plain PyTorch, and the shapes between which attention moves."""

import torch
from torch import Tensor

from vs_ops._layout import memory_format_of
from vs_ops._precision import compute_dtype, without_autocast


def attend_reference(query: Tensor, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """Compute `attend` readably: the whole matrix of (H * W) x (K * H * W) weights is made and kept."""
    with without_autocast(query):
        dtype = compute_dtype(query, keys, values)
        size, order = query.shape[2:], memory_format_of(query)
        logits = query.to(dtype).flatten(2).mT @ side_by_side(keys.to(dtype)).mT  # (N, H * W, K * H * W)
        weights = logits.softmax(2)
        merged = weights @ side_by_side(values.to(dtype))  # (N, H * W, D)
        reference_weights = weights.unflatten(2, (keys.shape[1], -1)).sum(3)  # (N, H * W, K)
        return as_map(merged.to(values.dtype), size, order), as_map(reference_weights, size, order)


def side_by_side(references: Tensor) -> Tensor:
    """Turn (N, K, C, H, W) into (N, K * H * W, C)."""
    return references.flatten(3).transpose(2, 3).flatten(1, 2)


def as_map(rows: Tensor, size: torch.Size, order: torch.memory_format) -> Tensor:
    """Turn (N, H * W, C) into (N, C, H, W) in the memory format `order`."""
    return rows.reshape(-1, *size, rows.shape[2]).permute(0, 3, 1, 2).contiguous(memory_format=order)
