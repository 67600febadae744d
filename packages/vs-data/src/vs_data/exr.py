"""OpenEXR files: pictures of floats, as renderers write them. Read by the package OpenEXR, which is optional."""

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vs_data.content import Content, bytes_of
from vs_data.errors import DataError
from vs_data.exr_structure import MAGIC, check_whole
from vs_data.files import MAX_PICTURE_PIXELS
from vs_data.findings import some
from vs_data.headers import AGAIN

_INSTALL = "install the package that reads such files: pip install 'OpenEXR>=3.5'; or write .npy or PNG files"
_NAME_THEM = "name its channels in exr_channels of the configuration"
_USUAL = (("R", "G", "B", "A"), ("R", "G", "B"), ("Y", "A"), ("Y",), ("Z",))
"""Channels that are a picture, where nobody has said which ones are meant; the first that are there."""


def read_exr(
    content: Content, channels: Sequence[str], usual: Sequence[Sequence[str]] = _USUAL, count: int | None = None
) -> NDArray[np.float32]:
    """Read channels of an OpenEXR file as (H,W,C): its display window, with 0 where no pixels are stored.

    Args:
        content: The file.
        channels: Their names, in order; none: the usual ones, or else the only ones.
        usual: Which channels are meant where nobody says it: the first of these groups that is there as a whole.
        count: How many there have to be; None: any number.

    Raises:
        DataError: the file is missing or damaged, of several parts or deep, too large, lacks a channel or holds one at
            another resolution; or the package that reads such files is missing.
    """
    data = bytes_of(content)
    if not data.startswith(MAGIC):
        raise DataError("is no OpenEXR file, whatever its name says", file=str(content), fix=AGAIN)
    try:
        import OpenEXR  # here, because it is optional
    except ImportError:
        raise DataError("is an OpenEXR file, for which a package is missing", file=str(content), fix=_INSTALL) from None
    _check_whole(data, content)
    open_file = partial(OpenEXR.File, separate_channels=True, num_threads=0)  # threads would not live on in a worker
    with _explained(content):
        header = open_file(io.BytesIO(data), header_only=True).header()
        there = sorted(channel.name for channel in header["channels"])
    _check_header(header, content)
    names = list(channels) or list(next((group for group in usual if set(group) <= set(there)), there))
    missing = [name for name in names if name not in there]
    if missing:
        what = f"has no channel {missing[0]!r}; it has {some(there, 12)}"
        raise DataError(what, file=str(content), fix=_NAME_THEM)
    if count not in (None, len(names)):
        what = f"nobody says which {count} of its channels are meant: {some(there, 12)}"
        raise DataError(what, file=str(content), fix=_NAME_THEM)
    with _explained(content):
        found = open_file(io.BytesIO(data)).channels()
        planes = [found[name].pixels for name in names]
    if len({plane.shape for plane in planes}) > 1:
        raise DataError("holds channels of several resolutions", file=str(content), fix="write all at one")
    return _displayed(np.stack([np.asarray(plane, np.float32) for plane in planes], axis=-1), header)


def _check_whole(data: bytes, content: Content) -> None:
    try:
        check_whole(data)
    except DataError as failure:
        raise DataError(failure.what, file=str(content), fix=failure.fix) from None


@contextmanager
def _explained(content: Content) -> Iterator[None]:
    try:
        yield
    except (RuntimeError, LookupError, ValueError, TypeError):  # whose words are of buffers and parts, not of files
        what = "not a readable OpenEXR file: it is damaged or cut off"
        raise DataError(what, file=str(content), fix=AGAIN) from None


def _check_header(header: dict[str, Any], content: Content) -> None:
    for name in ("dataWindow", "displayWindow"):
        left, top, right, bottom = _window(header, name)
        width, height = right - left, bottom - top
        if not (width > 0 and height > 0 and width * height <= MAX_PICTURE_PIXELS):
            what = f"is a picture of {width}x{height} pixels, at most {MAX_PICTURE_PIXELS} in all are read"
            raise DataError(what, file=str(content), fix="make the picture smaller, or render it again")
    if "deep" in str(header.get("type", "")):
        raise DataError("holds several samples for each pixel", file=str(content), fix="render it flat, not deep")


def _window(header: dict[str, Any], name: str) -> tuple[int, int, int, int]:
    """Return left, top, right and bottom of a window, the last two beyond its pixels."""
    (left, top), (right, bottom) = header[name]
    return int(left), int(top), int(right) + 1, int(bottom) + 1


def _displayed(stored: NDArray[np.float32], header: dict[str, Any]) -> NDArray[np.float32]:
    """Put what is stored, (H,W,C), where it belongs in the picture: renderers leave out black borders, or add some."""
    data, picture = (_window(header, name) for name in ("dataWindow", "displayWindow"))
    if data == picture:
        return stored
    left, top, right, bottom = picture
    shown = np.zeros((bottom - top, right - left, stored.shape[2]), np.float32)
    beyond, above = data[0] - left, data[1] - top
    part = stored[max(-above, 0) :, max(-beyond, 0) :]
    place = shown[max(above, 0) :, max(beyond, 0) :]
    height, width = (min(one, other) for one, other in zip(part.shape[:2], place.shape[:2], strict=True))
    place[:height, :width] = part[:height, :width]
    return shown
