"""PNG and MP4 files that are either complete or not there, with the same bytes for the same pictures."""

import contextlib
import errno
import logging
import os
import secrets
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import cast

import attrs
import av
import cv2
import numpy as np
from av.video.stream import VideoStream

from vs_metrics.colours import Image, check_picture
from vs_metrics.errors import VideoError, VsMetricsError

CRF = 18
"""x264's constant rate factor: 18 is visually lossless for most eyes."""

_log = logging.getLogger(__name__)


@attrs.frozen(kw_only=True)
class VideoFile:
    """A video that was written.

    Attributes:
        path: the file.
        codec: "libx264", or "mpeg4" where PyAV has no libx264.
        frames: number of frames.
        width: pixels, after padding to an even number.
        height: pixels, after padding to an even number.
    """

    path: Path
    codec: str
    frames: int
    width: int
    height: int


def write_png(path: str | os.PathLike[str], image: Image) -> Path:
    """Write an (H, W, 3) uint8 RGB picture as PNG: to a temporary name beside it, then renamed; parents are made.

    The same picture gives the same bytes.

    Raises:
        ShapeError: it is not an RGB picture of 8 bits.
        OSError: the file cannot be written; nothing is left behind.
    """
    check_picture(image)
    done, data = cv2.imencode(".png", np.ascontiguousarray(image[..., ::-1]), [cv2.IMWRITE_PNG_COMPRESSION, 6])
    if not done:
        raise VsMetricsError(f"{path}: OpenCV could not encode a picture of shape {image.shape} as PNG")
    with _replacing(Path(path)) as temporary:
        temporary.write_bytes(data.tobytes())
    return Path(path)


def write_mp4(path: str | os.PathLike[str], frames: Iterable[Image], *, fps: float | int = 25) -> VideoFile:
    """Write (H, W, 3) uint8 RGB pictures, all of one size, as an H.264 video (yuv420p, CRF 18) that browsers play.

    Odd sizes are padded to even ones by repeating the last row or column. The same pictures give the same bytes. The
    frames are taken one by one; if taking one fails, no file is left. Where PyAV has no libx264 the codec is MPEG-4
    part 2, and the log says so.

    Raises:
        VideoError: no frame, frames of different sizes, or a rate that is not positive.
        ShapeError: a frame is not an RGB picture of 8 bits.
        OSError: the file cannot be written; nothing is left behind.
    """
    with VideoWriter(path, fps=fps) as video:
        for frame in frames:
            video.add(frame)
    return video.result()


class VideoWriter:
    """A video that takes frames one by one, as `write_mp4` writes it.

    `with VideoWriter(path, fps=10) as video: video.add(frame)`: the file appears under its name when the block ends
    without an exception, and not at all otherwise.
    """

    def __init__(self, path: str | os.PathLike[str], *, fps: float | int = 25) -> None:
        if not fps > 0:
            raise VideoError(str(path), f"fps must be positive, got {fps}")
        self._path = Path(path)
        self._rate = Fraction(fps).limit_denominator(1001)
        self._codec = video_codec()
        self._cleanup = contextlib.ExitStack()
        self._temporary = self._path
        self._encoder: _Encoder | None = None
        self._size = (0, 0)
        self._count = 0

    def __enter__(self) -> "VideoWriter":
        self._temporary = self._cleanup.enter_context(_replacing(self._path))
        return self

    def add(self, frame: Image) -> None:
        """Append one (H, W, 3) uint8 RGB picture.

        Raises:
            VideoError: its size is not that of the first one, or the `with` block has not been entered.
            ShapeError: it is not an RGB picture of 8 bits.
        """
        check_picture(frame)
        if self._temporary == self._path:
            raise VideoError(str(self._path), "frames can be added inside the writer's with block only")
        if self._encoder is None:
            self._size = frame.shape[:2]
            self._encoder = _open_encoder(self._temporary, self._codec, self._rate, self._size)
        if frame.shape[:2] != self._size:
            problem = f"frame {self._count} is {_words(frame.shape[:2])}, the first one {_words(self._size)}"
            raise VideoError(str(self._path), problem)
        picture = av.VideoFrame.from_ndarray(_padded_to_even(frame), format="rgb24")
        picture.pts = self._count
        self._encoder.container.mux(self._encoder.stream.encode(picture))
        self._count += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._cleanup:
            self._cleanup.push(lambda *_: self._close())
            if error is not None:
                raise error
            if self._encoder is None:
                raise VideoError(str(self._path), "a video needs at least one frame")
            self._encoder.container.mux(self._encoder.stream.encode(None))

    def result(self) -> VideoFile:
        """Return facts about the file that was written."""
        height, width = self._size
        return VideoFile(
            path=self._path,
            codec=self._codec,
            frames=self._count,
            width=width + width % 2,
            height=height + height % 2,
        )

    def _close(self) -> None:
        if self._encoder is not None:
            self._encoder.container.close()
        self._encoder, self._temporary = None, self._path


@attrs.frozen(kw_only=True, eq=False)
class _Encoder:
    container: av.container.OutputContainer
    stream: VideoStream


def _open_encoder(path: Path, codec: str, rate: Fraction, size: tuple[int, int]) -> _Encoder:
    """Open an MP4 file and its only stream, set so that the bytes depend on the pictures alone."""
    height, width = size
    container = av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"})
    container.flags |= cast(int, av.container.Flags.bitexact.value)  # no version numbers in the file
    stream = cast(VideoStream, container.add_stream(codec, rate=rate))
    stream.width, stream.height, stream.pix_fmt = width + width % 2, height + height % 2, "yuv420p"
    context = stream.codec_context
    context.flags |= av.codec.context.Flags.bitexact.value
    context.thread_count = 1  # the bytes must not depend on the number of cores
    context.color_range, context.colorspace = 1, 6  # limited range, BT.601: what swscale converts RGB to
    if codec == "libx264":
        # With x264's macroblock tree, bytes vary with what freed memory held, if sides are no multiples of 16.
        context.options = {"crf": str(CRF), "preset": "medium", "mbtree": "0"}
    else:
        context.qmin, context.qmax, context.bit_rate = 1, 4, 8 * width * height
    return _Encoder(container=container, stream=stream)


def video_codec() -> str:
    """Return the encoder that videos are written with: "libx264", or "mpeg4" where PyAV lacks it (logged)."""
    if "libx264" in av.codec.codecs_available:
        return "libx264"
    _log.warning("PyAV has no libx264 here: videos are written as MPEG-4 part 2, which some browsers do not play")
    return "mpeg4"


@contextlib.contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """Give a temporary name beside `path`, renamed to it when the block succeeds and removed when it does not."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
    try:
        yield temporary
        with temporary.open("rb+") as handle:
            os.fsync(handle.fileno())
        temporary.replace(path)
    except OSError as error:
        if error.filename not in (None, str(temporary)):  # of what is drawn
            raise
        code = errno.EIO if error.errno is None else error.errno
        raise OSError(code, error.strerror or str(error), str(path)) from error
    finally:
        temporary.unlink(missing_ok=True)


def _padded_to_even(frame: Image) -> Image:
    height, width = frame.shape[:2]
    return np.ascontiguousarray(np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge"))


def _words(shape: tuple[int, ...]) -> str:
    return f"{shape[0]}x{shape[1]}"
