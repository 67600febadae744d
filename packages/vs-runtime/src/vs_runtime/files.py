"""Files and directories that are whole or not there, with the modes that the umask gives.

What is being written has a name of its own beside the place where it is to stand, `.NAME.OWNER.TOKEN.partial`. A
process that is killed leaves it behind; the name says who wrote it, so that `sweep` can tell it from what somebody
still writes.
"""

import contextlib
import errno
import functools
import hashlib
import os
import platform
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

_OWNED = re.compile(r"\..+\.([0-9]{1,10})-([0-9a-f]{8})\.[0-9a-f]{8}\.partial", re.DOTALL)
_UNFINISHED = re.compile(r"\..+\.[0-9a-f]{8}\.partial|\.writing-step-[0-9]+-[0-9]+", re.DOTALL)
_NAME_BYTES = 100
"""Most bytes of a name that a temporary name repeats: file systems take 255 in all."""

_FOREIGN_SECONDS = 24 * 3600
"""How old the work of another machine, or of this one before it started anew, has to be to count as left behind."""


def write_atomically(path: Path, content: str | bytes) -> None:
    """Replace a file's content so that a crash leaves the old one or the new one, never a part.

    Raises:
        OSError: It cannot be written, with `path` as `filename`; the old content is still there, and nothing else.
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


@contextlib.contextmanager
def whole_directory(path: Path, *, replaced: Path | None = None, flush: bool = False) -> Iterator[Path]:
    """Yield a draft beside `path`, which becomes `path` when the block succeeds and is removed when it does not.

    So there is a whole directory or none, whenever the process is killed. Parents that are missing are made; they are
    removed again if nothing came of it.

    Args:
        path: Where the directory is to stand.
        replaced: The name for what may stand there already until the new one does, or if that fails for good; it is
            deleted afterwards. None: nothing but an empty directory may stand there.
        flush: Have the disk hold all of it before it gets its name.

    Raises:
        OSError: It cannot be written.
    """
    missing = [parent for parent in (path.parent, *path.parent.parents) if not parent.exists()]
    draft = temporary_path(path)
    try:
        draft.mkdir(parents=True)
        yield draft
        for part in (*draft.rglob("*"), draft) if flush else ():
            _flush(part)
        _move_into_place(draft, path, replaced)
        if flush:
            _flush(path.parent)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        for parent in missing:
            with contextlib.suppress(OSError):
                parent.rmdir()
        raise
    if replaced is not None:
        with contextlib.suppress(OSError):  # mostly there was none
            remove(replaced)


def _move_into_place(draft: Path, path: Path, replaced: Path | None) -> None:
    if replaced is None or not os.path.lexists(path):
        draft.rename(path)
        return
    if os.path.lexists(replaced):
        remove(replaced)
    path.rename(replaced)
    try:
        draft.rename(path)
    except OSError:
        replaced.rename(path)
        raise


def _flush(path: Path) -> None:
    """Have the disk hold what was written to a file or directory."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def temporary_path(path: Path) -> Path:
    """Return a name beside `path` for what is to be renamed to it, which `sweep` knows if this process is killed."""
    name = os.fsdecode(os.fsencode(path.name)[:_NAME_BYTES])
    return path.with_name(f".{name}.{os.getpid()}-{_machine()}.{secrets.token_hex(4)}.partial")


def sweep(directory: Path, *, held: bool = False) -> None:
    """Remove what killed processes left unfinished in a directory; what cannot be removed stays.

    Args:
        directory: Where to look; it need not exist. Nothing below its entries is looked at.
        held: Nobody else writes here (the caller holds a lock), so that whatever is unfinished was left behind.
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
