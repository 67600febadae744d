"""Pictures on disk: frames, numbers and maps of ids. Every way in which a file can be bad is an error of one line."""

from functools import lru_cache
from pathlib import Path
from typing import Any

import attrs
import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray

from vs_data.content import Content, FrameOfVideo, bytes_of
from vs_data.errors import DataError
from vs_data.exif import turned
from vs_data.headers import AGAIN, Header, png_chunks, png_of, read_header, without_strays
from vs_data.videos import Video, VideoIndex, index_of, read_levels, read_shown

IMAGE_EXTENSIONS = (".png", ".jpg", ".jpeg", ".webp")

TURNED = "is turned as its EXIF orientation says, its labels are not"
"""The note of a frame that was turned."""

TURNED_FIX = "the frame is turned as its EXIF orientation says: make what belongs to it from the turned picture"
"""What to do about files whose sizes disagree with that of such a frame."""

_GREYS = "write the class ids themselves as greys of a PNG with 8 bits"


@attrs.frozen(kw_only=True)
class Picture:
    """A frame as it is read.

    Attributes:
        pixels: (H,W,3) RGB.
        notes: What was done to the file's content to get there: short sentences that many files can share.
    """

    pixels: NDArray[np.uint8]
    notes: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class IdMap:
    """A map of ids as it is read.

    Attributes:
        ids: (H,W), of 8 or 16 bits; their range is not looked at.
        notes: What is unusual about the file, as in `Picture`.
    """

    ids: NDArray[Any]
    notes: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class Stored:
    """A picture with the numbers that its file holds.

    Attributes:
        values: (H,W,C), of 8 or 16 bits; C is 1 to 4: greys, greys and transparency, RGB, RGB and transparency.
        lossy: Whether compression has changed them.
        notes: What was done to get there, as in `Picture`.
    """

    values: NDArray[Any]
    lossy: bool
    notes: tuple[str, ...] = ()


def read_rgb(content: Content) -> NDArray[np.uint8]:
    """Read a picture as (H,W,3) RGB with 8 bits, turned upright; see `inspect_rgb`."""
    return inspect_rgb(content).pixels


def read_ids(content: Content) -> NDArray[np.uint8]:
    """Read a map of class ids as (H,W) uint8; their range is not looked at; see `inspect_ids`."""
    ids: NDArray[np.uint8] = inspect_ids(content).ids
    return ids


def inspect_rgb(content: Content) -> Picture:
    """Read a picture, and what had to be done to see it as RGB with 8 bits.

    A frame of a video is what a player shows. A file is turned as EXIF data ask for, in a PNG and a WebP too. Greys are
    used three times, 16 bits are scaled to 8, the colours of a palette are looked up, CMYK is converted;
    transparency is dropped and colours stay as they are.

    Raises:
        DataError: the file is missing, damaged (what a JPEG decoder only warns of counts), an animation, too large, or
            no PNG, JPEG or WebP.
    """
    match content:
        case FrameOfVideo():
            shown = read_shown(content)
            return Picture(pixels=shown.pixels, notes=shown.notes)
        case _:
            return _inspect_picture(content)


def inspect_size(content: Content) -> tuple[tuple[int, int], tuple[str, ...]]:
    """Return (H, W) of a picture as `inspect_rgb` reads it, and what it does to it, without decoding it.

    The file is read, and its parts are looked at (of a PNG their checksums too); of a video the first frame is decoded,
    once.

    Raises:
        DataError: as `inspect_rgb` does, but for damage that only decoding tells.
    """
    match content:
        case FrameOfVideo():
            return _size_in_video(content.video, index_of(content.video))
        case _:
            header = _open(content)[1]
            size = (header.width, header.height) if header.orientation > 4 else (header.height, header.width)
            return size, tuple(_notes_on_frame(header, strays=False))


@lru_cache(maxsize=1024)
def _size_in_video(video: Video, _index: VideoIndex) -> tuple[tuple[int, int], tuple[str, ...]]:
    shown = read_shown(FrameOfVideo(video=video, frame=0))
    return (shown.pixels.shape[0], shown.pixels.shape[1]), shown.notes


def _inspect_picture(content: Content) -> Picture:
    data, header = _open(content)
    pixels: NDArray[Any]
    if header.format == "JPEG":
        pixels, strays = _decode_jpeg(data, header, content)
    else:
        pixels, strays = _as_rgb(_decode(data, content)), False
    if pixels.dtype == np.uint16:
        pixels = cv2.convertScaleAbs(pixels, alpha=1 / 257)  # 65535 / 255
    return Picture(pixels=turned(pixels, header.orientation), notes=tuple(_notes_on_frame(header, strays=strays)))


