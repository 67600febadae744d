"""Batches of clips, read ahead by worker processes; the position in the data is nothing but the batch's number."""

import atexit
import itertools
import multiprocessing
import queue
import time
import weakref
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from typing import ClassVar, Literal

import attrs
from vs_config import choice, whole

from vs_data.clips import Clip, ClipRequest, ClipSource, collate
from vs_data.errors import LoaderError, VsDataError
from vs_data.sampling import eligible, plan_batch
from vs_data.workers import Answer, Pool, describe_workers, end_pool, start_pool

_Requests = tuple[ClipRequest, ...]

FIRST_REPORT_S = 10.0
"""Time of waiting for a batch after which something is said, seconds; then again each time that it has doubled."""

_TICK_S = 0.5


@attrs.frozen(kw_only=True)
class LoaderConfig:
    """A way to put clips into batches and to read them."""

    kind: ClassVar[str] = "loader"

    batch_size: int | Literal["auto"] = whole(
        1, "clips per batch, which processes share; auto: as many as memory holds", low=1, high=4096, words=("auto",)
    )
    workers: int = whole(1, "processes that read ahead; 0: read in the training process itself", low=0, high=256)
    prefetch: int = whole(2, "batches that each worker reads ahead", low=1, high=64)
    start_method: Literal["auto", "fork", "forkserver", "spawn"] = choice(
        "auto",
        "how worker processes start; auto: fork where the system has it, else spawn; of several processes forkserver",
        ("auto", "fork", "forkserver", "spawn"),
    )
    timeout: int = whole(120, "how long to wait for a batch of the workers", low=1, high=86400, unit="seconds")

    @property
    def clips(self) -> int:
        """The batch size, as a number, which whoever reads batches has to put in the place of `auto`.

        Raises:
            VsDataError: it is still `auto`.
        """
        match self.batch_size:
            case int() as count:
                return count
            case _:
                raise VsDataError(
                    "loader.batch_size is 'auto': only training finds out what memory holds; give a number"
                )


def load_clips(
    source: ClipSource,
    config: LoaderConfig,
    *,
    seed: int,
    length_of: Callable[[int], int],
    start: int = 0,
    stop: int | None = None,
    shard: tuple[int, int] = (0, 1),
    pin_memory: bool = False,
    worker_init: Callable[[int], None] | None = None,
    references_of: Callable[[int], int] | None = None,
    waiting: Callable[[str], None] | None = None,
) -> Generator[Clip, None, None]:
    """Yield batches number `start`, `start` + 1, ... without end (or to `stop` - 1), each made by `collate`.

    Batch b is a pure function of (source, seed, b, length_of(b), references_of(b), batch size, shard): the number of
    workers and where the run was resumed change nothing. See `plan_batch` for what is in it. Closing or dropping the
    iterator ends the workers. They ignore SIGINT, SIGTERM and SIGHUP, which are the training process's business, use
    one thread each, leave PyTorch's global random state alone, need no shared memory, and end with this process however
    it ends. A signal handler that raises ends the wait for a batch.

    Args:
        source: Where clips are read from; it is sent to the workers once.
        config: Batch size, of this process alone, and workers.
        seed: Of the run, at least 0.
        length_of: Number of a batch -> frames per clip; called in this process, ahead of time and in order.
        start: Number of the first batch.
        stop: Number of the batch to stop before; None: never.
        shard: (rank, ranks) of this process in distributed training.
        pin_memory: Put batches into page-locked memory (CUDA only).
        worker_init: Called in each worker with its number, to set its affinity for example.
        references_of: Number of a batch -> references per clip, called like `length_of`; None: no references.
        waiting: Told, in words, that a batch is long in coming, and what the workers are doing.

    Raises:
        VsDataError: at once for a clip length that no sequence has; during iteration, in the order of the batches, for
            bad data (`DataError`, naming the file), a lost worker, or a batch that does not come within
            `config.timeout` (`LoaderError`).
    """
    if seed < 0 or start < 0 or not 0 <= shard[0] < shard[1]:
        raise VsDataError(f"seed {seed}, start {start}, shard {shard}: allowed are seed, start >= 0, 0 <= rank < ranks")
    eligible(source.sequences, length_of(start))
    plan = _Plan(
        source=source,
        config=config,
        seed=seed,
        length_of=length_of,
        references_of=references_of or _none,
        start=start,
        stop=stop,
        shard=shard,
    )
    if config.workers == 0:
        return _read_here(source, plan, pin_memory)
    batches = _read_ahead(plan, _Workers(pin_memory, worker_init, waiting or _silent))
    # Without this, Python would at its exit ask the workers to end by SIGTERM, which they ignore, and wait for them.
    atexit.register(_close, weakref.ref(batches))
    return batches


