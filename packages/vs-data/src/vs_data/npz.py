"""Arrays of `.npz` and `.npy` files. What each promises is looked at before it is unpacked; nothing is executed."""

import io
import math
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import IO, Any

import attrs
import numpy as np
from numpy.typing import NDArray

from vs_data.content import Content, bytes_of
from vs_data.errors import DataError

_AGAIN = "write the file again"
_MAGIC = b"\x93NUMPY"
_MAX_HEADER_BYTES = 4096  # bytes; NumPy's own take 118
_MAX_DIGITS = 15  # digits of an array's extent
_DTYPE = re.compile(rb"""['"]descr['"]\s*:\s*['"]([<>=|]?[biufcmMOSUV]\d{0,3})['"]""")
_ORDER = re.compile(rb"""['"]fortran_order['"]\s*:\s*(True|False)""")
_SHAPE = re.compile(rb"""['"]shape['"]\s*:\s*\(([\d\s,]*)\)""")


@attrs.frozen(kw_only=True)
class Promise:
    """The header of an array: what it says is in the file.

    Attributes:
        dtype: Of its elements.
        shape: Of the array.
        transposed: Whether the first index changes fastest.
        start: Bytes of the header.
    """

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    transposed: bool
    start: int

    @property
    def size(self) -> int:
        """Bytes of the array."""
        return math.prod(self.shape) * self.dtype.itemsize

    def __str__(self) -> str:
        return f"{self.dtype} {self.shape}"


def read_npz(
    path: Content, names: Sequence[str], check: Callable[[Mapping[str, Promise]], None]
) -> dict[str, NDArray[Any]]:
    """Read those arrays of an `.npz` file (compressed or not) that are asked for and in it.

    Args:
        path: The file.
        names: Of the arrays.
        check: Called with what the arrays promise before they are unpacked; raises `DataError` when it is not wanted.

    Raises:
        DataError: the file is missing, damaged, not wanted, or holds less or more than it promises.
    """
    data = bytes_of(path)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = {name: archive.getinfo(f"{name}.npy") for name in names if f"{name}.npy" in archive.namelist()}
            promises = {name: _promise(archive, member) for name, member in members.items()}
            check(promises)
            return {name: _unpacked(archive, members[name], promise) for name, promise in promises.items()}
    except _DamageError as error:
        raise DataError(f"not a readable .npz file: {error}", file=str(path), fix=_AGAIN) from None
    except DataError:
        raise
    except (OSError, ValueError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error, struct.error) as error:
        raise DataError("not a readable .npz file", file=str(path), fix=_AGAIN) from error


def read_npy(content: Content, check: Callable[[Promise], None]) -> NDArray[Any]:
    """Read the array of a `.npy` file.

    Args:
        content: The file.
        check: Called with what the array promises before it is made; raises `DataError` when it is not wanted.

    Raises:
        DataError: the file is missing, damaged, not wanted, or holds less or more than it promises.
    """
    data = bytes_of(content)
    try:
        promise = _promise_of(io.BytesIO(data), "the file")
        check(promise)
        if len(data) != promise.start + promise.size:
            held = max(len(data) - promise.start, 0)
            raise _DamageError(f"it promises {promise.size} bytes of numbers and holds {held}")
        return _elements(data, promise)
    except _DamageError as error:
        raise DataError(f"not a readable .npy file: {error}", file=str(content), fix=_AGAIN) from None


class _DamageError(Exception):
    """The file is none that NumPy writes."""


def _promise(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Promise:
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):  # others unpack without a limit
        raise _DamageError("it is packed in another way than NumPy packs")
    with archive.open(member) as file:
        return _promise_of(file, member.filename)


def _promise_of(file: IO[bytes], name: str) -> Promise:
    header, start = _header(file)
    dtype, order, shape = (pattern.search(header) for pattern in (_DTYPE, _ORDER, _SHAPE))
    if dtype is None or order is None or shape is None:
        raise _DamageError(f"{name} has no header of an array")
    numbers = re.findall(rb"\d+", shape[1])
    if any(len(number) > _MAX_DIGITS for number in numbers):
        raise _DamageError(f"{name} promises more than any file holds")
    try:
        kind = np.dtype(dtype[1].decode("ascii"))
    except TypeError:
        raise _DamageError(f"{name} has no type of elements that NumPy knows") from None
    return Promise(dtype=kind, shape=tuple(map(int, numbers)), transposed=order[1] == b"True", start=start)


def _header(file: IO[bytes]) -> tuple[bytes, int]:
    """Return the description of an array, and how many bytes of the file stand before its elements.

    Source: NumPy Enhancement Proposal 1, "A simple file format for NumPy arrays".
    """
    magic = file.read(8)
    digits = 2 if magic[6:7] == b"\1" else 4
    length = int.from_bytes(file.read(digits), "little")
    if not magic.startswith(_MAGIC) or length > _MAX_HEADER_BYTES:
        raise _DamageError("it holds something else than arrays")
    return file.read(length), 8 + digits + length


def _unpacked(archive: zipfile.ZipFile, member: zipfile.ZipInfo, promise: Promise) -> NDArray[Any]:
    if member.file_size != promise.start + promise.size:
        held = max(member.file_size - promise.start, 0)
        raise _DamageError(f"{member.filename} promises {promise.size} bytes of numbers and holds {held}")
    with archive.open(member) as file:
        data = file.read(member.file_size + 1)  # one more: the end, and with it the checksum, is looked at
    return _elements(data, promise)


def _elements(data: bytes, promise: Promise) -> NDArray[Any]:
    values = np.frombuffer(data, promise.dtype, offset=promise.start)
    return values.reshape(promise.shape, order="F" if promise.transposed else "C")
