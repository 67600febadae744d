"""Questions to all processes that train together. One by itself asks nobody, and loads nothing for it."""

import contextlib
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal

from torch import Tensor

from vs_runtime.ranks.members import GradientSums, LocalSums, Ranks, ranks_of

Reduce = Literal["fast", "ordered"]
"""The order in which gradients of several processes are added up: any, or that of the parts of the batch."""


@contextlib.contextmanager
def joined(*, device_type: str = "cpu", timeout: float = 600.0, meeting: float | None = None) -> Iterator[Ranks]:
    """Join the processes that torchrun has started with this one, and leave them at the end; `ONE` without torchrun.

    Args:
        device_type: where gradients will be, `cpu` or `cuda`.
        timeout: seconds that a process waits for another one, now and whenever they talk.
        meeting: seconds that it waits for the others to start, if that is something else.

    Raises:
        RanksError: the variables are incomplete or contradict one another, or a process does not come.
    """
    ranks = ranks_of(os.environ)
    if ranks.count == 1:
        yield ranks
        return
    from vs_runtime.ranks import group

    with group.formed(
        ranks, device_type=device_type, timeout=timeout, meeting_timeout=timeout if meeting is None else meeting
    ):
        yield ranks


def most(ranks: Ranks, numbers: Sequence[float]) -> list[float]:
    """Return the largest of each number over all processes; all have to ask, with equally many numbers."""
    if ranks.count == 1:
        return list(numbers)
    from vs_runtime.ranks import group

    return group.most(numbers)


def gathered(ranks: Ranks, tensor: Tensor) -> Tensor:
    """Return the tensors of all processes, (R, ...), in their order; all have the same shape and dtype."""
    if ranks.count == 1:
        return tensor[None]
    from vs_runtime.ranks import group

    return group.gathered(tensor, ranks.count)


def spread(ranks: Ranks, tensors: Sequence[Tensor], source: int) -> None:
    """Give the tensors of all processes, detached ones, the values that they have in one of them, in place."""
    if ranks.count == 1:
        return
    from vs_runtime.ranks import group

    group.spread(tensors, source)


def told(ranks: Ranks, value: Any) -> Any:
    """Return the first process's value, small and of what JSON holds; that of the others is not looked at."""
    if ranks.count == 1:
        return value
    from vs_runtime.ranks import group

    return group.told(value)


def collected(ranks: Ranks, value: Any) -> list[Any]:
    """Return the values of all processes, in their order, small and of what JSON holds."""
    if ranks.count == 1:
        return [value]
    from vs_runtime.ranks import group

    return group.collected(value, ranks.count)


def gradient_sums(ranks: Ranks, parameters: Iterable[Tensor], *, reduce: Reduce, bucket_bytes: int) -> GradientSums:
    """Return what adds up the gradients of a network, of several networks one for each.

    Args:
        ranks: the processes.
        parameters: of the network, in the same order everywhere.
        reduce: `fast`: while the last backward pass goes on, in the order that is quickest. `ordered`: one part of the
            batch after the other, so that sums are the same for any number of processes.
        bucket_bytes: how much is sent at once, about.
    """
    if ranks.count == 1:
        return LocalSums()
    from vs_runtime.ranks import sums

    if reduce == "fast":
        return sums.OverlappedSums(parameters, bucket_bytes)
    return sums.OrderedSums(ranks, parameters, bucket_bytes)


def ready(ranks: Ranks) -> None:
    """Wait until all processes are ready, for as long as they live: what they do before may take any time.

    Raises:
        RanksError: one of them has ended, with an error or without a word.
    """
    if ranks.count == 1:
        return
    from vs_runtime.ranks import meeting

    with meeting.answered():
        meeting.present().ready()


def parted(ranks: Ranks, error: str) -> bool:
    """Say that this process, one of several, ends with an error; return whether one before it does too, and tells it.

    Whoever has joined the others has said so already; who has not does it now, and waits a little for them.
    """
    from vs_runtime.ranks import meeting

    return meeting.part(ranks, error)
