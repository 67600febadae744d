"""Processes that work for another one: how they start unharmed by signals, end with it, and send it their errors."""

import copy
import gc
import multiprocessing
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import connection


@contextmanager
def signals_held() -> Iterator[None]:
    """Hold all signals of this thread back; what is started meanwhile begins its life with them held."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def garbage_kept() -> Iterator[None]:
    """Collect no garbage, so that a process that is forked meanwhile begins with all that this one had.

    It has to call `leave_garbage_to_parent` before it collects any.
    """
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()


def leave_garbage_to_parent() -> None:
    """Never collect what the process that forked this one had, garbage or not, and collect what comes from now on.

    Decoders and encoders that are collected wait for their threads, which a fork does not have: for ever, and while no
    other thread of this process can run.
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


def end_with_parent() -> None:
    """Wait for the end of the process that started this one and end it too, also when it hangs somewhere.

    It is for a thread of its own.
    """
    parent = multiprocessing.parent_process()
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
