"""PNG and MP4 files that are either complete or not there, with the same bytes for the same pictures."""

import contextlib
import errno
import os
import secrets
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType

import attrs
import cv2
import numpy as np

from vs_metrics.colours import Image, check_picture
from vs_metrics.encoding import FORMATS, Encoder, rate_of, video_codec
from vs_metrics.errors import VideoError, VsMetricsError


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
    with replacing(Path(path)) as temporary:
        temporary.write_bytes(data.tobytes())
    return Path(path)


def small_webp(image: Image, *, width: int, quality: int = 85) -> bytes:
    """Return an (H, W, 3) uint8 RGB picture as WebP, for pages: at most `width` pixels wide, and not without loss.

    Raises:
        ShapeError: it is not an RGB picture of 8 bits.
    """
    check_picture(image)
    height = max(1, round(image.shape[0] * width / image.shape[1]))
    small = image if image.shape[1] <= width else cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    done, data = cv2.imencode(".webp", np.ascontiguousarray(small[..., ::-1]), [cv2.IMWRITE_WEBP_QUALITY, quality])
    if not done:
        raise VsMetricsError(f"OpenCV could not encode a picture of shape {small.shape} as WebP")
    return data.tobytes()


def write_mp4(path: str | os.PathLike[str], frames: Iterable[Image], *, fps: float | int = 25) -> VideoFile:
    """Write (H, W, 3) uint8 RGB pictures, all of one size, as an H.264 video (yuv420p, CRF 18) that browsers play.

    Odd sizes are padded to even ones by repeating the last row or column. The same pictures give the same bytes. The
    frames are taken one by one; if taking one fails, no file is left. Where PyAV has no libx264 the codec is MPEG-4
    part 2, and the log says so.

    Raises:
        VideoError: no frame, frames of different sizes, or a rate that no video has (0.1 to 1000).
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
        self._path = Path(path)
        self._form = attrs.evolve(FORMATS[".mp4"], codec=video_codec())
        self._rate = rate_of(fps, str(path))
        self._cleanup = contextlib.ExitStack()
        self._encoder: Encoder | None = None
        self._written: Encoder | None = None

    def __enter__(self) -> "VideoWriter":
        temporary = self._cleanup.enter_context(replacing(self._path))
        self._encoder = Encoder(temporary, self._form, self._rate)
        return self

    def add(self, frame: Image) -> None:
        """Append one (H, W, 3) uint8 RGB picture.

        Raises:
            VideoError: its size is not that of the first one, or the `with` block has not been entered.
            ShapeError: it is not an RGB picture of 8 bits.
        """
        check_picture(frame)
        if self._encoder is None:
            raise VideoError(str(self._path), "frames can be added inside the writer's with block only")
        self._encoder.add(frame, str(self._path))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        encoder, self._encoder = self._encoder, None
        if encoder is None:
            return
        self._written = encoder
        with self._cleanup:
            self._cleanup.push(lambda *_: encoder.close())
            if error is not None:
                raise error
            if encoder.count == 0:
                raise VideoError(str(self._path), "a video needs at least one frame")
            encoder.finish()

    def result(self) -> VideoFile:
        """Return facts about the file that was written."""
        height, width = (0, 0) if self._written is None else self._written.size
        return VideoFile(
            path=self._path,
            codec=self._form.codec,
            frames=0 if self._written is None else self._written.count,
            width=width + width % 2,
            height=height + height % 2,
        )


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
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
