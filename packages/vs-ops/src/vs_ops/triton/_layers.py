"""All layers of a network as the spectral kernels see them: which programs they have, and where their vectors lie."""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from vs_ops.triton._launch import blocks
from vs_ops.triton._tables import REMEMBERED, alike, can_send, owners, stream_of

COLUMNS, ROWS_OF_COLUMNS = 128, 8
"""Columns that a program of `back` owns, and rows of them that it holds at a time."""
ROWS, COLUMNS_OF_ROWS = 8, 128
"""Rows that a program of `forth` owns, and columns of them that it holds at a time."""
BLOCK = 2048
"""Elements that a program of `divide` and `combine` owns."""
MAX_PIECES = 64
"""Programs that a layer has at most in `overlap`; each program of `combine` reads the sums of all of them."""
LANES = 256
"""Partial sums that are added at a time."""


class Layout(NamedTuple):
    """A plan that follows from the shapes and orders of all weights, on the device where it is needed."""

    table: Tensor
    """(layers, fields), int64."""
    layers: tuple[Tensor, ...]
    """For every kind of program the layers of all programs, int32."""
    lefts: int
    """Length of all left vectors together."""
    rights: int
    """And of all right ones."""


@functools.lru_cache(maxsize=REMEMBERED)
def _layout(orders: tuple[tuple[torch.Size, tuple[int, ...]], ...], device: torch.device, stream: int) -> Layout:
    """Return the layout of weights of the given shapes and strides, which are dense in one of two orders."""
    sizes, counts = [], []
    at_u = at_v = 0
    for shape, strides in orders:
        rows, columns = shape[0], shape[1:].numel()
        channels_last = len(shape) == 4 and strides[1] == 1 and strides[3] != 1
        channels, taps = (shape[1], shape[2] * shape[3]) if channels_last else (columns, 1)
        elements = blocks(rows * columns, BLOCK)
        sizes.append((rows, columns, channels, taps, at_u, at_v))
        counts.append((blocks(columns, COLUMNS), blocks(rows, ROWS), elements, min(elements, MAX_PIECES)))
        at_u, at_v = at_u + rows, at_v + columns
    kinds = [(owners(kind, device), kind) for kind in zip(*counts, strict=True)]
    programs = zip(*(row for (_, firsts), kind in kinds for row in (firsts, kind)), strict=True)
    fields = [(*first, *then) for first, then in zip(sizes, programs, strict=True)]
    return Layout(
        table=torch.tensor(fields, dtype=torch.int64, device=device),
        layers=tuple(owner for (owner, _), _ in kinds),
        lefts=at_u,
        rights=at_v,
    )


def layout_of(weights: Sequence[Tensor]) -> Layout:
    """Return the layout of weights, which are dense."""
    orders = tuple((each.shape, each.stride()) for each in weights)
    return _layout(orders, weights[0].device, stream_of(weights[0].device))


def fit(weights: Sequence[Tensor]) -> bool:
    """Return whether the kernels take these weights, and can be sent their addresses now."""
    return alike(weights) and all(each.numel() for each in weights) and can_send(weights[0].device)
