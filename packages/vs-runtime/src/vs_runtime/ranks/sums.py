"""Sums of gradients over the parts of a batch and over processes, flat and in buckets.

PyTorch's wrapper for the purpose (DistributedDataParallel) is not used: it wants one network with one `forward`, and
here two networks train against each other by several methods, each with its partner frozen, in attempts that may be
made again.
"""

import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from vs_runtime.ranks.buckets import Bucket, buckets_of, flattened, pieces
from vs_runtime.ranks.group import most
from vs_runtime.ranks.meeting import answered
from vs_runtime.ranks.members import Ranks

T = TypeVar("T")


class OverlappedSums:
    """Sums that travel while the backward pass of the last part still goes on, bucket by bucket."""

    def __init__(self, parameters: Iterable[Tensor], bucket_bytes: int) -> None:
        # Gradients of what is computed last are there first.
        self._buckets = buckets_of(reversed([p for p in parameters if p.requires_grad]), bucket_bytes)
        self._travelling: list[tuple[Tensor, Any]] = []
        self._missing: list[int] = []
        for number, bucket in enumerate(self._buckets):
            for parameter in bucket:
                parameter.register_post_accumulate_grad_hook(_tell(weakref.ref(self), number))

    def each(self, parts: Iterable[T], count: int) -> Iterator[T]:
        """Yield the parts; when all have been taken, wait for what travels."""
        try:
            for number, part in enumerate(parts, start=1):
                if number == count:
                    self._missing = [len(bucket) for bucket in self._buckets]
                yield part
            self._finish()
        finally:
            self._missing, self._travelling = [], []

    def arrived(self, bucket: int) -> None:
        """Note that a parameter of a bucket has its gradient; send the buckets that are complete, in their order."""
        if not self._missing:
            return
        self._missing[bucket] -= 1
        while len(self._travelling) < len(self._buckets) and not self._missing[len(self._travelling)]:
            self._send_next()

    @answered()
    def _send_next(self) -> None:
        """Send a bucket; all processes send them in the same order."""
        bucket = self._buckets[len(self._travelling)]
        flat = flattened(bucket, [p.grad for p in bucket])
        self._travelling.append((flat, dist.all_reduce(flat, async_op=True)))

    @answered()
    def _finish(self) -> None:
        while len(self._travelling) < len(self._buckets):  # some have parameters without a gradient
            self._send_next()
        present = iter(agreed_presence([p for bucket in self._buckets for p in bucket]))
        for bucket, (flat, work) in zip(self._buckets, self._travelling, strict=True):
            work.wait()
            give(bucket, flat, [next(present) for _ in bucket])


def _tell(sums: "weakref.ref[OverlappedSums]", bucket: int) -> Callable[[Tensor], None]:
    """Return a hook that does not keep the sums, which keep the parameters, alive."""

    def hook(_: Tensor) -> None:
        found = sums()
        if found is not None:
            found.arrived(bucket)

    return hook


class OrderedSums:
    """Sums from the left, one part of the whole batch after the other: the same bits for any number of processes.

    What the first process has added up goes to the second, which adds its own parts one by one, and so on. The last
    one has the sum and tells it to all.
    """

    def __init__(self, ranks: Ranks, parameters: Iterable[Tensor], bucket_bytes: int) -> None:
        self._ranks = ranks
        self._parameters = [p for p in parameters if p.requires_grad]
        self._bucket_bytes = bucket_bytes

    def each(self, parts: Iterable[T], count: int) -> Iterator[T]:  # noqa: ARG002 - others have to know how many
        """Yield the parts, and keep the gradients of each until all are added up."""
        taken: list[list[Tensor | None]] = []
        for part in parts:
            yield part
            taken.append([p.grad for p in self._parameters])
            for parameter in self._parameters:
                parameter.grad = None
        self._add_up(taken)

    @answered()
    def _add_up(self, taken: Sequence[Sequence[Tensor | None]]) -> None:
        have = [any(gradients[i] is not None for gradients in taken) for i in range(len(self._parameters))]
        present = agreed(have)
        places = {p: i for i, p in enumerate(self._parameters)}
        buckets = buckets_of((p for p, is_there in zip(places, present, strict=True) if is_there), self._bucket_bytes)
        parts = [[[gradients[places[p]] for p in bucket] for gradients in taken] for bucket in buckets]
        flats = [self._passed_on(bucket, own) for bucket, own in zip(buckets, parts, strict=True)]
        for flat in flats:
            dist.broadcast(flat, src=self._ranks.count - 1)
        for bucket, flat in zip(buckets, flats, strict=True):
            give(bucket, flat, [True] * len(bucket))

    def _passed_on(self, bucket: Bucket, parts: Sequence[Sequence[Tensor | None]]) -> Tensor:
        """Return a bucket's sum of all parts up to the last one of this process, which the next one has been sent."""
        rank = self._ranks.rank
        own = [flattened(bucket, gradients) for gradients in parts]
        if rank == 0:
            total, *own = own
        else:
            total = torch.empty_like(own[0])
            dist.recv(total, src=rank - 1)
        for part in own:
            total += part
        if rank + 1 < self._ranks.count:
            dist.send(total, dst=rank + 1)
        return total


def give(bucket: Bucket, flat: Tensor, present: Sequence[bool]) -> None:
    """Give parameters their parts of such a row as gradients, none to those that are to have none."""
    for parameter, is_there, gradient in zip(bucket, present, pieces(bucket, flat), strict=True):
        parameter.grad = gradient if is_there else None


def agreed_presence(parameters: Sequence[Tensor]) -> list[bool]:
    """Return which parameters have a gradient in any process."""
    return agreed([p.grad is not None for p in parameters])


def agreed(own: Sequence[bool]) -> list[bool]:
    """Return what is true in any process."""
    return [value > 0 for value in most([float(value) for value in own])]
