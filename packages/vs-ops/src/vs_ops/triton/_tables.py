"""Tables by which one launch computes with many tensors: where they lie, and which program serves which of them.

A network has hundreds of parameters, most of them small: a launch for each would take far longer than the work. Tables
depend on shapes and on addresses, which parameters keep, so that most are sent to the device once and then remembered.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["REMEMBERED", "can_send", "owners", "sent", "stream_of"]

REMEMBERED = 256
"""So many tables of a kind are remembered."""


def can_send(device: torch.device) -> bool:
    """Whether tables can be sent now: not to a stream that is being captured in a CUDA graph."""
    return torch.compiler.is_compiling() or device.type != "cuda" or not torch.cuda.is_current_stream_capturing()


def stream_of(device: torch.device) -> int:
    """A number for the stream on which `device` computes now.

    A table sent on one stream may not have arrived when another reads it, so that each stream has its own.
    """
    return torch.cuda.current_stream(device).cuda_stream if device.type == "cuda" else 0


def sent(tensors: Sequence[Tensor | None], device: torch.device) -> Tensor:
    """The addresses of tensors, 0 for those that are None, int64 on the device."""
    return _sent(tuple(0 if each is None else each.data_ptr() for each in tensors), device, stream_of(device))


@functools.lru_cache(maxsize=REMEMBERED)
def _sent(addresses: tuple[int, ...], device: torch.device, stream: int) -> Tensor:
    """Those of results recur too, since PyTorch uses memory again."""
    return torch.tensor(addresses, dtype=torch.int64).to(device, non_blocking=True)


def owners(counts: Sequence[int], device: torch.device) -> tuple[Tensor, list[int]]:
    """For programs of which every tensor gets so many: the tensor of each (int32), and every tensor's first program."""
    firsts = [sum(counts[:index]) for index in range(len(counts))]
    return torch.arange(len(counts), dtype=torch.int32).repeat_interleave(torch.tensor(counts)).to(device), firsts
