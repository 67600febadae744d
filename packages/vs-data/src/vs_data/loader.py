"""Batches of clips, read ahead by worker processes; the position in the data is nothing but the batch's number."""

from __future__ import annotations

import atexit
import multiprocessing
import os
import signal
import warnings
import weakref
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, ClassVar, Literal, NoReturn

import attrs
import cv2
import torch
from torch.utils.data import DataLoader, Dataset

from vs_data.clips import Clip, ClipRequest, ClipSource, collate
from vs_data.errors import LoaderError, VsDataError
from vs_data.fields import choice, whole
from vs_data.sampling import eligible, plan_batch
from vs_data.threads import one_opencv_thread

_Requests = tuple[ClipRequest, ...]


@attrs.frozen(kw_only=True)
class LoaderConfig:
    """How clips are put into batches and read."""

    kind: ClassVar[str] = "loader"

    batch_size: int = whole(1, "clips per batch and process", low=1, high=4096)
    workers: int = whole(1, "processes that read ahead; 0: read in the training process itself", low=0, high=256)
    prefetch: int = whole(2, "batches that each worker reads ahead", low=1, high=64)
    start_method: Literal["auto", "fork", "forkserver", "spawn"] = choice(
        "auto",
        "how worker processes start; auto: fork where the system has it, else spawn",
        ("auto", "fork", "forkserver", "spawn"),
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
) -> Iterator[Clip]:
    """Batches number `start`, `start` + 1, ... without end (or up to `stop` - 1), each made by `collate`.

    Batch b is a pure function of (source, seed, b, length_of(b), references_of(b), batch size, shard): the number of
    workers and where the run was resumed change nothing. See `plan_batch` for what is in it. Closing or dropping the
    iterator ends the workers. They ignore SIGINT and SIGTERM, which are the training process's business, use one thread
    each, and leave PyTorch's global random state alone.

    Args:
        source: Where clips are read from; it is sent to the workers once.
        config: Batch size and workers.
        seed: Of the run, at least 0.
        length_of: Number of a batch -> frames per clip; called in this process, ahead of time and in order.
        start: Number of the first batch.
        stop: Number of the batch to stop before; None: never.
        shard: (rank, ranks) of this process in distributed training.
        pin_memory: Put batches into page-locked memory (CUDA only).
        worker_init: Called in each worker with its number, to set its affinity for example.
        references_of: Number of a batch -> references per clip, called like `length_of`; None: no references.

    Raises:
        VsDataError: at once for a clip length that no sequence has; during iteration, in the order of the batches, for
            bad data (`DataError`, naming the file) or a lost worker (`LoaderError`).
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
    batches = _read_ahead(source, plan, pin_memory, worker_init)
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
            batch_size=self.config.batch_size,
            length=self.length_of(batch),
            shard=self.shard,
            references=self.references_of(batch),
        )


@attrs.frozen
class _Reader(Dataset[Clip | VsDataError]):
    """Requests -> batch. Our own errors are returned, since PyTorch would rebuild raised ones from their text alone."""

    source: ClipSource

    def __getitem__(self, requests: _Requests | VsDataError) -> Clip | VsDataError:
        if isinstance(requests, VsDataError):
            return requests
        try:
            return collate([self.source.read(request) for request in requests])
        except VsDataError as error:
            return error.with_traceback(None)


def _read_here(source: ClipSource, plan: _Plan, pin_memory: bool) -> Iterator[Clip]:
    reader = _Reader(source)
    for requests in plan:
        batch = _clip_or_raise(reader[requests])
        yield batch.pin_memory() if pin_memory else batch


def _read_ahead(
    source: ClipSource, plan: _Plan, pin_memory: bool, worker_init: Callable[[int], None] | None
) -> Generator[Clip, None, None]:
    batches = _start_workers(source, plan, pin_memory, worker_init)
    try:
        while True:
            batch, failure = _next(batches)
            if failure is not None:
                break
            if batch is None:
                return
            yield _clip_or_raise(batch)
    finally:  # also when the consumer drops this generator
        _end_workers(batches)
        del batches
    raise failure


def _end_workers(batches: Iterator[Any]) -> None:
    """As when PyTorch deletes its iterator, except that news of a lost worker is not printed there as "ignored"."""
    with suppress(RuntimeError):
        batches._shutdown_workers()  # type: ignore[attr-defined]


def _close(reference: weakref.ref[Generator[Clip, None, None]]) -> None:
    batches = reference()
    if batches is not None:
        with suppress(ValueError):  # another thread is waiting for a batch
            batches.close()


def _next(batches: Iterator[Any]) -> tuple[Clip | VsDataError | None, Exception | None]:
    """The next batch, or None at the end; or what went wrong, freed of the traceback that keeps the workers alive.

    A lost worker shows as PyTorch's RuntimeError, or, while its tensors are being fetched, as a broken connection.
    """
    try:
        return next(batches, None), None
    except Exception as error:
        text = " ".join(str(error).split()) or type(error).__name__
        if text.startswith("Caught "):  # a bug in a source; the text holds the traceback of the worker
            return None, error.with_traceback(None)
        if not isinstance(error, OSError | EOFError) and "DataLoader worker" not in text:
            raise
        cure = "it may have run out of memory (also /dev/shm): use fewer workers, or 0"
        return None, LoaderError(f"a process that reads clips was lost ({text}); {cure}")


def _clip_or_raise(batch: Clip | VsDataError) -> Clip:
    return batch if isinstance(batch, Clip) else _raise(batch)


def _raise(error: VsDataError) -> NoReturn:
    raise error


def _start_workers(
    source: ClipSource, plan: _Plan, pin_memory: bool, worker_init: Callable[[int], None] | None
) -> Iterator[Any]:
    loader = DataLoader(
        _Reader(source),
        sampler=plan,
        batch_size=None,
        num_workers=plan.config.workers,
        prefetch_factor=plan.config.prefetch,
        collate_fn=_same,
        pin_memory=pin_memory,
        multiprocessing_context=_start_method(plan.config),
        worker_init_fn=partial(_init_worker, worker_init),
        generator=torch.Generator(),  # else it would draw from the global one and make resumed runs differ
    )
    # Forking with threads about is safe: workers use neither CUDA nor a thread pool of this process. OpenCV's has to be
    # taken down first, since a forked worker that inherits it waits for ever for threads that it does not have.
    with _signals_held(), one_opencv_thread(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*fork.*", category=DeprecationWarning)
        warnings.filterwarnings("ignore", message="This DataLoader will create", category=UserWarning)
        return iter(loader)


def _start_method(config: LoaderConfig) -> str:
    if config.start_method != "auto":
        return config.start_method
    return "fork" if "fork" in multiprocessing.get_all_start_methods() else "spawn"


@contextmanager
def _signals_held() -> Iterator[None]:
    """Hold Ctrl-C back while workers start: they inherit that, and none dies noisily before it ignores the signal."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _init_worker(worker_init: Callable[[int], None] | None, worker: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    # A spawned worker would take the interpreter apart at its end, where threads of PyTorch's queues may abort it.
    atexit.register(os._exit, 0)
    if worker_init is not None:
        worker_init(worker)


def _none(_batch: int) -> int:
    return 0


def _same(batch: Any) -> Any:
    return batch
