"""Tensors that travel together, as one row of numbers."""

from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor

Bucket = tuple[Tensor, ...]
"""Tensors that travel together, of one dtype and on one device."""


def buckets_of(parameters: Iterable[Tensor], size: int) -> list[Bucket]:
    """Return parameters in buckets of at least `size` bytes but for the last, each of one dtype and device."""
    buckets: list[list[Tensor]] = []
    filled = size
    for parameter in parameters:
        last = buckets[-1][-1] if buckets else None
        if last is None or filled >= size or (last.dtype, last.device) != (parameter.dtype, parameter.device):
            buckets.append([])
            filled = 0
        buckets[-1].append(parameter)
        filled += parameter.nbytes
    return [tuple(bucket) for bucket in buckets]


def flattened(bucket: Bucket, gradients: Sequence[Tensor | None]) -> Tensor:
    """Return gradients as one row, each in the order of memory of its parameter; zeros where there is none."""
    return torch.cat([_row(p, gradient) for p, gradient in zip(bucket, gradients, strict=True)])


def _row(parameter: Tensor, gradient: Tensor | None) -> Tensor:
    if gradient is None:
        return torch.zeros(parameter.numel(), dtype=parameter.dtype, device=parameter.device)
    if gradient.stride() != parameter.stride():
        gradient = torch.empty_like(parameter).copy_(gradient)
    return gradient.as_strided((parameter.numel(),), (1,))


def pieces(bucket: Bucket, flat: Tensor) -> Iterator[Tensor]:
    """Yield the parts of such a row, as views of the shapes and orders of memory of the bucket."""
    start = 0
    for tensor in bucket:
        yield flat.as_strided(tensor.shape, tensor.stride(), start)
        start += tensor.numel()
