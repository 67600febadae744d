"""`attend` through PyTorch's fused attention."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from vs_ops._layout import memory_format_of
from vs_ops._precision import compute_dtype, without_autocast
from vs_ops._refusals import refuse_empty, refuse_other_devices
from vs_ops.dispatch import DescribedCall
from vs_ops.reference.attend import as_map, side_by_side

_MIN_MATRIX = 2**22
"""Weights between all positions from which on it pays on the CPU to do without their matrix."""


def attend_native(query: Tensor, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """Compute `attend` through PyTorch's fused attention, which never holds the matrix.

    The weight of each reference comes from K further channels of the values, that are 1 at the positions of one
    reference and 0 elsewhere. PyTorch's kernel on the CPU wants keys and values of equal width, and those on CUDA a
    multiple of 8 channels; it falls back to the whole matrix without. Channels of zeros make up the difference.
    """
    with without_autocast(query):
        dtype = compute_dtype(query, keys, values)
        size, order, (n, k, d) = query.shape[2:], memory_format_of(query), values.shape[:3]
        width = -(-max(query.shape[1], d + k) // 8) * 8
        marks = torch.eye(k, device=query.device, dtype=dtype).repeat_interleave(size.numel(), 0).expand(n, -1, -1)
        marked = torch.cat((side_by_side(values.to(dtype)), marks), 2)
        averaged = F.scaled_dot_product_attention(
            _widened(query.to(dtype).flatten(2).mT, width),
            _widened(side_by_side(keys.to(dtype)), width),
            _widened(marked, width),
            scale=1.0,
        )[:, 0]  # (N, H * W, width)
        merged, reference_weights, _ = averaged.split((d, k, width - d - k), 2)
        return as_map(merged.to(values.dtype), size, order), as_map(reference_weights, size, order)


def _widened(rows: Tensor, width: int) -> Tensor:
    """Turn (N, L, C) into (N, 1, L, width): one head, zeros in the further channels."""
    return F.pad(rows, (0, width - rows.shape[2]))[:, None].contiguous()


def refuse_native(call: DescribedCall) -> str | None:
    """Refuse by the keys (N, K, C, H, W)."""
    reason = refuse_other_devices(call, "attention kernels")
    if reason is not None:
        return reason
    if call.device_type == "cuda" and call.dtype is torch.float64:
        return "no kernel for float64 that does without the whole matrix"
    reason = refuse_empty(call)
    if reason is None and call.device_type == "cpu" and _matrix_size(call.shape) < _MIN_MATRIX:
        return "the whole matrix is small, and quicker made than avoided"
    return reason


def _matrix_size(keys: tuple[int, ...]) -> int:
    """Count the weights between all positions of the query and all of the keys."""
    return math.prod(keys[:2]) * math.prod(keys[3:]) ** 2