def _notes_on_frame(header: Header, *, strays: bool) -> list[str]:
    happened = (
        (header.colours == "grey", "is grey, its channel is used three times"),
        (header.colours == "palette", "has a palette, its colours are used"),
        (header.colours == "CMYK", "is CMYK, it is converted to RGB"),
        (header.alpha, "has transparency, which is dropped"),
        (header.bits == 16, "has 16 bits per channel, they are scaled to 8"),
        (header.orientation != 1, TURNED),
        (strays, "holds bytes that are part of nothing, which are passed over"),
    )
    return [note for true, note in happened if true]


def inspect_stored(content: Content) -> Stored:
    """Read a picture with the numbers that its file holds, turned upright as EXIF data ask for.

    Greys of less than 8 bits are spread over 0 to 255, and the colours of a palette are looked up. Of a frame
    of a video they are the colours that a player shows.

    Raises:
        DataError: as `inspect_rgb` does.
    """
    match content:
        case FrameOfVideo():
            shown = read_shown(content)
            return Stored(values=shown.pixels, lossy=True, notes=shown.notes)
        case _:
            return _inspect_numbers(content)


def _inspect_numbers(content: Content) -> Stored:
    data, header = _open(content)
    if header.format == "JPEG":
        pixels, _ = _decode_jpeg(data, header, content)
    else:
        pixels = _as_stored(_decode(data, content), grey=header.colours == "grey")
    happened = (
        (header.colours == "palette", "has a palette, its colours are used"),
        (header.orientation != 1, "is turned as its EXIF orientation says"),
    )
    notes = tuple(note for true, note in happened if true)
    return Stored(values=turned(pixels, header.orientation), lossy=header.lossy, notes=notes)


def inspect_colours(content: Content, fix: str = "is it a map of ids? say so in the kind's configuration") -> Stored:
    """Read a picture whose colours are codes of something: (H,W,3) of 8 bits; see `inspect_stored`.

    Args:
        content: The file.
        fix: What to do where it is no such picture.

    Raises:
        DataError: as `inspect_rgb` does, or the colours are no codes: greys, of 16 bits, or compressed with loss.
    """
    match content:
        case FrameOfVideo():
            shown = read_levels(content)
            values = shown.pixels if shown.pixels.ndim == 3 else shown.pixels[..., None]
            stored = Stored(values=values, lossy=False, notes=shown.notes)
        case _:
            stored = inspect_stored(content)
    if stored.lossy:
        raise DataError("is compressed with loss, which changes colours", file=str(content), fix="write it as PNG")
    values, notes = stored.values, stored.notes
    if values.shape[2] == 4:
        values, notes = values[..., :3], (*notes, "has transparency, which is dropped")
    if values.shape[2] != 3 or values.dtype != np.uint8:
        what = f"is a picture of {describe(values)}, not of RGB with 8 bits"
        raise DataError(what, file=str(content), fix=fix)
    return attrs.evolve(stored, values=values, notes=notes)


def _as_stored(pixels: NDArray[Any], *, grey: bool) -> NDArray[Any]:
    """Return (H,W) or (H,W,C) with OpenCV's order of colours as (H,W,C) in the order R, G, B, transparency."""
    if pixels.ndim == 2:
        return pixels[..., None]
    if pixels.shape[2] == 4:
        return pixels[..., 2:] if grey else np.ascontiguousarray(pixels[..., [2, 1, 0, 3]])
    return np.ascontiguousarray(pixels[..., ::-1])


def inspect_ids(content: Content) -> IdMap:
    """Read a map of class ids of 8 bits, and what is unusual about its file; see `inspect_wide_ids`.

    Raises:
        DataError: the file is missing, damaged or too large; no PNG; a picture of colours; or holds values above 255.
    """
    found = inspect_wide_ids(content)
    if found.ids.max() > 255:
        what = f"holds values up to {found.ids.max()}, class ids are 0 to 255"
        raise DataError(what, file=str(content), fix="are these depths, or instances? write class ids, with 8 bits")
    return attrs.evolve(found, ids=found.ids.astype(np.uint8, copy=False))


def inspect_wide_ids(content: Content) -> IdMap:
    """Read a map of ids of 8 or 16 bits, and what is unusual about its file.

    Of a lossless video they are the levels. Of a file its content counts, not its name: the values of the PNG as they
    are stored, 1 to 16 bits, never scaled; of a palette the indices. Three channels are read where they are equal.
    Nothing is turned.

    Raises:
        DataError: the file is missing, damaged or too large; no PNG; or a picture of colours.
    """
    match content:
        case FrameOfVideo():
            shown = read_levels(content)
            return IdMap(ids=_only_channel(shown.pixels, content), notes=shown.notes)
        case _:
            return _inspect_map(content)


