"""Processes that read batches ahead of their use, each at the other end of a pipe; what becomes of them is noticed.

Nothing here asks anything of signal handlers or of shared memory: batches come through the pipes, into memory of the
process that asked. A thread for each worker waits for them there, so that the caller's own thread waits for nothing but
a queue, where signals reach it.
"""

import multiprocessing
import os
import queue
import signal
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import attrs
import cv2
import torch
from torch import Tensor
from vs_config.processes import (
    collection_held,
    end_with_parent,
    fit_to_be_sent,
    keep_inherited,
    leave_signals_to_parent,
    signals_held,
    start_fork_server,
    start_tracker,
)

from vs_data.clips import Clip, map_tensors
from vs_data.errors import LoaderError, VsDataError
from vs_data.threads import one_opencv_thread

Read = Callable[[Any], Clip]
"""What a worker does: a request -> a batch."""

Answer = Clip | Exception
"""What comes of a request."""

_GRACE_S = 5.0  # that a process which was sent SIGKILL has to be gone


@attrs.frozen(kw_only=True, eq=False)
class Pool:
    """Workers that have been started, until `end_pool`.

    Attributes:
        processes: One per worker.
        channels: This side's ends of their pipes.
        threads: Which pass requests on and fetch what comes of them.
        requests: (number, request) in, or None for a thread to end.
        answers: (number, answer) out, in the order in which they are ready.
    """

    processes: tuple[BaseProcess, ...]
    channels: tuple[Connection, ...]
    threads: tuple[threading.Thread, ...]
    requests: queue.SimpleQueue[tuple[int, Any] | None]
    answers: queue.SimpleQueue[tuple[int, Answer]]


def start_pool(
    read: Read, *, workers: int, start_method: str, pin_memory: bool, worker_init: Callable[[int], None] | None
) -> Pool:
    """Start workers that ignore SIGINT, SIGTERM and SIGHUP, and that end when this process does, however it does.

    Args:
        read: Is sent to each worker once.
        workers: How many.
        start_method: One of multiprocessing's.
        pin_memory: Receive batches into page-locked memory (CUDA only).
        worker_init: Called in each worker with its number.

    Raises:
        LoaderError: the system does not let so many processes start.
    """
    pool = None
    try:
        if start_method == "forkserver":
            start_fork_server(__name__)
        elif start_method == "spawn":
            start_tracker()
        # Workers and threads inherit held signals: they are the caller's thread's, once all is made.
        with signals_held(), collection_held():
            pool = _make_pool(read, workers, start_method, pin_memory, worker_init)
    except BaseException:  # what a signal's handler raises, too
        if pool is not None:
            end_pool(pool)
        raise
    return pool


def _make_pool(
    read: Read, workers: int, start_method: str, pin_memory: bool, worker_init: Callable[[int], None] | None
) -> Pool:
    requests: queue.SimpleQueue[tuple[int, Any] | None] = queue.SimpleQueue()
    answers: queue.SimpleQueue[tuple[int, Answer]] = queue.SimpleQueue()
    receive = partial(_receive_answer, device=torch.cuda.current_device() if pin_memory else None)
    started: list[tuple[BaseProcess, Connection]] = []

    def end_started() -> None:  # nobody else would, and this process would wait for them at its exit
        _end_processes([process for process, _ in started], [channel for _, channel in started], ())

    try:
        started.extend(_start_worker(read, worker, start_method, worker_init) for worker in range(workers))
        threads = tuple(
            threading.Thread(target=_attend, args=(worker, *pair, requests, answers, receive), daemon=True)
            for worker, pair in enumerate(started)
        )
        for thread in threads:
            thread.start()
    except OSError as error:
        end_started()
        raise LoaderError(f"a process that reads clips cannot be started ({error}); {_FEWER}") from None
    except BaseException:
        end_started()
        raise
    return Pool(
        processes=tuple(process for process, _ in started),
        channels=tuple(channel for _, channel in started),
        threads=threads,
        requests=requests,
        answers=answers,
    )


def end_pool(pool: Pool) -> None:
    """End workers at once, whatever they do: they only read, so that nothing can be lost."""
    for _ in pool.threads:
        pool.requests.put(None)
    _end_processes(pool.processes, pool.channels, pool.threads)


def describe_workers(pool: Pool) -> str:
    """Say what each worker is doing, as far as the system tells: for a wait that takes too long."""
    return ", ".join(
        f"worker {worker} (process {process.pid}) {_doing(process)}" for worker, process in enumerate(pool.processes)
    )


_FEWER = "use fewer workers (loader.workers), or 0, which reads in the process itself"

_STATES = {
    "R": "is computing",
    "S": "is sleeping",
    "D": "is waiting for a disk or a network drive",
    "T": "is stopped by a signal (kill -CONT lets it go on)",
    "t": "is stopped by a debugger",
    "Z": "has ended",
    "X": "has ended",
}


def _doing(process: BaseProcess) -> str:
    """Say what a process is doing; the letter of its state stands after its name, which may hold anything."""
    try:
        state = Path(f"/proc/{process.pid}/stat").read_text("utf-8", errors="replace").rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return "is alive" if process.is_alive() else "has ended"
    return _STATES.get(state, f"is in state {state}")


