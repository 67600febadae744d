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

from vs_runtime.errors import RanksError
from vs_runtime.ranks import meeting
from vs_runtime.ranks.buckets import buckets_of, flattened, pieces
from vs_runtime.ranks.meeting import answered
from vs_runtime.ranks.members import Ranks

_GRACE = 2.0
"""Seconds that a process which ends with an error waits for others that do."""

_SPREAD_BYTES = 25 * 2**20


@contextlib.contextmanager
def formed(ranks: Ranks, *, device_type: str, timeout: float, meeting_timeout: float) -> Iterator[None]:
    """Form the group of all processes, and leave it at the end.

    Args:
        ranks: this process.
        device_type: where gradients are; those of `cuda` go through NCCL.
        timeout: seconds that a process waits for the others once they are there.
        meeting_timeout: seconds that it waits for them to come.

    Raises:
        RanksError: one of them does not come, or does not answer.
    """
    place = meeting.opened(ranks, meeting_timeout)
    try:
        with _left(place, ranks, timeout):
            with answered():
                place.arrive(meeting_timeout)
            backend = "cpu:gloo,cuda:nccl" if device_type == "cuda" else "gloo"
            patience = datetime.timedelta(seconds=timeout)
            with answered():
                dist.init_process_group(
                    backend, store=place.store, rank=ranks.rank, world_size=ranks.count, timeout=patience
                )
            yield
    finally:
        place.end()


@contextlib.contextmanager
def _left(place: meeting.Meeting, ranks: Ranks, timeout: float) -> Iterator[None]:
    """Say at the end that this process leaves, and why, and let the others leave as well.

    After an error they may have met with it too, or know nothing of it and wait for this process: it waits for them a
    little, and then again when all that connects them is cut.
    """
    patience, error = _GRACE, None
    try:
        yield
        patience = timeout
    except RanksError as found:
        error = str(found)
        place.leave(error, stopped=found.stopped)
        raise
    except BaseException as found:
        error = f"rank {ranks.rank}: {_in_words(found)}"
        place.leave(error, stopped=isinstance(found, KeyboardInterrupt))
        raise
    else:
        place.leave(None)
    finally:
        place.see_off(patience)
        if dist.is_initialized():
            dist.destroy_process_group()
        if error is not None:
            place.see_off(_GRACE)


def _in_words(error: BaseException) -> str:
    match error:
        case SystemExit():
            return f"ended with exit status {error.code}"
        case _:
            return " ".join(str(error).split()) or type(error).__name__


def most(numbers: Sequence[float]) -> list[float]:
    """Return the largest of each number over all processes."""
    values = torch.tensor(numbers, dtype=torch.float64)
    with answered():
        dist.all_reduce(values, dist.ReduceOp.MAX)
    found: list[float] = values.tolist()
    return found


def gathered(tensor: Tensor, count: int) -> Tensor:
    """Return the tensors of all processes, (R, ...), in their order."""
    own = tensor.detach().contiguous()
    every = [torch.empty_like(own) for _ in range(count)]
    with answered():
        dist.all_gather(every, own)
    return torch.stack(every)


def spread(tensors: Sequence[Tensor], source: int) -> None:
    """Give the tensors of all processes the values that they have in one."""
    for bucket in buckets_of(tensors, _SPREAD_BYTES):
        flat = flattened(bucket, bucket)
        with answered():
            dist.broadcast(flat, src=source)
        if dist.get_rank() != source:
            torch._foreach_copy_(list(bucket), list(pieces(bucket, flat)))


def told(value: Any) -> Any:
    """Return the first process's value, of what JSON holds."""
    words = torch.frombuffer(bytearray(json.dumps(value).encode()), dtype=torch.uint8)
    size = torch.tensor([words.numel()])
    with answered():
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