def _inspect_map(content: Content) -> IdMap:
    data, header = _open(content)
    if header.format != "PNG":
        why = "class ids do not survive lossy compression" if header.lossy else "class ids are read from PNG alone"
        raise DataError(f"is a {header.format}: {why}", file=str(content), fix=f"{_GREYS}, from the original maps")
    stored = _decode(_bare(data), content)
    if header.bits < 8:
        stored //= 255 // (2**header.bits - 1)  # OpenCV spreads them over 0 to 255
    return IdMap(ids=_only_channel(stored, content), notes=tuple(_notes_on_map(header)))


def _notes_on_map(header: Header) -> list[str]:
    happened = (
        (header.colours == "RGB", "has three channels, all equal, one of which is read as ids"),
        (header.colours == "palette", "has a palette, its indices are read as ids"),
        (header.alpha and header.colours != "palette", "has transparency, which is ignored"),
        (header.bits != 8, f"has {header.bits} bits per pixel, its values are read as ids as they are"),
        (header.orientation != 1, "asks for an EXIF orientation, which is not applied to ids"),
    )
    return [note for true, note in happened if true]


def _bare(data: bytes) -> bytes:
    """Return a PNG without what might change its values: no transparency, no palette, indices said to be greys."""
    chunks = [(name, body) for name, body in png_chunks(data) if name in (b"IHDR", b"IDAT", b"IEND")]
    header = bytearray(chunks[0][1])
    header[9] = 0 if header[9] == 3 else header[9]  # the colour type; indices are stored as greys are
    return png_of((b"IHDR", bytes(header)), *chunks[1:])


def _only_channel(stored: NDArray[Any], content: Content) -> NDArray[Any]:
    """Return (H,W) of (H,W) or (H,W,C), whose first three channels are to be equal."""
    if stored.ndim == 2:
        return stored
    first = stored[..., 0]
    if not (np.array_equal(first, stored[..., 1]) and np.array_equal(first, stored[..., 2])):
        what = f"is a picture of colours ({describe(stored)}), not a map of class ids"
        fix = f"say what colours are in the kind's configuration, or convert each colour to its class id, then {_GREYS}"
        raise DataError(what, file=str(content), fix=fix)
    return np.ascontiguousarray(first)


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


def _open(content: Content) -> tuple[bytes, Header]:
    data = bytes_of(content)
    try:
        return data, read_header(data)
    except DataError as error:
        raise DataError(error.what, file=str(content), fix=error.fix) from None


def _decode(data: bytes, content: Content) -> NDArray[Any]:
    """Decode a PNG or WebP as stored: (H,W) or (H,W,C) with OpenCV's BGR order, 8 or 16 bits."""
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        if error.code == cv2.Error.StsNoMem:
            raise MemoryError(f"no memory for the pixels of {content}") from None
        pixels = None
    if pixels is None:
        raise DataError("not a readable picture", file=str(content), fix=AGAIN)
    return np.asarray(pixels)


def _as_rgb(pixels: NDArray[Any]) -> NDArray[Any]:
    if pixels.ndim == 2:
        return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB))
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGRA2RGB if pixels.shape[2] == 4 else cv2.COLOR_BGR2RGB))


def _decode_jpeg(data: bytes, header: Header, content: Content) -> tuple[NDArray[np.uint8], bool]:
    """Decode a JPEG as (H,W,3) RGB, and say whether it holds bytes that had to be passed over.

    Warnings of the decoder, which tell of damage, are errors, unless the picture is whole without these bytes.
    """
    colours = "CMYK" if header.colours == "CMYK" else "RGB"
    strays = False
    try:
        pixels = simplejpeg.decode_jpeg(data, colours, strict=True)
    except ValueError as error:
        try:
            pixels, strays = simplejpeg.decode_jpeg(without_strays(data), colours, strict=True), True
        except ValueError:
            raise DataError(f"not a readable JPEG: {error}", file=str(content), fix=AGAIN) from None
    if header.colours != "CMYK":
        return np.asarray(pixels), strays
    inks = pixels.astype(np.uint16)  # inverted, as Adobe's programs write them and all others expect it
    return np.asarray(((inks[..., :3] * inks[..., 3:] + 127) // 255).astype(np.uint8)), strays


def describe(pixels: NDArray[Any]) -> str:
    """Describe bits and channels in words: "16 bits, 3 channels"."""
    channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    return f"{pixels.dtype.itemsize * 8} bits, {channels} channel{'s' if channels > 1 else ''}"
