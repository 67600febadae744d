"""What a PNG, JPEG or WebP file says of itself, and whether it is whole, found out before any pixel is decoded."""

import re
import zlib
from collections.abc import Callable, Iterator
from typing import Literal

import attrs

from vs_data.errors import DataError
from vs_data.exif import PREFIX, orientation_of
from vs_data.files import MAX_PICTURE_PIXELS

AGAIN = "copy or render the file again"

Colours = Literal["grey", "RGB", "palette", "CMYK"]

_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_COLOURS: dict[int, tuple[Colours, int]] = {
    0: ("grey", 1),
    2: ("RGB", 3),
    3: ("palette", 1),
    4: ("grey", 2),
    6: ("RGB", 4),
}  # colour type -> what it is, samples per pixel
_PNG_BITS = (1, 2, 4, 8, 16)
_MAX_INFLATION = 1032  # bytes that one byte of a deflate stream can stand for, at most (zlib's technical details)

_MARKER = re.compile(rb"\xff([^\x00\x01\xff\xd0-\xd7])")  # but those that have no segment and stand among pixels
_END_OF_IMAGE = 0xD9
_PIXELS = 0xDA
_JFIF = slice(4, 9)  # of the segment that begins with this name; a version of two bytes follows
_APP1 = 0xE1
_SIZES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # start of frame: all ways of coding

_CONVERT = "convert it to PNG"
_STRANGERS = (
    (b"BM", "is a BMP file", _CONVERT),
    (b"GIF8", "is a GIF file", _CONVERT),
    (b"II*\0", "is a TIFF file", _CONVERT),
    (b"MM\0*", "is a TIFF file", _CONVERT),
    (b"version https://git-lfs", "is a pointer of Git LFS, not the file itself", "fetch it: git lfs pull"),
)


@attrs.frozen(kw_only=True)
class Header:
    """A header: what the file of a picture says of itself.

    Attributes:
        format: By content, whatever the name ends in.
        width: Pixels, as stored.
        height: Pixels, as stored.
        bits: Per sample.
        colours: What the samples are.
        alpha: Whether there is transparency.
        orientation: By EXIF, 1 to 8; 1: as stored.
        lossy: Whether compression changes values.
        animated: Whether there are several pictures in the file.
    """

    format: Literal["PNG", "JPEG", "WebP"]
    width: int
    height: int
    bits: int = 8
    colours: Colours = "RGB"
    alpha: bool = False
    orientation: int = 1
    lossy: bool = False
    animated: bool = False


def read_header(data: bytes) -> Header:
    """Read the header of a file that is whole: decoders differ in what they do with others; some fill up with grey.

    Of a PNG every checksum is looked at.

    Raises:
        DataError: without the file's name: damaged or cut off, no PNG, JPEG or WebP, an animation, or larger than any
            picture should be.
    """
    header = _reader_of(data)(data)
    size = f"{header.width}x{header.height} pixels"
    if header.width * header.height == 0:
        raise DataError(f"{header.format} damaged: its header says {size}", fix=AGAIN)
    if header.width * header.height > MAX_PICTURE_PIXELS:
        what = f"is a picture of {size}, at most {MAX_PICTURE_PIXELS} in all are read"
        raise DataError(what, fix="make the picture smaller, or copy it again if it is not so large")
    if header.animated:
        raise DataError(f"is an animated {header.format}", fix="write each of its frames as a picture of its own")
    return header


def _reader_of(data: bytes) -> Callable[[bytes], Header]:
    if data.startswith(_PNG):
        return _read_png
    if data.startswith(b"\xff\xd8"):
        return _read_jpeg
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return _read_webp
    for start, what, fix in _STRANGERS:
        if data.startswith(start):
            raise DataError(f"not a readable picture: {what}", fix=fix)
    if data[4:8] == b"ftyp":
        raise DataError("not a readable picture: is a HEIC, AVIF or video file", fix=_CONVERT)
    raise DataError("not a readable picture", fix=AGAIN)


