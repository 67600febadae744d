"""A function in a process of its own, whose memory holds nothing of what was done before."""

import contextlib
import multiprocessing
import threading
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

from vs_config.processes import end_with_parent, fit_to_be_sent, leave_signals_to_parent, signals_held, start_tracker

from vs_runtime.errors import VsRuntimeError

A = TypeVar("A")
R = TypeVar("R")

_SIGKILL = 9


def in_fresh_process(function: Callable[[A], R], argument: A, *, memory: int | None = None) -> R:
    """Call a function in a new process and return what it returns, or raise what it raises.

    The process is gone when this returns, and also when this is left by a signal's handler that raises; signals to end
    are the business of the caller alone.

    Args:
        function: One that can be imported.
        argument: What can be pickled, as the answer has to be.
        memory: Most bytes of data that the process may ask for: it gets an error for more, instead of being killed, or
            another process being killed, by the system. None, or where the system has no such limit: all there is.

    Raises:
        MemoryError: The process was killed, which the system does when memory runs out.
        VsRuntimeError: It ended in another way without an answer.
    """
    start_tracker()
    ours, theirs = multiprocessing.Pipe(duplex=False)
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=_serve, args=(theirs, function, argument, memory), daemon=True)
    with contextlib.closing(ours):
        try:
            with signals_held(), contextlib.closing(theirs):  # closed here, so that ours tells of the process's end
                process.start()
            answer: Any = ours.recv()
        except EOFError:
            raise _lost(process) from None
        finally:
            _end(process)
    match answer:
        case Exception():
            raise answer
        case _:
            result: R = answer
            return result


def _lost(process: BaseProcess) -> Exception:
    process.join()
    if process.exitcode == -_SIGKILL:
        return MemoryError("a process was killed, which the system does when memory runs out")
    return VsRuntimeError(f"a process that was to measure something ended with status {process.exitcode}")


def _end(process: BaseProcess) -> None:
    if process.pid is not None:
        process.kill()
        process.join()


def _serve(channel: Connection, function: Callable[[Any], Any], argument: Any, memory: int | None) -> None:
    leave_signals_to_parent()
    threading.Thread(target=end_with_parent, daemon=True).start()
    if memory is not None:
        _limit_memory(memory)
    try:
        answer = function(argument)
    except Exception as error:
        error.add_note(f"in a process of its own:\n{traceback.format_exc().rstrip()}")
        answer = fit_to_be_sent(error.with_traceback(None))
    channel.send(answer)


def _limit_memory(size: int) -> None:
    with contextlib.suppress(ImportError, OSError, ValueError):  # no such limits here, or a lower one stands
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (size, resource.getrlimit(resource.RLIMIT_DATA)[1]))
