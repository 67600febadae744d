"""Sums of gradients over the parts of a batch and over processes, flat and in buckets.

PyTorch's wrapper for the purpose (DistributedDataParallel) is not used: it wants one network with one `forward`, and
here two networks train against each other by several methods, each with its partner frozen, in attempts that may be
made again.
"""

import weakref
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence, Set
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from vs_runtime.ranks.buckets import Bucket, buckets_of, flattened, pieces
from vs_runtime.ranks.group import most, told
from vs_runtime.ranks.meeting import answered
from vs_runtime.ranks.members import Ranks

T = TypeVar("T")


class OverlappedSums:
    """Sums that travel while the backward pass of the last part still goes on, bucket by bucket.

    In which order gradients come, and of which parameters there are any, depends on what is computed: the first frame
    of a clip uses other parameters than later ones. It is learnt at the first update of each kind.
    """

    def __init__(self, parameters: Iterable[Tensor], bucket_bytes: int) -> None:
        self._parameters = [p for p in parameters if p.requires_grad]
        self._bucket_bytes = bucket_bytes
        self._learnt: dict[Hashable, list[Bucket]] = {}
        self._under_way: _Buckets | None = None
        self._come: list[int] = []
        for number, parameter in enumerate(self._parameters):
            parameter.register_post_accumulate_grad_hook(_tell(weakref.ref(self), number))

    def each(self, parts: Iterable[T], count: int, kind: Hashable = None) -> Iterator[T]:
        """Yield the parts; when all have been taken, wait for what travels."""
        try:
            for number, part in enumerate(parts, start=1):
                if number == count:
                    self._come, self._under_way = [], _Buckets(self._learnt.get(kind, []))
                yield part
            self._finish(kind)
        finally:
            self._under_way = None

    def arrived(self, number: int) -> None:
        """Note that a parameter has its gradient."""
        if self._under_way is not None:
            self._come.append(number)
            self._under_way.note(self._parameters[number])

    @answered()
    def _finish(self, kind: Hashable) -> None:
        buckets = self._under_way or _Buckets([])
        buckets.send_rest()  # before anything else is asked: some have sent them already
        have = agreed_presence(self._parameters)
        present = {p for p, is_there in zip(self._parameters, have, strict=True) if is_there}
        if kind not in self._learnt or not all(p in buckets for p in present):
            # What nobody has foreseen goes last, at the first update everything, as it has come in the first process.
            order = dict.fromkeys([*told(self._come), *reversed(range(len(have)))])
            new = [p for p in (self._parameters[number] for number in order) if p in present and p not in buckets]
            self._learnt[kind] = buckets.add(new, self._bucket_bytes)
            buckets.send_rest()
        buckets.take(present)


class _Buckets:
    """The buckets of an update, sent one after the other as they fill; all processes send them in the same order."""

    def __init__(self, buckets: Iterable[Bucket]) -> None:
        self._buckets = list(buckets)
        self._number = {p: number for number, bucket in enumerate(self._buckets) for p in bucket}
        self._missing = [len(bucket) for bucket in self._buckets]
        self.travelling: list[tuple[Tensor, Any]] = []

    def __contains__(self, parameter: Tensor) -> bool:
        return parameter in self._number

    def note(self, parameter: Tensor) -> None:
        """Note that a parameter has its gradient; send what is complete."""
        if parameter in self._number:
            self._missing[self._number[parameter]] -= 1
        while len(self.travelling) < len(self._buckets) and not self._missing[len(self.travelling)]:
            self._send_next()

    def add(self, parameters: Iterable[Tensor], size: int) -> list[Bucket]:
        """Add parameters that nobody has foreseen, and return all buckets."""
        self._buckets += buckets_of(parameters, size)
        return self._buckets

    def send_rest(self) -> None:
        """Send what is left: this process may lack gradients that others have."""
        while len(self.travelling) < len(self._buckets):
            self._send_next()

    def take(self, present: Set[Tensor]) -> None:
        """Give all parameters their sums, once these have come, and no gradient to those that have none anywhere."""
        for bucket, (flat, work) in zip(self._buckets, self.travelling, strict=True):
            work.wait()
            give(bucket, flat, [p in present for p in bucket])

    @answered()
    def _send_next(self) -> None:
        bucket = self._buckets[len(self.travelling)]
        flat = flattened(bucket, [p.grad for p in bucket])
        self.travelling.append((flat, dist.all_reduce(flat, async_op=True)))


def _tell(sums: "weakref.ref[OverlappedSums]", number: int) -> Callable[[Tensor], None]:
    """Return a hook that does not keep the sums, which keep the parameters, alive."""

    def hook(_: Tensor) -> None:
        found = sums()
        if found is not None:
            found.arrived(number)

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

    def each(self, parts: Iterable[T], count: int, kind: Hashable = None) -> Iterator[T]:  # noqa: ARG002 - others ask
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
