"""Encoders of videos, set so that the bytes of a file depend on its pictures alone."""

import logging
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import cast

import attrs
import av
import numpy as np
from av.video.stream import VideoStream

from vs_metrics.colours import Image, check_picture
from vs_metrics.errors import VideoError

MIN_FPS, MAX_FPS = 0.1, 1000.0
"""Smallest and largest rate of a video, frames per second: files hold it as a fraction of small numbers."""

CRF = 18
"""x264's constant rate factor: 18 is visually lossless for most eyes."""

_log = logging.getLogger(__name__)


@attrs.frozen(kw_only=True)
class Format:
    """A format of video files.

    Attributes:
        container: PyAV's name of the file format.
        codec: PyAV's name of the encoder.
        pixels: PyAV's name of what the encoder takes.
        quality: the constant rate factor unless another is asked for; None: the format loses nothing.
        worst: the largest constant rate factor.
        settings: further settings of the encoder.
        muxing: settings of the file format.
    """

    container: str
    codec: str
    pixels: str
    quality: int | None = None
    worst: int = 0
    settings: Mapping[str, str] = attrs.field(factory=dict)
    muxing: Mapping[str, str] = attrs.field(factory=dict)


FORMATS: Mapping[str, Format] = {
    # With x264's macroblock tree, bytes vary with what freed memory held, if sides are no multiples of 16.
    ".mp4": Format(
        container="mp4",
        codec="libx264",
        pixels="yuv420p",
        quality=CRF,
        worst=51,
        settings={"preset": "medium", "mbtree": "0"},
        muxing={"movflags": "+faststart"},
    ),
    ".webm": Format(
        container="webm",
        codec="libvpx-vp9",
        pixels="yuv420p",
        quality=24,
        worst=63,
        settings={"deadline": "good", "cpu-used": "4", "row-mt": "0", "b": "0"},
    ),
    ".mkv": Format(container="matroska", codec="ffv1", pixels="bgr0", settings={"level": "1"}),
}
"""Formats by the suffix of a file's name: H.264, VP9, and FFV1, which keeps every bit."""


def video_codec() -> str:
    """Return the encoder that MP4 is written with: "libx264", or "mpeg4" where PyAV lacks it (logged)."""
    if "libx264" in av.codec.codecs_available:
        return "libx264"
    _log.warning("PyAV has no libx264 here: videos are written as MPEG-4 part 2, which some browsers do not play")
    return "mpeg4"


def rate_of(fps: float, name: str) -> Fraction:
    """Return a rate as videos have it; `name` is what messages call the video.

    Raises:
        VideoError: no video has such a rate.
    """
    if not MIN_FPS <= fps <= MAX_FPS:
        raise VideoError(name, f"fps: expected a number from {MIN_FPS:g} to {MAX_FPS:g} frames per second, got {fps:g}")
    return Fraction(fps).limit_denominator(1001)


class Encoder:
    """An encoder of pictures of one size into a file; the file is opened with the first of them.

    Close it in any case: what was added up to then can be played.
    """

    def __init__(self, path: Path, form: Format, rate: Fraction, crf: int | None = None) -> None:
        self.path = path
        self.size = (0, 0)
        self.count = 0
        self._form = form
        self._rate = rate
        self._crf = form.quality if crf is None else crf
        self._opened: tuple[av.container.OutputContainer, VideoStream] | None = None

    def add(self, frame: Image, name: str) -> None:
        """Append one (H, W, 3) uint8 RGB picture; `name` is what messages call the video.

        Raises:
            VideoError: its size is not that of the first one.
            ShapeError: it is not an RGB picture of 8 bits.
        """
        check_picture(frame)
        if self._opened is None:
            self.size = frame.shape[:2]
            self._opened = self._open()
        if frame.shape[:2] != self.size:
            raise VideoError(
                name, f"frame {self.count} is {_words(frame.shape[:2])}, the first one {_words(self.size)}"
            )
        container, stream = self._opened
        picture = av.VideoFrame.from_ndarray(_padded_to_even(frame) if self._is_halved else frame, format="rgb24")
        picture.pts = self.count
        container.mux(stream.encode(picture))
        self.count += 1

    def finish(self) -> None:
        """Encode what is still on its way; nothing can be added afterwards."""
        if self._opened is not None:
            container, stream = self._opened
            container.mux(stream.encode(None))

    def close(self) -> None:
        """Close the file."""
        opened, self._opened = self._opened, None
        if opened is not None:
            opened[0].close()

    @property
    def _is_halved(self) -> bool:
        """Whether colours are kept at half the resolution, so that sides have to be even."""
        return self._form.pixels == "yuv420p"

    def _open(self) -> tuple[av.container.OutputContainer, VideoStream]:
        form = self._form
        height, width = (side + side % 2 if self._is_halved else side for side in self.size)
        container = av.open(str(self.path), "w", format=form.container, options=dict(form.muxing))
        container.flags |= cast(int, av.container.Flags.bitexact.value)  # no version numbers in the file
        stream = cast(VideoStream, container.add_stream(form.codec, rate=self._rate))
        stream.width, stream.height, stream.pix_fmt = width, height, form.pixels
        context = stream.codec_context
        context.flags |= av.codec.context.Flags.bitexact.value
        context.thread_count = 1  # the bytes must not depend on the number of cores
        if self._is_halved:
            context.color_range, context.colorspace = 1, 6  # limited range, BT.601: what swscale converts RGB to
        if form.codec == "mpeg4":
            context.qmin, context.qmax, context.bit_rate = 1, 4, 8 * width * height
        else:
            quality = {} if self._crf is None else {"crf": str(self._crf)}
            context.options = {**form.settings, **quality}
        container.start_encoding()  # there is a file from the first frame on, though encoders hold some back
        return container, stream


def _padded_to_even(frame: Image) -> Image:
    height, width = frame.shape[:2]
    return np.ascontiguousarray(np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge"))


def _words(shape: tuple[int, ...]) -> str:
    return f"{shape[0]}x{shape[1]}"
