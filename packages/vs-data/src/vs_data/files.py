"""Opening files that somebody brings: regular ones alone, and no more of them than can make sense."""

import os
import stat
from pathlib import Path

from vs_data.errors import DataError

MAX_FILE_BYTES = 2**30
"""Bytes; more than a picture of `MAX_PICTURE_PIXELS` pixels, or flow of that size, takes without any compression."""

MAX_PICTURE_PIXELS = 8192 * 8192
"""Pixels; the largest clip that can be asked for is as large. Whatever promises more is refused before it is read."""

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def read_bytes(path: Path, limit: int = MAX_FILE_BYTES) -> bytes:
    """Read the whole of a regular file.

    What is no regular file (a pipe, a device, a socket, a folder) is refused, not opened: it could wait forever.

    Raises:
        DataError: the file is missing, not a regular one, empty, larger than `limit` bytes, or cannot be read.
    """
    try:
        status = path.stat()
        problem = _unfit(status, limit)
        if problem is not None:
            raise DataError(problem, file=str(path), fix="put a file of the right kind there")
        with open(path, "rb", opener=_open_without_waiting) as file:
            data = file.read(status.st_size)
    except FileNotFoundError:
        what = "links to a file that does not exist" if path.is_symlink() else "the file does not exist"
        raise DataError(what, file=str(path)) from None
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", file=str(path)) from None
    if not data:
        raise DataError("the file is empty", file=str(path), fix="copy or render the file again")
    return data


def _unfit(status: os.stat_result, limit: int) -> str | None:
    """Say why something that exists is not to be opened, or None."""
    if not stat.S_ISREG(status.st_mode):
        kind = next((name for is_kind, name in _KINDS if is_kind(status.st_mode)), "something else")
        return f"cannot be read: is {kind}, not a file"
    return f"is {status.st_size} bytes long, at most {limit} make sense here" if status.st_size > limit else None


def _open_without_waiting(path: str, flags: int) -> int:
    """Open a file, but never wait for a pipe that has taken its place meanwhile (Windows has no such pipes)."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
