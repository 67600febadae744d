"""Files of pictures built byte by byte, for what no library writes."""

import struct
import zlib

import cv2
import numpy as np

GREY, RGB, PALETTE, GREY_ALPHA, RGB_ALPHA = 0, 2, 3, 4, 6


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(
    rows: list[bytes], width: int, bits: int, colours: int, *extra: bytes, height: int | None = None, end: bool = True
) -> bytes:
    """A PNG of rows that are packed already; `extra` are chunks between the header and the pixels."""
    header = struct.pack(">IIBBBBB", width, len(rows) if height is None else height, bits, colours, 0, 0, 0)
    body = chunk(b"IHDR", header) + b"".join(extra) + chunk(b"IDAT", zlib.compress(b"".join(b"\0" + r for r in rows)))
    return b"\x89PNG\r\n\x1a\n" + body + (chunk(b"IEND", b"") if end else b"")


def packed(values: np.ndarray, bits: int) -> list[bytes]:
    """Rows of values (H,W) of 1, 2, 4, 8 or 16 bits each, as a PNG stores them."""
    if bits == 16:
        return [row.astype(">u2").tobytes() for row in values]
    each = np.unpackbits(values.astype(np.uint8)[..., None], axis=2)[..., 8 - bits :]  # (H,W,bits)
    return [row.tobytes() for row in np.packbits(each.reshape(len(values), -1), axis=1)]


def exif(orientation: int, order: str = "<") -> bytes:
    """EXIF data that hold a resolution and an orientation."""
    start = b"II*\0" if order == "<" else b"MM\0*"
    entries = struct.pack(f"{order}HHII", 0x011A, 5, 1, 0) + struct.pack(f"{order}HHIHH", 0x0112, 3, 1, orientation, 0)
    return start + struct.pack(f"{order}IH", 8, 2) + entries + bytes(4)


def jpeg_with(jpeg: bytes, data: bytes) -> bytes:
    body = b"Exif\0\0" + data
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + jpeg[2:]


def png_with(whole: bytes, data: bytes) -> bytes:
    return whole[:33] + chunk(b"eXIf", data) + whole[33:]


def webp_with(webp: bytes, data: bytes, size: tuple[int, int], flags: int = 0x08) -> bytes:
    """A WebP file (H,W) of the extended format with EXIF data."""
    extended = bytes([flags, 0, 0, 0]) + (size[1] - 1).to_bytes(3, "little") + (size[0] - 1).to_bytes(3, "little")
    parts = b"WEBP" + riff(b"VP8X", extended) + webp[12:] + riff(b"EXIF", data)
    return b"RIFF" + struct.pack("<I", len(parts)) + parts


def riff(name: bytes, body: bytes) -> bytes:
    return name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)


def encoded(extension: str, rgb: np.ndarray, *flags: int) -> bytes:
    pixels = rgb[..., ::-1] if rgb.ndim == 3 and rgb.shape[2] == 3 else rgb
    return cv2.imencode(extension, np.ascontiguousarray(pixels), list(flags))[1].tobytes()
