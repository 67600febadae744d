"""Opening files that somebody brings: regular ones alone, and without ever waiting for one."""

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

_KINDS = (
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)
_WITHOUT_WAITING = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)  # Windows has neither, nor such pipes

_SIZELESS = 2**18
"""Bytes that are read of a file which says that it has none, as those of /proc do."""


class NotAFileError(OSError):
    """Something else than a regular file; `strerror` says what: `is a named pipe, not a file`."""


class FileTooLargeError(OSError):
    """A file of more bytes than make sense for what it should hold; `strerror` says how many both are."""


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file, or the one that a link leads to, for reading.

    Nothing else is opened: a named pipe would be waited for, a device may do something.

    Raises:
        NotAFileError: It is a directory, a pipe, a socket or a device.
        OSError: It cannot be opened.
        ValueError: No file can have such a name.
    """
    _require_regular(path, path.stat())
    file = os.fdopen(os.open(path, os.O_RDONLY | _WITHOUT_WAITING), "rb")
    try:
        _require_regular(path, os.fstat(file.fileno()))  # what stands there may have changed meanwhile
    except BaseException:
        file.close()
        raise
    return file


def read_regular(path: Path, *, max_bytes: int | None = None) -> bytes:
    """Return the content of a regular file.

    Raises:
        FileTooLargeError: It has more than `max_bytes` bytes; they are not read.
        OSError, ValueError: As `open_regular`, or it cannot be read; either way the error names the file.
    """
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        _require_size(path, size, max_bytes)
        try:
            data = file.read(-1 if max_bytes is None else 1 + min(max_bytes, size + _SIZELESS))
        except OSError as error:  # reading names no file
            raise OSError(error.errno or errno.EIO, error.strerror or str(error), str(path)) from error
    _require_size(path, len(data), max_bytes)
    return data


def _require_size(path: Path, size: int, max_bytes: int | None) -> None:
    if max_bytes is not None and size > max_bytes:
        message = f"is {size} bytes long, at most {max_bytes} make sense here"
        raise FileTooLargeError(errno.EFBIG, message, str(path))


def _require_regular(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        kind = next((name for is_kind, name in _KINDS if is_kind(status.st_mode)), "something else")
        raise NotAFileError(errno.EINVAL, f"is {kind}, not a file", str(path))
