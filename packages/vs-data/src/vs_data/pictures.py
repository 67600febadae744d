"""Pictures on disk: RGB frames and maps of class ids, read with every way in which a file can be bad made an error."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vs_data.errors import DataError

IMAGE_EXTENSIONS = (".png", ".jpg", ".jpeg", ".webp")

_PNG = b"\x89PNG\r\n\x1a\n"


def read_rgb(path: Path) -> NDArray[np.uint8]:
    """An 8-bit colour picture as (H,W,3) RGB. The orientation that EXIF data may ask for is not applied.

    Raises:
        DataError: the file is missing, damaged, or not 8-bit with three channels.
    """
    pixels = decode(path)
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        raise DataError(
            f"expected an 8-bit RGB picture, found {describe(pixels)}",
            file=str(path),
            fix="convert it to 8 bits per channel and three channels",
        )
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), np.uint8)


def read_ids(path: Path) -> NDArray[np.uint8]:
    """A map of class ids as (H,W) uint8; their range is not looked at.

    Raises:
        DataError: the file is missing, damaged, or not 8-bit with one channel.
    """
    pixels = decode(path)
    if pixels.dtype != np.uint8 or pixels.ndim != 2:
        raise DataError(
            f"expected a picture of class ids (8 bits, one channel), found {describe(pixels)}",
            file=str(path),
            fix="write the class ids themselves as greys, not colours and not a palette",
        )
    return pixels


def write_png(path: Path, pixels: NDArray[Any]) -> None:
    """Write (H,W,3) RGB or (H,W) greys, 8 or 16 bits.

    Raises:
        DataError: the file cannot be written.
    """
    ordered = pixels[:, :, ::-1] if pixels.ndim == 3 else pixels
    done, data = cv2.imencode(".png", np.ascontiguousarray(ordered))
    if not done:
        raise DataError(f"cannot encode {describe(pixels)} as PNG", file=str(path))
    try:
        path.write_bytes(data.tobytes())
    except OSError as error:
        raise DataError(f"cannot be written: {error.strerror}", file=str(path)) from error


def decode(path: Path) -> NDArray[Any]:
    """The pixels as they are in the file: (H,W) or (H,W,C) with OpenCV's BGR order, 8 or 16 bits.

    Raises:
        DataError: the file is missing, empty, cut off, damaged or no picture.
    """
    data = read_bytes(path)
    problem = damage(data)
    if problem is not None:
        raise DataError(problem, file=str(path), fix="copy or render the file again")
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except (cv2.error, MemoryError):
        pixels = None
    if pixels is None:
        raise DataError("not a readable picture", file=str(path), fix="copy or render the file again")
    return np.asarray(pixels)


def read_bytes(path: Path) -> bytes:
    """The whole file; `DataError` when it is missing, unreadable or empty."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise DataError("the file does not exist", file=str(path)) from None
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", file=str(path)) from None
    if not data:
        raise DataError("the file is empty", file=str(path), fix="copy or render the file again")
    return data


def damage(data: bytes) -> str | None:
    """What is visibly wrong with the bytes of a PNG, JPEG or WebP file, or None.

    Decoders differ by version in what they do with damaged files, and some return a half grey picture; so the end of
    the file, and of a PNG every checksum, is looked at first.
    """
    if data.startswith(_PNG):
        return _png_damage(data)
    if data.startswith(b"\xff\xd8"):
        return None if b"\xff\xd9" in data[-4096:] else f"JPEG cut off after {len(data)} bytes"
    if data.startswith(b"RIFF"):
        promised = int.from_bytes(data[4:8], "little") + 8
        return None if len(data) >= promised else f"WebP cut off after {len(data)} of {promised} bytes"
    return None


def _png_damage(data: bytes) -> str | None:
    position = len(_PNG)
    while position + 12 <= len(data):
        length = int.from_bytes(data[position : position + 4], "big")
        end = position + 12 + length
        if end > len(data):
            break
        name = data[position + 4 : position + 8]
        if zlib.crc32(memoryview(data)[position + 4 : end - 4]) != int.from_bytes(data[end - 4 : end], "big"):
            return f"PNG damaged: wrong checksum in the part that starts at byte {position}"
        if name == b"IEND":
            return None
        position = end
    return f"PNG cut off after {len(data)} bytes"


def describe(pixels: NDArray[Any]) -> str:
    """Bits and channels in words: "16 bits, 3 channels"."""
    channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    return f"{pixels.dtype.itemsize * 8} bits, {channels} channel{'s' if channels > 1 else ''}"
