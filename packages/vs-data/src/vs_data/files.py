"""Opening files that somebody brings, no more of them than can make sense; writing whole folders or none."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vs_config.files import FileTooLargeError, NotAFileError, read_regular

from vs_data.errors import DataError

MAX_FILE_BYTES = 2**30
"""Bytes; more than a picture of `MAX_PICTURE_PIXELS` pixels, or flow of that size, takes without any compression."""

MAX_PICTURE_PIXELS = 8192 * 8192
"""Pixels; the largest clip that can be asked for is as large. Whatever promises more is refused before it is read."""

_DRAFT = ".unfinished"

_OTHER_FILE = "put a file of the right kind there"


def read_bytes(path: Path, limit: int = MAX_FILE_BYTES) -> bytes:
    """Return the whole of a regular file.

    What is no regular file (a pipe, a device, a socket, a folder) is refused, not opened: it could wait forever.

    Raises:
        DataError: the file is missing, not a regular one, empty, larger than `limit` bytes, or cannot be read.
    """
    try:
        data = read_regular(path, max_bytes=limit)
    except FileNotFoundError:
        what = "links to a file that does not exist" if path.is_symlink() else "the file does not exist"
        raise DataError(what, file=str(path)) from None
    except FileTooLargeError as error:
        raise DataError(str(error.strerror), file=str(path), fix=_OTHER_FILE) from None
    except NotAFileError as error:
        raise DataError(f"cannot be read: {error.strerror}", file=str(path), fix=_OTHER_FILE) from None
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", file=str(path)) from None
    if not data:
        raise DataError("the file is empty", file=str(path), fix="copy or render the file again")
    return data


@contextmanager
def whole_or_not_at_all(root: Path) -> Iterator[Path]:
    """Give a folder to write into, whose contents become those of `root`, or nothing of it when writing fails.

    What is written lies in a hidden folder inside of `root`, which may be a mount or somebody's working directory; one
    that a killed process left is removed.
    """
    draft = root / _DRAFT
    try:
        # Folders that are made here are taken away again; whatever else is in them stays.
        made = [folder for folder in (root, *root.parents) if not folder.exists()]
        root.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(draft, ignore_errors=True)
        if any(root.iterdir()):
            raise DataError("the folder is not empty", file=str(root), fix="choose another one")
        try:
            draft.mkdir()
            yield draft
            for folder in sorted(draft.iterdir()):
                folder.rename(root / folder.name)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
            for folder in made:
                if not any(folder.iterdir()):
                    folder.rmdir()
    except OSError as error:
        place = str(error.filename or root).replace(str(draft), str(root))
        fix = "choose another folder, or see that there is room and that you may write there"
        raise DataError(f"cannot be written: {error.strerror or error}", file=place, fix=fix) from error
