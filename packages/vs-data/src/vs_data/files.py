"""Opening files that somebody brings: regular ones alone, and no more of them than can make sense."""

from pathlib import Path

from vs_config.files import FileTooLargeError, NotAFileError, read_regular

from vs_data.errors import DataError

MAX_FILE_BYTES = 2**30
"""Bytes; more than a picture of `MAX_PICTURE_PIXELS` pixels, or flow of that size, takes without any compression."""

MAX_PICTURE_PIXELS = 8192 * 8192
"""Pixels; the largest clip that can be asked for is as large. Whatever promises more is refused before it is read."""

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