@attrs.frozen(kw_only=True)
class _Plan:
    """The requests of every batch, in order; what PyTorch calls a sampler."""

    source: ClipSource
    config: LoaderConfig
    seed: int
    length_of: Callable[[int], int]
    references_of: Callable[[int], int]
    start: int
    stop: int | None
    shard: tuple[int, int]

    def __iter__(self) -> Iterator[_Requests | VsDataError]:
        batch = self.start
        while self.stop is None or batch < self.stop:
            try:
                yield self.requests(batch)
            except VsDataError as error:  # planned ahead: it is raised when the batches before it have been used
                yield error
                return
            batch += 1

    def requests(self, batch: int) -> _Requests:
        return plan_batch(
            self.source.sequences,
            seed=self.seed,
            batch=batch,
            batch_size=self.config.clips,
            length=self.length_of(batch),
            shard=self.shard,
            references=self.references_of(batch),
        )


@attrs.frozen
class _Workers:
    """The part of the workers' description that is no configuration."""

    pin_memory: bool
    init: Callable[[int], None] | None
    waiting: Callable[[str], None]


@attrs.frozen
class _Reader:
    """Requests -> batch."""

    source: ClipSource

    def __call__(self, requests: _Requests) -> Clip:
        return collate([self.source.read(request) for request in requests])


def _read_here(source: ClipSource, plan: _Plan, pin_memory: bool) -> Generator[Clip, None, None]:
    read = _Reader(source)
    for requests in plan:
        match requests:
            case VsDataError():
                raise requests
            case tuple():
                batch = read(requests)
                yield batch.pin_memory() if pin_memory else batch


def _read_ahead(plan: _Plan, workers: _Workers) -> Generator[Clip, None, None]:
    pool = start_pool(
        _Reader(plan.source),
        workers=plan.config.workers,
        start_method=_start_method(plan.config),
        pin_memory=workers.pin_memory,
        worker_init=workers.init,
    )
    try:
        yield from _in_order(plan, pool, workers.waiting)
    finally:  # also when the consumer drops this generator
        end_pool(pool)


def _in_order(plan: _Plan, pool: Pool, waiting: Callable[[str], None]) -> Iterator[Clip]:
    """Yield batches in the order of their numbers, while those to come have been asked for."""
    ready: dict[int, Answer] = {}
    requests = enumerate(plan)
    asked = _ask(requests, plan.config.workers * plan.config.prefetch, pool, ready)
    for number in itertools.count():
        if number == asked:
            return
        _wait_for(number, plan, pool, ready, waiting)
        match ready.pop(number):
            case Exception() as error:
                raise error
            case Clip() as batch:
                asked += _ask(requests, 1, pool, ready)
                yield batch


def _ask(
    requests: Iterator[tuple[int, _Requests | VsDataError]], count: int, pool: Pool, ready: dict[int, Answer]
) -> int:
    """Ask for `count` more batches, or for as many as are left; returns how many that were."""
    asked = 0
    for number, request in itertools.islice(requests, count):
        asked += 1
        match request:
            case VsDataError():
                ready[number] = request
            case tuple():
                pool.requests.put((number, request))
    return asked


_FIX_WAIT = (
    "see whether their data can be read; loader.timeout allows more seconds, loader.workers=0 does without workers"
)


def _wait_for(number: int, plan: _Plan, pool: Pool, ready: dict[int, Answer], waiting: Callable[[str], None]) -> None:
    """Put answers into `ready` until that of a number is there.

    Time in which this process was suspended does not count, as after Ctrl-Z: workers were suspended with it.
    """
    waited, word = 0.0, FIRST_REPORT_S
    while number not in ready:
        began = time.monotonic()
        with suppress(queue.Empty):
            ready.update([pool.answers.get(timeout=_TICK_S)])
            continue
        waited += min(time.monotonic() - began, 2 * _TICK_S)
        if waited >= min(word, plan.config.timeout):
            word = 2 * waited
            what = f"batch {plan.start + number} has not come in {waited:.0f} s: {describe_workers(pool)}"
            if waited >= plan.config.timeout:
                raise LoaderError(f"{what}; {_FIX_WAIT}")
            waiting(f"waiting for data: {what}")


def _close(reference: weakref.ref[Generator[Clip, None, None]]) -> None:
    batches = reference()
    if batches is not None:
        with suppress(ValueError):  # another thread is waiting for a batch
            batches.close()


def _start_method(config: LoaderConfig) -> str:
    if config.start_method != "auto":
        return config.start_method
    return "fork" if "fork" in multiprocessing.get_all_start_methods() else "spawn"


def _none(_batch: int) -> int:
    return 0


def _silent(_text: str) -> None:
    """Say nothing."""