# In the process that asked


def _start_worker(
    read: Read, worker: int, start_method: str, worker_init: Callable[[int], None] | None
) -> tuple[BaseProcess, Connection]:
    ours, theirs = multiprocessing.Pipe()
    try:
        context: Any = multiprocessing.get_context(start_method)
        process: BaseProcess = context.Process(target=_serve, args=(theirs, read, worker, worker_init), daemon=True)
        # Forking with threads about is safe: workers use neither CUDA nor a thread pool of this process. OpenCV's has
        # to be taken down first, since a fork that inherits it waits for ever for threads that it does not have.
        with one_opencv_thread(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*fork.*", category=DeprecationWarning)
            process.start()
    except BaseException:
        ours.close()
        raise
    finally:
        theirs.close()  # so that ours tells of the worker's end
    return process, ours


def _attend(
    worker: int,
    process: BaseProcess,
    channel: Connection,
    requests: queue.SimpleQueue[tuple[int, Any] | None],
    answers: queue.SimpleQueue[tuple[int, Answer]],
    receive: Callable[[Connection], Answer],
) -> None:
    """Have one worker serve requests until there are no more, or it is lost."""
    while (item := requests.get()) is not None:
        number, request = item
        try:
            channel.send(request)
            answers.put((number, receive(channel)))
        except (OSError, EOFError):
            answers.put((number, LoaderError(_obituary(worker, process))))
            return
        except Exception as error:  # no memory for the batch, for example
            answers.put((number, error))
            return


def _obituary(worker: int, process: BaseProcess) -> str:
    code = _exit_code(process)
    how = "does not answer any more" if code is None else f"ended with status {code}"
    if code is not None and code < 0:
        how = f"was killed ({_signal_name(-code)})"
        if code == -signal.SIGKILL:
            how += ", which the system does when memory runs out"
    return f"worker {worker}, a process that reads clips, was lost: it {how}; {_FEWER}"


def _exit_code(process: BaseProcess) -> int | None:
    """Return the status a process ended with; None: it has not, in a while. Of threads that ask only one gets it."""
    deadline = time.monotonic() + _GRACE_S
    while process.exitcode is None and time.monotonic() < deadline:
        time.sleep(0.01)
    return process.exitcode


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _end_processes(
    processes: Sequence[BaseProcess], channels: Sequence[Connection], threads: Sequence[threading.Thread]
) -> None:
    for process in processes:
        process.kill()  # also of those that are stopped; the end of a pipe wakes the thread that waits there
    for process in processes:
        process.join(_GRACE_S)
    for thread in threads:
        thread.join(_GRACE_S)
    for channel in channels:
        channel.close()


# In a worker


def _serve(channel: Connection, read: Read, worker: int, worker_init: Callable[[int], None] | None) -> None:
    """Answer requests as long as somebody asks. Never returns: taking an interpreter apart has no use here."""
    keep_inherited()
    leave_signals_to_parent()
    try:
        failure = _attempt(partial(_prepare, worker, worker_init))
        while True:
            request = channel.recv()
            answer = failure or _attempt(partial(read, request))
            _send_answer(channel, answer)
    except (OSError, EOFError):
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(1)


def _prepare(worker: int, worker_init: Callable[[int], None] | None) -> None:
    threading.Thread(target=end_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    if worker_init is not None:
        worker_init(worker)


def _attempt(function: Callable[[], Any]) -> Any:
    """Return what a function returns or raises; an error that nobody expects keeps its traceback, as a note."""
    try:
        return function()
    except VsDataError as error:
        return error.with_traceback(None)
    except Exception as error:
        error.add_note(f"in a process that reads clips:\n{traceback.format_exc().rstrip()}")
        return error.with_traceback(None)


# Between the two


def _send_answer(channel: Connection, answer: Answer) -> None:
    """Send a batch without the contents of its tensors first, and then these."""
    match answer:
        case Clip():
            tensors: list[Tensor] = []
            channel.send(map_tensors(partial(_set_aside, tensors), answer))
            for tensor in tensors:
                channel.send_bytes(_bytes_of(tensor))
        case Exception():
            channel.send(fit_to_be_sent(answer))


def _set_aside(tensors: list[Tensor], tensor: Tensor) -> Tensor:
    if tensor.numel():
        tensors.append(tensor.contiguous())
    return tensor.to("meta", memory_format=torch.contiguous_format)


def _receive_answer(channel: Connection, device: int | None) -> Answer:
    """Receive an answer; its tensors lie in page-locked memory for a CUDA device, if one is given."""
    if device is not None:
        torch.cuda.set_device(device)  # of this thread

    def fetch(meta: Tensor) -> Tensor:
        tensor = torch.empty(meta.shape, dtype=meta.dtype, pin_memory=device is not None)
        if tensor.numel():
            channel.recv_bytes_into(_bytes_of(tensor))
        return tensor

    answer: Answer = channel.recv()
    match answer:
        case Clip():
            return map_tensors(fetch, answer)
        case Exception():
            return answer


def _bytes_of(tensor: Tensor) -> memoryview:
    array: Any = tensor.view(-1).view(torch.uint8).numpy()  # type stubs of Python 3.11 know no arrays as buffers
    return memoryview(array)
