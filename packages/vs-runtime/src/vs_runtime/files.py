"""Files that are whole or not there, with the modes that the umask gives, and reading that no odd file can hold up.

What is being written has a name of its own beside the place where it is to stand, `.NAME.OWNER.TOKEN.partial`. A
process that is killed leaves it behind; the name says who wrote it, so that `sweep` can tell it from what somebody
still writes.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import hashlib
import json
import os
import platform
import re
import secrets
import shutil
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from vs_runtime.errors import UnreadableFile

__all__ = [
    "is_left_behind",
    "naming",
    "parse_json",
    "read_json",
    "read_regular",
    "remove",
    "sweep",
    "temporary_path",
    "write_atomically",
]

_OWNED = re.compile(r"\..+\.([0-9]{1,10})-([0-9a-f]{8})\.[0-9a-f]{8}\.partial", re.DOTALL)
_UNFINISHED = re.compile(r"\..+\.[0-9a-f]{8}\.partial|\.writing-step-[0-9]+-[0-9]+", re.DOTALL)
_NAME_BYTES = 100
"""Most bytes of a name that a temporary name repeats: file systems take 255 in all."""

_FOREIGN_SECONDS = 24 * 3600
"""How old the work of another machine, or of this one before it started anew, has to be to count as left behind."""


def write_atomically(path: Path, content: str | bytes) -> None:
    """Replace a file's content so that a crash leaves the old one or the new one, never a part.

    Raises:
        OSError: it cannot be written, with `path` as `filename`; the old content is still there, and nothing else.
    """
    data = content.encode("utf-8") if isinstance(content, str) else content
    draft = temporary_path(path)
    try:
        with naming(path):
            with draft.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def temporary_path(path: Path) -> Path:
    """A name beside `path` for what is to be renamed to it, which `sweep` knows if this process is killed."""
    name = os.fsdecode(os.fsencode(path.name)[:_NAME_BYTES])
    return path.with_name(f".{name}.{os.getpid()}-{_machine()}.{secrets.token_hex(4)}.partial")


def sweep(directory: Path, *, held: bool = False) -> None:
    """Remove what killed processes left unfinished in a directory; what cannot be removed stays.

    Args:
        directory: where to look; it need not exist. Nothing below its entries is looked at.
        held: nobody else writes here (the caller holds a lock), so that whatever is unfinished was left behind.
            Otherwise only what was begun by a process of this machine that is dead, or by another machine a day ago.
    """
    with contextlib.suppress(OSError):
        for path in list(directory.iterdir()):
            if _UNFINISHED.fullmatch(path.name) if held else is_left_behind(path):
                with contextlib.suppress(OSError):
                    remove(path)


def remove(path: Path) -> None:
    """Delete a file, a link (not what it leads to) or a whole directory."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Have every `OSError` of the block name this file: those of writing and flushing name none of themselves."""
    try:
        yield
    except OSError as error:
        code = errno.EIO if error.errno is None else error.errno
        raise OSError(code, error.strerror or str(error), str(path)) from error


def read_regular(path: Path, *, most: int | None = None) -> bytes:
    """The content of a regular file, or of one that a link leads to; never waits, as opening a FIFO would.

    Raises:
        OSError: it cannot be read, is not a regular file, or has more than `most` bytes.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "is not a regular file", str(path))
        if most is not None and status.st_size > most:
            raise OSError(errno.EFBIG, f"has {status.st_size} bytes, and at most {most} are expected", str(path))
        with naming(path), os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read()
    finally:
        os.close(descriptor)


def read_json(path: Path, *, most: int | None = None) -> Any:
    """The value in a JSON file.

    Raises:
        UnreadableFile: it cannot be read, has more than `most` bytes, or is not JSON.
        FileNotFoundError: there is no such file.
    """
    try:
        return parse_json(read_regular(path, most=most))
    except FileNotFoundError:
        raise
    except OSError as error:
        raise UnreadableFile(path, error.strerror or str(error)) from error
    except ValueError as error:
        raise UnreadableFile(path, str(error)) from error


def parse_json(data: bytes) -> Any:
    """The value of a JSON text in UTF-8.

    Raises:
        ValueError: it is none, or no program should read it: nested too deeply, numbers without end.
    """
    try:
        return json.loads(data.decode("utf-8"), parse_constant=_not_a_number)
    except UnicodeDecodeError as error:
        raise ValueError(f"it is not text in UTF-8: byte {error.start}") from error
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"it is not JSON: {str(error).partition(';')[0]}") from error


def _not_a_number(word: str) -> NoReturn:
    raise ValueError(f"{word} is no number")


@functools.cache
def _machine() -> str:
    """Where the process numbers of this process mean something: this machine, since it started, this container."""
    parts = [platform.node()]
    with contextlib.suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text("ascii"))
    with contextlib.suppress(OSError):
        parts.append(str(Path("/proc/self/ns/pid").readlink()))
    return hashlib.sha256("\n".join(parts).encode("utf-8", "surrogateescape")).hexdigest()[:8]


def is_left_behind(path: Path) -> bool:
    """Whether a file or directory is what a process left unfinished that was killed, and so what `sweep` removes."""
    match = _OWNED.fullmatch(path.name)
    if match is None:
        return False
    if match[2] == _machine():
        return not _is_alive(int(match[1]))
    return time.time() - path.lstat().st_mtime > _FOREIGN_SECONDS


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
