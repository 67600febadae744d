"""Directories of one kind, known by a file in them, which a new one of that kind replaces as a whole."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from vs_runtime.errors import VsRuntimeError
from vs_runtime.files import sweep, temporary_path, whole_directory


class PlaceError(VsRuntimeError):
    """A directory that cannot be written to, or that holds something else.

    Attributes:
        path: the directory concerned.
    """

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(f"{path}: {problem}")
        self.path = path


def check_place(path: Path, *, marker: str, what: str) -> None:
    """See that a directory of a kind may be put at `path`, without writing anything.

    Args:
        path: where.
        marker: the file that makes a directory one of this kind.
        what: the kind, in words: `report`.

    Raises:
        PlaceError: it is a file, or a directory that has something else in it.
    """
    if path.exists() and not path.is_dir():
        raise PlaceError(path, "is a file; --out wants a directory")
    if path.is_dir() and any(path.iterdir()) and not (path / marker).is_file():
        raise PlaceError(path, f"holds other files than a {what} (no {marker}); choose another --out")


@contextlib.contextmanager
def marked_directory(path: Path, *, marker: str, what: str) -> Iterator[Path]:
    """Yield a draft directory beside `path` that becomes `path` when the block succeeds, and is removed when not.

    One of the same kind that was there is replaced. Drafts of processes that were killed are removed first.

    Raises:
        PlaceError: the directory cannot be written, or something else is there (see `check_place`).
    """
    check_place(path, marker=marker, what=what)
    sweep(path.parent)
    try:
        with whole_directory(path, replaced=temporary_path(path)) as draft:
            yield draft
            check_place(path, marker=marker, what=what)  # somebody may have put something there meanwhile
    except OSError as error:
        raise PlaceError(path, f"cannot be written: {error.strerror or error}") from error
