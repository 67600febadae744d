"""Attention over the positions of several references (Wang et al., NeurIPS 2019)."""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from vs_ops._precision import compute_dtype, memory_format_of, without_autocast
from vs_ops.dispatch import DescribedCall, Implementation, Operator, select
from vs_ops.errors import ShapeError

__all__ = ["ATTEND", "attend"]


def attend(
    query: Float[Tensor, "n c h w"],
    keys: Float[Tensor, "n k c h w"],
    values: Float[Tensor, "n k d h w"],
    *,
    impl: str = "auto",
) -> tuple[Float[Tensor, "n d h w"], Float[Tensor, "n k h w"]]:
    """Average the values of K references at every position of the query, by attention over all their positions.

    Args:
        query: what a position looks for, (N, C, H, W).
        keys: what the positions of the references offer, (N, K, C, H, W).
        values: what is averaged, (N, K, D, H, W).
        impl: which implementation to use.

    Returns:
        `merged` (N, D, H, W): the mean of the values over all K * H * W positions, weighted by the softmax of the dot
        products of query and keys, which are not scaled. `shares` (N, K, H, W): how much of a position's weights lies
        on each reference; they sum to 1 over K.

    Dot products, softmax and means are float32 (float64 if any is float64), whatever autocast says; `merged` has the
    dtype of `values`, `shares` that of the computation, and both have the memory format of `query`. Dot products of
    any size that float32 holds are safe. Differentiable in all three, by way of both results.

    Raises:
        ShapeError: shapes do not fit, or there is no reference.
    """
    if query.dim() != 4:
        raise ShapeError("attend", "query must be (N, C, H, W)", query=query)
    n, c, h, w = query.shape
    if keys.dim() != 5 or keys.shape != (n, keys.shape[1], c, h, w) or keys.shape[1] == 0:
        raise ShapeError("attend", "keys must be (N, K, C, H, W) with K of at least 1", query=query, keys=keys)
    if values.dim() != 5 or values.shape != (*keys.shape[:2], values.shape[2], h, w):
        raise ShapeError("attend", "values must be (N, K, D, H, W)", keys=keys, values=values)
    return select(ATTEND, keys, impl)(query, keys, values)  # type: ignore[no-any-return]


def attend_reference(query: Tensor, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """`attend`, readable: the whole matrix of (H * W) x (K * H * W) weights is made and kept."""
    with without_autocast(query):
        dtype = compute_dtype(query, keys, values)
        size, order = query.shape[2:], memory_format_of(query)
        logits = query.to(dtype).flatten(2).mT @ _side_by_side(keys.to(dtype)).mT  # (N, H * W, K * H * W)
        weights = logits.softmax(2)
        merged = weights @ _side_by_side(values.to(dtype))  # (N, H * W, D)
        shares = weights.unflatten(2, (keys.shape[1], -1)).sum(3)  # (N, H * W, K)
        return _as_map(merged.to(values.dtype), size, order), _as_map(shares, size, order)


def attend_native(query: Tensor, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """`attend` through PyTorch's fused attention, which never holds the matrix.

    The shares come from K further channels of the values, that are 1 at the positions of one reference and 0 elsewhere.
    PyTorch's kernel on the CPU wants keys and values of equal width, and those on CUDA a multiple of 8 channels; it
    falls back to the whole matrix without. Channels of zeros make up the difference.
    """
    with without_autocast(query):
        dtype = compute_dtype(query, keys, values)
        size, order, (n, k, d) = query.shape[2:], memory_format_of(query), values.shape[:3]
        width = -(-max(query.shape[1], d + k) // 8) * 8
        marks = torch.eye(k, device=query.device, dtype=dtype).repeat_interleave(size.numel(), 0).expand(n, -1, -1)
        marked = torch.cat((_side_by_side(values.to(dtype)), marks), 2)
        averaged = F.scaled_dot_product_attention(
            _widened(query.to(dtype).flatten(2).mT, width),
            _widened(_side_by_side(keys.to(dtype)), width),
            _widened(marked, width),
            scale=1.0,
        )[:, 0]  # (N, H * W, width)
        merged, shares, _ = averaged.split((d, k, width - d - k), 2)
        return _as_map(merged.to(values.dtype), size, order), _as_map(shares, size, order)


def _side_by_side(references: Tensor) -> Tensor:
    """(N, K, C, H, W) -> (N, K * H * W, C)."""
    return references.flatten(3).transpose(2, 3).flatten(1, 2)


def _as_map(rows: Tensor, size: torch.Size, order: torch.memory_format) -> Tensor:
    """(N, H * W, C) -> (N, C, H, W) in the memory format `order`."""
    return rows.reshape(-1, *size, rows.shape[2]).permute(0, 3, 1, 2).contiguous(memory_format=order)


def _widened(rows: Tensor, width: int) -> Tensor:
    """(N, L, C) -> (N, 1, L, width): one head, zeros in the further channels."""
    return F.pad(rows, (0, width - rows.shape[2]))[:, None].contiguous()


_SMALL_MATRIX = 2**22


def _refuse_native(call: DescribedCall) -> str | None:
    """What the keys (N, K, C, H, W) say."""
    if call.device_type not in ("cpu", "cuda"):
        return f"PyTorch's attention kernels are not known to be right on {call.device_type}"
    if call.device_type == "cuda" and call.dtype is torch.float64:
        return "no kernel for float64 that does without the whole matrix"
    if 0 in call.shape:
        return "the kernels need at least one element"
    if call.device_type == "cpu" and _matrix_size(call.shape) < _SMALL_MATRIX:
        return "the whole matrix is small, and quicker made than avoided"
    return None


def _matrix_size(keys: tuple[int, ...]) -> int:
    """How many weights there are between all positions of the query and all of the keys."""
    return math.prod(keys[:2]) * math.prod(keys[3:]) ** 2


ATTEND = Operator(
    name="attend",
    implementations=(
        Implementation(name="native", function=attend_native, refuse=_refuse_native),
        Implementation(name="reference", function=attend_reference),
    ),
)
