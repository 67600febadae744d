"""Parts of large files, on a disk or behind any address that fsspec opens: retried with waits, never skipped."""

import io
import logging
import os
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import IO, Any, TypeVar

import attrs
from vs_config import shown

from vs_data.errors import DataError

_log = logging.getLogger(__name__)

_Read = TypeVar("_Read")

_MAX_OPEN = 64
"""Remote files that a thread keeps open."""

_PIECE = 2**24

_open_files = threading.local()
"""Of each thread: (process, address) -> file. Positions in files are shared by nobody."""


@attrs.frozen(kw_only=True)
class Patience:
    """The way in which files are read that may be far away.

    Attributes:
        tries: How often something is tried.
        wait: Before the second try, seconds; twice as long before each further one.
        ahead: Bytes that are fetched at once from a remote file.
    """

    tries: int = 4
    wait: float = 1.0
    ahead: int = 8 * 2**20


PATIENT = Patience()


def is_remote(place: str) -> bool:
    """Tell whether a place is an address rather than a path."""
    return "://" in place


def joined(place: str, name: str) -> str:
    """Return a file in a folder, which is a path or an address."""
    return f"{place.rstrip('/')}/{name}" if is_remote(place) else str(Path(place) / name)


def read_whole(place: str, patience: Patience = PATIENT) -> bytes:
    """Return all bytes of a file. One that is on no disk was named wrongly, and is not waited for.

    Raises:
        DataError: it cannot be read.
    """
    hopeless = () if is_remote(place) else (FileNotFoundError,)
    return _tried(place, patience, lambda: _fetched(place, patience, 0, None), hopeless=hopeless)


def read_range(
    place: str, start: int, size: int, patience: Patience = PATIENT, *, crc32: int | None = None, name: str = ""
) -> bytes:
    """Return a part of a file.

    Args:
        place: A path or an address.
        start: Where the part begins.
        size: Its bytes.
        patience: How it is tried.
        crc32: Its checksum, where it is known.
        name: What the part is, for messages.

    Raises:
        DataError: it is not there, or not what was written.
    """

    def read() -> bytes:
        data = _fetched(place, patience, start, size)
        if len(data) < size:
            where = f"inside of it (after {start + len(data)} bytes)" if data or not start else "before it"
            raise _DamagedError(f"ends {where}")
        if crc32 is not None:
            _require(crc32, zlib.crc32(data))
        return data

    return _tried(place, patience, read, name)


def parts_of(place: str, start: int, size: int, patience: Patience, name: str = "") -> Iterator[bytes]:
    """Yield a part of a file, however large, in pieces of some megabytes; see `read_range`."""
    for at in range(start, start + size, _PIECE):
        yield read_range(place, at, min(_PIECE, start + size - at), patience, name=name)


def require_checksum(place: str, start: int, size: int, patience: Patience, crc32: int, name: str) -> None:
    """See that a part of a file, however large, is what was written; its bytes are not kept. See `read_range`.

    Raises:
        DataError: it is not there, or not what was written.
    """

    def read() -> None:
        checksum = 0
        for part in parts_of(place, start, size, patience, name):
            checksum = zlib.crc32(part, checksum)
        _require(crc32, checksum)

    _tried(place, patience, read, name)


class _DamagedError(OSError):
    """An error of what was read and is not what was written."""


def _require(crc32: int, found: int) -> None:
    if found != crc32:
        raise _DamagedError("does not hold what was packed: the checksum is another")


def _fetched(place: str, patience: Patience, start: int, size: int | None) -> bytes:
    if not is_remote(place):
        with Path(place).open("rb") as file:
            file.seek(start)
            return file.read(-1 if size is None else size)
    remote = _remote(place, patience)
    remote.seek(start)
    return remote.read(-1 if size is None else size)


def _remote(place: str, patience: Patience) -> IO[bytes]:
    """Return a remote file, which this thread keeps open."""
    files: dict[tuple[int, str], IO[bytes]] = _open_files.__dict__.setdefault("files", {})
    key = os.getpid(), place
    if key not in files:
        while len(files) >= _MAX_OPEN:
            del files[next(iter(files))]
        system, path = _system(place)
        files[key] = system.open(path, "rb", block_size=patience.ahead, cache_type="readahead")
    return files[key]


def _system(place: str) -> tuple[Any, str]:
    """Return the file system behind an address, and what the file is called there."""
    known = _fsspec().core.url_to_fs
    try:
        system, path = known(place)
    except (ImportError, ValueError) as error:  # waiting changes nothing
        fix = "name another address, or install fsspec's package for this one"
        raise DataError(f"is an address that fsspec does not open: {shown(error, 120)}", fix=fix) from None
    return system, str(path)


def _fsspec() -> Any:
    try:
        return import_module("fsspec")
    except ImportError:
        what = "addresses are read by fsspec, which is not installed"
        raise DataError(what, fix="install the extra 'remote' of vs-data, or pip install fsspec") from None


def _tried(
    place: str,
    patience: Patience,
    read: Callable[[], _Read],
    name: str = "",
    *,
    hopeless: tuple[type[Exception], ...] = (),
) -> _Read:
    where = f"{place}: {name}" if name else place
    for number in range(1, patience.tries + 1):
        try:
            return read()
        except DataError as error:
            raise DataError(error.what, file=error.file or where, fix=error.fix) from None
        except Exception as error:
            _open_files.__dict__.get("files", {}).pop((os.getpid(), place), None)
            why = getattr(error, "strerror", None) or shown(error, 120) or type(error).__name__
            if number == patience.tries or isinstance(error, hopeless):
                tries = f" (tried {number} times)" if number > 1 else ""
                fix = "copy it again, or see whether it can be reached"
                raise DataError(f"cannot be read: {why}{tries}", file=where, fix=fix) from None
            wait = patience.wait * 2 ** (number - 1)
            _log.warning("%s: try %d of %d failed: %s; again in %g s", shown(where), number, patience.tries, why, wait)
            time.sleep(wait)
    raise AssertionError("the last try returns or raises")


class PartOfFile(io.RawIOBase):
    """A part of a file that reads like a file, for decoders that search in it."""

    def __init__(self, place: str, start: int, size: int, patience: Patience = PATIENT) -> None:
        self._place, self._start, self._size, self._patience = place, start, size, patience
        self._at = 0

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def seekable(self) -> bool:
        """Say that it can be searched."""
        return True

    def tell(self) -> int:
        """Return the position."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a position."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes, fewer at the end."""
        left = max(0, self._size - self._at)
        wanted = left if size < 0 else min(size, left)
        if wanted == 0:
            return b""
        data = read_range(self._place, self._start + self._at, wanted, self._patience)
        self._at += len(data)
        return data
