"""Places that frames go to one by one: a video, a folder of pictures, a pipe.

What is being written has another name until it is whole, `STEM.unfinished.SUFFIX`. If it never becomes whole, since a
frame could not be made or somebody stopped it, it keeps that name, and what was added can be played.
"""

import contextlib
import errno
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import attrs
import av
import cv2
import numpy as np

from vs_metrics.colours import Image, check_picture
from vs_metrics.encoding import FORMATS, Encoder, Format, rate_of
from vs_metrics.errors import VideoError

Add = Callable[[Image], None]
"""Appends one (H, W, 3) uint8 RGB picture."""


@attrs.frozen(kw_only=True)
class SinkOptions:
    """Settings of a video.

    Attributes:
        fps: frames per second.
        crf: constant rate factor; None: the format's own.
    """

    fps: float = 10.0
    crf: int | None = None


def check_sink(out: Path, options: SinkOptions) -> None:
    """See that frames can go to a file or folder, without writing anything.

    Raises:
        VideoError: the suffix is that of no format, PyAV lacks its encoder, a setting is out of range, something else
            stands there, or the place cannot be written to.
    """
    rate_of(options.fps, str(out))
    form = _format_of(out)
    if form is None:
        if options.crf is not None:
            raise VideoError(str(out), "--crf: a folder of PNG files has no such setting: it loses nothing")
        if out.is_dir() and any(out.iterdir()):
            raise VideoError(str(out), "holds other files; name a new folder, or an empty one")
    else:
        _check_format(out, form, options)
    parent = next(folder for folder in (out.parent, *out.parent.parents) if folder.exists())
    if not parent.is_dir():
        raise VideoError(str(out), f"{parent} is no folder")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise VideoError(str(out), f"cannot be written: {parent} does not allow it")


def unfinished(out: Path) -> Path:
    """Return what a file or folder is called while it is written: `street.unfinished.mp4`, `frames.unfinished`."""
    return out.with_name(f"{out.stem}.unfinished{out.suffix}")


@contextlib.contextmanager
def open_sink(out: Path, options: SinkOptions) -> Iterator[Add]:
    """Yield what appends a frame to a video (MP4, WebM, MKV without loss) or to a folder of PNG files.

    A video that was there is replaced when the block ends. If it ends by an exception, what was added up to then stays
    under the unfinished name, a file that can be played; without any frame nothing stays. Equal frames give equal
    bytes.

    Raises:
        VideoError: see `check_sink`; frames differ in size, or there is none.
        OSError: nothing more can be written, with the file's name.
    """
    check_sink(out, options)
    draft = unfinished(out)
    made = [folder for folder in (out.parent, *out.parent.parents) if not folder.exists()]
    form = _format_of(out)
    count = 0
    try:
        with _naming(draft):
            out.parent.mkdir(parents=True, exist_ok=True)
            _remove(draft)
            with _pictures(draft) if form is None else _video(draft, form, options) as add:

                def counted(frame: Image) -> None:
                    nonlocal count
                    add(frame)
                    count += 1

                yield counted
                if count == 0:
                    raise VideoError(str(out), "there is no frame to write")
            _replace(draft, out)
    finally:
        if count == 0:
            _remove(draft)
            for folder in made:
                with contextlib.suppress(OSError):
                    folder.rmdir()


@contextlib.contextmanager
def open_pipe(stream: BinaryIO, name: str = "standard output") -> Iterator[Add]:
    """Yield what writes each frame's bytes to a stream: rows from the top, RGB, 8 bits, nothing between frames.

    Raises:
        VideoError: frames differ in size.
        OSError: the stream is closed, or full.
    """
    check = _SameSize(name)

    def add(frame: Image) -> None:
        check(frame)
        stream.write(np.ascontiguousarray(frame).tobytes())
        stream.flush()

    yield add


def _format_of(out: Path) -> Format | None:
    """Return the format of a file by its suffix; None: it is to be a folder of PNG files."""
    if out.is_dir() or not out.suffix:
        return None
    form = FORMATS.get(out.suffix.lower())
    if form is None:
        known = ", ".join(FORMATS)
        what = f"unknown format {out.suffix!r}"
        raise VideoError(str(out), f"{what}: expected {known}, or a folder (a name without suffix)")
    return form


def _check_format(out: Path, form: Format, options: SinkOptions) -> None:
    if form.codec not in av.codec.codecs_available:
        others = ", ".join(suffix for suffix, each in FORMATS.items() if each.codec in av.codec.codecs_available)
        what = f"PyAV has no encoder {form.codec} here"
        raise VideoError(str(out), f"{what}; there are {others}, or a folder of PNG files")
    if options.crf is None:
        return
    if form.quality is None:
        raise VideoError(str(out), f"--crf: {out.suffix} has no such setting: it loses nothing")
    if not 0 <= options.crf <= form.worst:
        raise VideoError(str(out), f"--crf: expected 0 (best) to {form.worst}, got {options.crf}")


@contextlib.contextmanager
def _video(draft: Path, form: Format, options: SinkOptions) -> Iterator[Add]:
    encoder = Encoder(draft, form, rate_of(options.fps, str(draft)), options.crf)
    try:
        yield lambda frame: encoder.add(frame, str(draft))
    except BaseException:
        with contextlib.suppress(OSError, av.FFmpegError):  # the first error counts, and the file is to play
            encoder.finish()
        with contextlib.suppress(OSError, av.FFmpegError):
            encoder.close()
        raise
    encoder.finish()
    encoder.close()
    with draft.open("rb+") as handle:
        os.fsync(handle.fileno())


@contextlib.contextmanager
def _pictures(draft: Path) -> Iterator[Add]:
    draft.mkdir()
    check = _SameSize(str(draft))

    def add(frame: Image) -> None:
        index = check(frame)
        _, data = cv2.imencode(".png", np.ascontiguousarray(frame[..., ::-1]), [cv2.IMWRITE_PNG_COMPRESSION, 3])
        path = draft / f"{index:06d}.png"
        try:
            path.write_bytes(data.tobytes())
        except OSError:
            path.unlink(missing_ok=True)
            raise

    yield add


@attrs.define
class _SameSize:
    """A check that frames are pictures of one size; it counts them."""

    name: str
    size: tuple[int, ...] = ()
    count: int = 0

    def __call__(self, frame: Image) -> int:
        check_picture(frame)
        self.size = self.size or frame.shape[:2]
        if frame.shape[:2] != self.size:
            found, first = (f"{height}x{width}" for height, width in (frame.shape[:2], self.size))
            raise VideoError(self.name, f"frame {self.count} is {found}, the first one {first}")
        self.count += 1
        return self.count - 1


def _replace(draft: Path, out: Path) -> None:
    if out.is_dir():
        out.rmdir()  # it is empty
    draft.replace(out)


def _remove(path: Path) -> None:
    """Remove what an earlier attempt left."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@contextlib.contextmanager
def _naming(draft: Path) -> Iterator[None]:
    """Have what the system says of writing name the file that is written."""
    try:
        yield
    except OSError as error:
        if error.filename not in (None, str(draft)):
            raise
        code = errno.EIO if error.errno is None else error.errno
        raise OSError(code, error.strerror or str(error), str(draft)) from error