def png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield names and contents of the chunks of a PNG, the last of them IEND.

    Raises:
        DataError: a checksum is wrong, or IEND does not come.
    """
    position = len(_PNG)
    name = b""
    while name != b"IEND":
        length = int.from_bytes(data[position : position + 4], "big")
        end = position + 12 + length
        if end > len(data):
            raise DataError(f"PNG cut off after {len(data)} bytes", fix=AGAIN)
        if zlib.crc32(memoryview(data)[position + 4 : end - 4]) != int.from_bytes(data[end - 4 : end], "big"):
            where = f"in the part that starts at byte {position}"
            raise DataError(f"PNG damaged: wrong checksum {where}", fix=AGAIN)
        name = data[position + 4 : position + 8]
        yield name, data[position + 8 : end - 4]
        position = end


def png_of(*chunks: tuple[bytes, bytes]) -> bytes:
    """Return a PNG of these chunks: name and contents each."""
    return _PNG + b"".join(
        len(body).to_bytes(4, "big") + name + body + zlib.crc32(name + body).to_bytes(4, "big") for name, body in chunks
    )


def _read_png(data: bytes) -> Header:
    names: dict[bytes, bytes] = {}
    packed = 0
    for name, body in png_chunks(data):
        packed += len(body) if name == b"IDAT" else 0
        names.setdefault(name, b"" if name == b"IDAT" else body)
    # Decoders fill up what the data do not hold, so the promise of the header is held against their length.
    first = names.get(b"IHDR", b"")
    if next(iter(names)) != b"IHDR" or len(first) != 13 or first[9] not in _PNG_COLOURS or first[8] not in _PNG_BITS:
        raise DataError("PNG damaged: its header makes no sense", fix=AGAIN)
    width, height = int.from_bytes(first[:4], "big"), int.from_bytes(first[4:8], "big")
    colours, samples = _PNG_COLOURS[first[9]]
    if packed * _MAX_INFLATION < height * ((width * samples * first[8] + 7) // 8):
        raise DataError(f"PNG damaged: {packed} bytes cannot hold the {width}x{height} pixels it promises", fix=AGAIN)
    return Header(
        format="PNG",
        width=width,
        height=height,
        bits=first[8],
        colours=colours,
        alpha=samples in (2, 4) or b"tRNS" in names,
        orientation=orientation_of(names.get(b"eXIf", b"")),
        animated=b"acTL" in names,
    )


def without_strays(data: bytes) -> bytes:
    """Return a JPEG without bytes that belong to nothing, of which decoders warn although nothing is lost.

    These are bytes between segments and zeros before the end; and the version of JFIF, which may be an unknown one,
    becomes the first. Whether the picture is whole without them shows when it is decoded.
    """
    parts = [data[:2]]
    before, position = 0, 2
    for marker, start, end in _jpeg_segments(data):
        if before == _PIXELS:
            parts.append(data[position:start])
        known = data[start:end][_JFIF] == b"JFIF\0"
        parts.append(data[start : start + 9] + b"\x01" + data[start + 10 : end] if known else data[start:end])
        before, position = marker, end
    *others, pixels, end_of_image = parts
    bare = pixels.rstrip(b"\0")
    return b"".join([*others, bare, b"\0" if bare.endswith(b"\xff") else b"", end_of_image])


def _read_jpeg(data: bytes) -> Header:
    frame = exif = b""
    for marker, start, end in _jpeg_segments(data):
        if marker in _SIZES:
            frame = frame or data[start + 4 : end]
        elif marker == _APP1 and data.startswith(PREFIX, start + 4):
            exif = exif or data[start + 4 : end]
    if len(frame) < 6:
        raise DataError("JPEG damaged: it does not say its size", fix=AGAIN)
    layouts: dict[int, Colours] = {1: "grey", 4: "CMYK"}
    return Header(
        format="JPEG",
        width=int.from_bytes(frame[3:5], "big"),
        height=int.from_bytes(frame[1:3], "big"),
        bits=frame[0],
        colours=layouts.get(frame[5], "RGB"),
        orientation=orientation_of(exif),
        lossy=True,
    )


def _jpeg_segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield markers, the last of them the end of the image, and where their segments start and end.

    What follows the end (a second picture, say) is passed over.
    """
    position = 2
    while (found := _MARKER.search(data, position)) is not None:
        marker, start = found[1][0], found.end()
        if marker == _END_OF_IMAGE:
            yield marker, found.start(), start
            return
        length = int.from_bytes(data[start : start + 2], "big")
        position = start + length
        if length < 2 or position > len(data):
            break
        yield marker, found.start(), position
    raise DataError(f"JPEG cut off after {len(data)} bytes", fix=AGAIN)


def _read_webp(data: bytes) -> Header:
    chunks = dict(_webp_chunks(data))
    flags, pixels = chunks.get(b"VP8X", b""), chunks.get(b"VP8 ", b"")
    lossless = chunks.get(b"VP8L", b"")
    animated = len(flags) == 10 and bool(flags[0] & 0x02)
    # Each way of coding says the size in a place of its own.
    if len(flags) == 10:
        width, height = (int.from_bytes(flags[start : start + 3], "little") + 1 for start in (4, 7))
    elif pixels[3:6] == b"\x9d\x01\x2a":
        width, height = (int.from_bytes(pixels[start : start + 2], "little") & 0x3FFF for start in (6, 8))
    elif lossless[:1] == b"\x2f":
        packed = int.from_bytes(lossless[1:5], "little")
        width, height = (packed & 0x3FFF) + 1, (packed >> 14 & 0x3FFF) + 1
    else:
        raise DataError("WebP damaged: it does not say its size", fix=AGAIN)
    return Header(
        format="WebP",
        width=width,
        height=height,
        alpha=any(len(part) > byte and part[byte] & 0x10 for part, byte in ((flags, 0), (lossless, 4))),
        orientation=orientation_of(chunks.get(b"EXIF", b"")),
        lossy=not lossless,
        animated=animated,
    )


def _webp_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    promised = int.from_bytes(data[4:8], "little") + 8
    if len(data) < promised or len(data) < 12:
        raise DataError(f"WebP cut off after {len(data)} of {promised} bytes", fix=AGAIN)
    position = 12
    while position + 8 <= promised:
        end = position + 8 + int.from_bytes(data[position + 4 : position + 8], "little")
        if end > promised:
            raise DataError("WebP damaged: a part of it goes beyond its end", fix=AGAIN)
        yield data[position : position + 4], data[position + 8 : end]
        position = end + end % 2
