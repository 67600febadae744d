"""Processes that work for another one: how they start unharmed by signals, end with it, and send it their errors."""

import copy
import gc
import multiprocessing
import os
import signal
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from multiprocessing import connection, forkserver, resource_tracker

_LOOK = 0.5
"""Seconds between two looks at whether a process still lives."""


@contextmanager
def signals_held(*, but: Collection[signal.Signals] = ()) -> Iterator[None]:
    """Hold all signals of this thread back, `but` these; what is started meanwhile begins its life with them held."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals() - set(but))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def start_tracker() -> None:
    """Start the process in which multiprocessing tracks resources, if it does not run: before signals are held.

    Every start by "spawn" or "forkserver" makes sure of it, and by its first one Python lets SIGINT and SIGTERM through
    again, held or not: a process that begins just then would be ended by them.
    """
    if hasattr(signal, "pthread_sigmask"):
        resource_tracker.ensure_running()


def start_fork_server(*modules: str) -> None:
    """Start the process that others are forked from under "forkserver", if it does not run, with modules loaded.

    No signal of the terminal or of a scheduler ends it: who asked for its processes decides when they end. Those by
    which it is told of their ends it sees.
    """
    multiprocessing.set_forkserver_preload(list(modules))
    start_tracker()
    with signals_held(but={signal.SIGCHLD}):
        forkserver.ensure_running()


@contextmanager
def collection_held() -> Iterator[None]:
    """Hold the collection of garbage back while processes are forked; each of them begins with `keep_inherited`."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def keep_inherited() -> None:
    """Never collect what the process that forked this one had made, and collect garbage of its own from now on.

    What ends threads when it is collected, as decoders of videos do, would wait for ever: a fork has none of them.
    """
    gc.freeze()
    gc.enable()


def leave_signals_to_parent() -> None:
    """Ignore what is the business of the process that started this one, and hold no other signal back any more."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_SETMASK, ())


def end_with_parent(started_by: int | None = None) -> None:
    """Wait for the end of the process that started this one and end it too, also when it hangs somewhere.

    It is for a thread of its own.

    Args:
        started_by: the number of that process, where it is not Python's `multiprocessing` that has started this one.
    """
    parent = multiprocessing.parent_process()
    if started_by is not None:
        while os.getppid() == started_by:
            time.sleep(_LOOK)
        os._exit(1)
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(0)


def fit_to_be_sent(error: Exception) -> Exception:
    """Return the error, or its text, where its class cannot be made again from what an exception keeps."""
    try:
        copy.copy(error)
    except Exception:
        return RuntimeError("\n".join([repr(error), *getattr(error, "__notes__", ())]))
    return error
