"""What processes tell one another: the only module, beside `sums`, that uses torch.distributed.

Numbers and words go through gloo and never through a GPU, so that nobody waits for one to learn them.
"""

import contextlib
import datetime
import json
from collections.abc import Iterator, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from vs_runtime.ranks.members import Ranks


@contextlib.contextmanager
def formed(ranks: Ranks, *, device_type: str, timeout: float, meeting: str) -> Iterator[None]:
    """Form the group of all processes, and leave it at the end.

    Args:
        ranks: this process.
        device_type: where gradients are; those of `cuda` go through NCCL.
        timeout: seconds that a process waits for the others, here and later.
        meeting: where they meet, as an address of PyTorch's: `env://`, or `file://` and a path.
    """
    dist.init_process_group(
        "cpu:gloo,cuda:nccl" if device_type == "cuda" else "gloo",
        init_method=meeting,
        rank=ranks.rank,
        world_size=ranks.count,
        timeout=datetime.timedelta(seconds=timeout),
    )
    try:
        yield
    finally:
        dist.destroy_process_group()


def most(numbers: Sequence[float]) -> list[float]:
    """Return the largest of each number over all processes."""
    values = torch.tensor(numbers, dtype=torch.float64)
    dist.all_reduce(values, dist.ReduceOp.MAX)
    found: list[float] = values.tolist()
    return found


def gathered(tensor: Tensor, count: int) -> Tensor:
    """Return the tensors of all processes, (R, ...), in their order."""
    own = tensor.detach().contiguous()
    every = [torch.empty_like(own) for _ in range(count)]
    dist.all_gather(every, own)
    return torch.stack(every)


def told(value: Any) -> Any:
    """Return the first process's value, of what JSON holds."""
    words = torch.frombuffer(bytearray(json.dumps(value).encode()), dtype=torch.uint8)
    size = torch.tensor([words.numel()])
    dist.broadcast(size, src=0)
    if dist.get_rank() != 0:
        words = torch.empty(int(size), dtype=torch.uint8)
    dist.broadcast(words, src=0)
    return json.loads(bytes(words.tolist()))


def collected(value: Any, count: int) -> list[Any]:
    """Return the values of all processes, in their order, of what JSON holds."""
    words = json.dumps(value).encode()
    width = int(most([len(words)])[0])
    padded = torch.frombuffer(bytearray(words.ljust(width)), dtype=torch.uint8)
    return [json.loads(bytes(row)) for row in gathered(padded, count).tolist()]
