"""Tables by which one launch computes with many tensors: where they lie, and which program serves which of them.

A network has hundreds of parameters, most of them small: a launch for each would take far longer than the work. Tables
depend on shapes and on addresses, which parameters keep, so that most are sent to the device once and then remembered.
"""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from vs_ops.triton._launch import blocks

REMEMBERED = 256
"""Tables of a kind that are remembered."""


def can_send(device: torch.device) -> bool:
    """Return whether tables can be sent now: not to a stream that is being captured in a CUDA graph."""
    return torch.compiler.is_compiling() or device.type != "cuda" or not torch.cuda.is_current_stream_capturing()


def alike(tensors: Sequence[Tensor]) -> bool:
    """Return whether one launch can take all tensors: they have one dtype and are on one device."""
    first = tensors[0]
    return all(each.dtype is first.dtype and each.device == first.device for each in tensors)


def stream_of(device: torch.device) -> int:
    """Return a number for the stream on which `device` computes now.

    A table sent on one stream may not have arrived when another reads it, so that each stream has its own.
    """
    return torch.cuda.current_stream(device).cuda_stream if device.type == "cuda" else 0


def sent(tensors: Sequence[Tensor | None], device: torch.device) -> Tensor:
    """Return the addresses of tensors, 0 for those that are None, int64 on the device."""
    return _sent(tuple(0 if each is None else each.data_ptr() for each in tensors), device, stream_of(device))


@functools.lru_cache(maxsize=REMEMBERED)
def _sent(addresses: tuple[int, ...], device: torch.device, stream: int) -> Tensor:
    """Remember addresses; those of results recur too, since PyTorch uses memory again."""
    return torch.tensor(addresses, dtype=torch.int64).to(device, non_blocking=True)


def owners(counts: Sequence[int], device: torch.device) -> tuple[Tensor, list[int]]:
    """Return the tensor (int32) of each program, of which tensors get so many, and every tensor's first program."""
    firsts = [sum(counts[:index]) for index in range(len(counts))]
    return torch.arange(len(counts), dtype=torch.int32).repeat_interleave(torch.tensor(counts)).to(device), firsts


class Programs(NamedTuple):
    """The programs and the tensors that they compute with, on the device."""

    table: Tensor
    """(tensors, 3), int64: elements, first program, number of programs."""
    owner: Tensor
    """The tensor of each program, int32."""


def programs(tensors: Sequence[Tensor], block: int, max_count: int | None = None) -> Programs:
    """Return a program for every `block` elements of every tensor, but at most `max_count` for one."""
    device = tensors[0].device
    return _programs(tuple(each.numel() for each in tensors), block, max_count, device, stream_of(device))


@functools.lru_cache(maxsize=REMEMBERED)
def _programs(sizes: tuple[int, ...], block: int, max_count: int | None, device: torch.device, stream: int) -> Programs:
    counts = [blocks(size, block) if max_count is None else min(blocks(size, block), max_count) for size in sizes]
    owner, firsts = owners(counts, device)
    rows = list(zip(sizes, firsts, counts, strict=True))
    return Programs(table=torch.tensor(rows, dtype=torch.int64, device=device), owner=owner)
