"""Opening the pictures of a video, and what can be asked of them before any is decoded."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias, assert_never

import av
import cv2
from vs_config import shown

from vs_data.content import Member
from vs_data.errors import DataError
from vs_data.files import MAX_PICTURE_PIXELS
from vs_data.ranges import PartOfFile

Video: TypeAlias = Path | Member
"""A video, in a file of its own or in a shard."""

Container: TypeAlias = av.container.InputContainer
Stream: TypeAlias = av.video.stream.VideoStream

VIDEO_EXTENSIONS = (".mp4", ".mkv", ".webm", ".mov", ".avi", ".m4v", ".nut")

LOSSLESS = "write it without loss in greys or RGB, by ffmpeg -c:v ffv1 -pix_fmt bgr0 for example, or as PNG files"
"""What to do about levels that are no ids."""

AGAIN = "copy it again"
"""What to do about a video that is damaged."""

WHOLE = f"expected a whole video: {AGAIN}, or name another one"
"""What to do about a file in which there is no video, or not enough of it to tell."""

_CODECS = {"ffv1", "huffyuv", "ffvhuff", "utvideo", "png", "rawvideo", "qtrle", "magicyuv", "flashsv2", "bmp", "apng"}
_LOSSLESS_H264 = "High 4:4:4 Predictive"
_EXACT = {"gray", "rgb24", "bgr24", "gbrp", "bgr0", "rgb0", "0rgb", "0bgr", "rgba", "bgra", "argb", "abgr", "pal8"}
"""Formats of pixels whose levels are stored as they are; all others are converted, which rounds."""

_MAX_THREADS = 16
"""Of a decoder."""

_FILES_ALONE = {
    "protocol_whitelist": "file",
    "format_whitelist": "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,nut,mpegts,mpeg,ogg,flv",
}
"""Play lists would open other files, or addresses; text would be drawn as pictures."""


def open_video(video: Video) -> tuple[Container, Stream]:
    """Open a video, whose pictures will be decoded by slices; the caller closes the first of what is returned.

    Raises:
        DataError: it is no video, or has no pictures that can be read.
    """
    if isinstance(video, Path) and video.exists() and not video.is_file():  # a pipe could be waited for for ever
        raise DataError("is not a regular file", file=str(video), fix="expected a video")
    try:
        container = av.open(_source(video), "r", options=_FILES_ALONE)
    except (av.FFmpegError, OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or shown(error, 100)
        raise DataError(f"cannot be opened as a video: {why}", file=str(video), fix=WHOLE) from None
    try:
        return container, _pictures_of(container, video)
    except BaseException:
        container.close()
        raise


def _source(video: Video) -> str | PartOfFile:
    match video:
        case Path():
            return str(video)
        case Member(shard=shard, offset=offset, size=size, patience=patience):
            return PartOfFile(shard, offset, size, patience)
        case _:
            assert_never(video)


@contextlib.contextmanager
def opened(video: Video) -> Iterator[tuple[Container, Stream]]:
    """Open a video for as long as it is needed; see `open_video`."""
    container, stream = open_video(video)
    with container:
        yield container, stream


def _pictures_of(container: Container, video: Video) -> Stream:
    if not container.streams.video:
        raise DataError("holds no pictures", file=str(video), fix="expected a video")
    stream = container.streams.video[0]
    # Of a file that is cut off, what FFmpeg cannot find out about its pictures is missing.
    size = (0, 0) if stream.codec_context is None else (stream.height, stream.width)
    if not 0 < size[0] * size[1] <= MAX_PICTURE_PIXELS:
        what = f"has pictures of {size[1]}x{size[0]} pixels"
        raise DataError(what, file=str(video), fix=f"{AGAIN}, or expected smaller ones")
    stream.thread_type = "SLICE"  # frames in several threads would come late, and after a seek in vain
    # As many as pictures are worked on by in this process: processes that read clips have one.
    stream.codec_context.thread_count = min(cv2.getNumThreads(), _MAX_THREADS)
    stream.codec_context.options = {"err_detect": "explode"}  # rather than pixels that somebody made up
    return stream


def is_grey(stream: Stream) -> bool:
    """Tell whether the first plane of frames is greys as they were written.

    Greys of H.264 are decoded as `yuv420p`. Whether they were greys is said in the sequence parameters, behind profile
    and level: the first of them (their number, the coding of colours) are zeros, each written as a bit that is set.
    """
    context = stream.codec_context
    data = context.extradata or b""
    return context.pix_fmt == "gray" or (context.name == "h264" and data[:1] == b"\1" and data[12:13] >= b"\xc0")


def require_exact(stream: Stream, video: Video) -> None:
    """See that levels come out as they went in, since they are ids.

    Raises:
        DataError: they do not.
    """
    context = stream.codec_context
    keeps = context.name in _CODECS or (context.name == "h264" and context.profile == _LOSSLESS_H264)
    if not keeps:
        what = f"is encoded as {context.name}, which changes levels that are class ids"
        raise DataError(what, file=str(video), fix=LOSSLESS)
    if context.pix_fmt not in _EXACT and not is_grey(stream):
        what = f"stores pixels as {context.pix_fmt}, which rounds levels that are class ids"
        raise DataError(what, file=str(video), fix=LOSSLESS)


def is_cut_short(container: Container, stream: Stream, count: int, end: float, longest: float = 0.0) -> bool:
    """Say whether a file says of itself that it has more frames, or lasts longer, than was found in it.

    Args:
        container: the file.
        stream: its pictures.
        count: how many were found.
        end: time of the last of them, seconds.
        longest: that one of them is shown, seconds: the last may be shown as long; 0: nobody knows.
    """
    if stream.frames:
        return count < stream.frames
    if not container.duration or not stream.average_rate or len(container.streams) > 1:
        return False  # nobody knows, or sound may last longer than pictures
    return end + 2.5 * max(longest, 1 / float(stream.average_rate)) < container.duration / av.time_base


def next_of(decoded: Iterator[av.VideoFrame], video: Video, index: int) -> av.VideoFrame | None:
    """Decode one frame more; None: there is none.

    Args:
        decoded: what decodes.
        video: where it is, for messages.
        index: number of the frame, for messages.

    Raises:
        DataError: it cannot be decoded.
    """
    try:
        return next(decoded, None)
    except av.FFmpegError as error:
        what = f"frame {index} cannot be decoded: {error.strerror}"
        raise DataError(what, file=str(video), fix=AGAIN) from None


def check_frame(frame: av.VideoFrame, stream: Stream, video: Video, index: int) -> None:
    """Raise `DataError` unless a frame is whole, and as large as its video says."""
    if frame.is_corrupt:
        raise DataError(f"frame {index} is damaged", file=str(video), fix=AGAIN)
    if (frame.height, frame.width) != (stream.height, stream.width):
        what = f"is {frame.width}x{frame.height} pixels, the video is {stream.width}x{stream.height}"
        raise DataError(what, file=f"{video} frame {index}", fix="bring the frames of a video to one size")
