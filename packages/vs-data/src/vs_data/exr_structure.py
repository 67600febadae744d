"""Whether an OpenEXR file is whole, found out by its offsets before any pixel is decoded.

The library that decodes such files prints lines of its own about those that are cut off. Source: "OpenEXR File Layout",
openexr.com.
"""

import struct
from collections.abc import Iterator

from vs_data.errors import DataError
from vs_data.headers import AGAIN

MAGIC = b"\x76\x2f\x31\x01"
"""How a file begins."""

_VERSION = struct.Struct("<4xI")
_TILED, _DEEP, _PARTS = 0x200, 0x800, 0x1000
_SIZE = struct.Struct("<i")
_OFFSET = struct.Struct("<Q")
_SCANLINES, _TILE = 1, 4  # numbers that say which part of the picture a chunk is, before its size
_NUMBER = 4  # bytes of each


def check_whole(data: bytes) -> None:
    """See that all parts of a file of one flat picture are there: its header, its table of offsets, and its chunks.

    Damage inside of chunks is not seen: to check their sums takes half as long as decoding, or longer. Files of several
    pictures and deep ones are laid out otherwise and passed over.

    Raises:
        DataError: without the file's name: it is cut off, or its table of offsets was never written or makes no sense.
    """
    try:
        (version,) = _VERSION.unpack_from(data)
        if version & (_DEEP | _PARTS):
            return
        start = _end_of_header(data)
        offsets = list(_offsets(data, start))
        leader = _NUMBER * (_TILE if version & _TILED else _SCANLINES)
        end = max(offset + leader + _SIZE.size + _size(data, offset + leader) for offset in offsets)
    except (struct.error, IndexError):
        raise _cut_off(data) from None
    if end > len(data):
        raise _cut_off(data)


def _cut_off(data: bytes) -> DataError:
    return DataError(f"not a readable OpenEXR file: cut off after {len(data)} bytes", fix=AGAIN)


def _damaged(what: str) -> DataError:
    return DataError(f"not a readable OpenEXR file: {what}", fix=AGAIN)


def _size(data: bytes, position: int) -> int:
    (size,) = _SIZE.unpack_from(data, position)
    if size < 0:
        raise _damaged(f"at byte {position} it says that {size} bytes follow")
    return int(size)


def _end_of_header(data: bytes) -> int:
    """Return where the attributes end: name, type, size and value each, and a zero after the last of them."""
    position = _VERSION.size
    while data[position]:
        for _ in ("name", "type"):
            end = data.find(b"\0", position)
            if end < 0:
                raise _cut_off(data)
            position = end + 1
        position += _SIZE.size + _size(data, position)
    return position + 1


def _offsets(data: bytes, start: int) -> Iterator[int]:
    """Yield where chunks begin. The table that says it ends where the first of them in the file does, in any order."""
    first = None
    position = start
    while first is None or position < first:
        (offset,) = _OFFSET.unpack_from(data, position)
        position += _OFFSET.size
        if offset < position:
            raise _damaged("it does not say where its pixels are, as when writing it was interrupted")
        first = offset if first is None else min(first, offset)
        yield int(offset)
