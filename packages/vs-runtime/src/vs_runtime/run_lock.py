"""Who may write to a run: the process that holds its lock, which the system frees when that process ends."""

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator

from vs_runtime.errors import RunDirectoryError
from vs_runtime.files import naming
from vs_runtime.run_directory import RunDirectory


@contextlib.contextmanager
def hold_run(run: RunDirectory) -> Iterator[Callable[[], None]]:
    """Keep every other process from training in this run; the system frees it when this process ends, however.

    Nothing is written until the function that the context gives is called: it puts the process id into the lock. A
    run that has no lock file is held from that call on only.

    Raises:
        RunDirectoryError: Another process holds it; the message has its process id.
    """
    with contextlib.ExitStack() as stack:
        held = _lock(run, stack) if os.path.lexists(run.lock) else None

        def claim() -> None:
            nonlocal held
            held = _lock(run, stack, create=True) if held is None else held
            with naming(run.lock):
                os.ftruncate(held, 0)
                os.pwrite(held, f"{os.getpid()}\n".encode(), 0)
            stack.callback(os.ftruncate, held, 0)

        yield claim


def _lock(run: RunDirectory, stack: contextlib.ExitStack, *, create: bool = False) -> int:
    """Open and lock the lock file until the stack is closed."""
    flags = os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC | (os.O_CREAT if create else 0)
    descriptor = os.open(run.lock, flags, 0o666)
    stack.callback(os.close, descriptor)
    try:
        fcntl.lockf(
            descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB
        )  # unlike flock, workers that outlive us do not inherit it
    except (BlockingIOError, PermissionError):
        found = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip()
        owner = found if found.isdecimal() else "unknown"
        message = f"{run.path}: another process (pid {owner}) is training here; wait for it or stop it"
        raise RunDirectoryError(message, path=run.path) from None
    except OSError as error:
        message = f"{run.lock}: cannot be locked: {error.strerror or error}"
        raise RunDirectoryError(message, path=run.path) from None
    return descriptor
