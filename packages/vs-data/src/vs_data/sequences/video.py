"""Videos whose frames are labels, and frames of videos as pictures, decoded one at a time."""

import contextlib
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from vs_config import shown

from vs_data.errors import DataError
from vs_data.files import MAX_PICTURE_PIXELS
from vs_data.geometry import apply_to_image, plan_geometry
from vs_data.labels import LabelKind, handler_of, has_files
from vs_data.labels.class_ids import LOSSLESS
from vs_data.seen import Size, size_of
from vs_data.sequences.frames import LabelFrame, LabelRequest, LabelSequence
from vs_data.sequences.motion import refuse_motion

VIDEO_EXTENSIONS = (".mp4", ".mkv", ".webm", ".mov", ".avi", ".m4v", ".nut")

_LOSSLESS = {"ffv1", "huffyuv", "ffvhuff", "utvideo", "png", "rawvideo", "qtrle", "magicyuv", "flashsv2", "bmp", "apng"}
_LOSSLESS_H264 = "High 4:4:4 Predictive"
_EXACT = {"gray", "rgb24", "bgr24", "gbrp", "bgr0", "rgb0", "0rgb", "0bgr", "rgba", "bgra", "argb", "abgr", "pal8"}
"""Formats of pixels whose levels are stored as they are; all others are converted, which rounds."""

_FILES_ALONE = {
    "protocol_whitelist": "file",
    "format_whitelist": "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,nut,mpegts,mpeg,ogg,flv",
}
"""Play lists would open other files, or addresses; text would be drawn as pictures."""


def open_video_labels(path: Path, how: LabelRequest) -> LabelSequence:
    """Open a video whose frames are labels of one kind, or what labels of any number of kinds are computed from.

    Grey levels are class ids, stored without loss; of drawn maps (edges of a face) 255 is 1, whatever the format.
    Frames that labels are computed from are brought to the size of the model's as training does it.

    Raises:
        DataError: it is no video, loses levels that are ids, or the model takes several kinds of label, or motion.
    """
    refuse_motion(how, str(path), "a video")
    if not any(map(has_files, how.kinds)):
        return _of_frames(path, how)
    if len(how.kinds) > 1:
        names = ", ".join(kind.folder for kind in how.kinds)
        raise DataError(
            "one video cannot hold several kinds of label", file=str(path), fix=f"name a folder with {names}"
        )
    (kind,) = how.kinds
    with _opened(path) as (_, stream):
        if handler_of(kind).exact_levels:
            _require_exact(stream, path)
        size = stream.height, stream.width
        return _sequence(path, stream, size, partial(_read, path, kind, how.frames), how)


def _of_frames(path: Path, how: LabelRequest) -> LabelSequence:
    """Open a video whose frames all labels are computed from."""
    with _opened(path) as (_, stream):
        return _sequence(path, stream, how.size, partial(_computed, path, how), how)


def _sequence(
    path: Path,
    stream: av.video.stream.VideoStream,
    size: Size,
    read: Callable[[], Iterator[LabelFrame]],
    how: LabelRequest,
) -> LabelSequence:
    frames = how.limit(stream.frames) if stream.frames else how.frames
    fps = float(stream.average_rate) if stream.average_rate else None
    return LabelSequence(name=path.stem, frames=frames, size=size, read=read, fps=fps)


def _computed(path: Path, how: LabelRequest) -> Iterator[LabelFrame]:
    for index, picture in enumerate(islice(video_frames(path), how.frames)):
        geometry = plan_geometry(size_of(picture), how.size, how.augment, None)
        small, where = apply_to_image(geometry, picture), f"{path} frame {index}"
        labels = {kind.folder: handler_of(kind).of_levels(small, where) for kind in how.kinds}
        yield LabelFrame(labels=labels, name=f"{index:06d}", where=where)


def video_frames(path: Path) -> Iterator[NDArray[np.uint8]]:
    """Yield the frames of a video in the order in which they are shown, (H,W,3) RGB, turned upright.

    Raises:
        DataError: it is no video, a frame is damaged or of another size, or it ends before its last frame.
    """
    with _opened(path) as (container, stream):
        for frame in _decoded(path, container, stream):
            pixels = np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
            yield np.ascontiguousarray(np.rot90(pixels, round(frame.rotation / 90)))


def _decoded(
    path: Path, container: av.container.InputContainer, stream: av.video.stream.VideoStream
) -> Iterator[av.VideoFrame]:
    stream.thread_type = "SLICE"
    stream.codec_context.options = {"err_detect": "explode"}  # rather than pixels that somebody made up
    decoded = container.decode(stream)
    count, end = 0, 0.0
    while (frame := _next(decoded, path, count)) is not None:
        if (frame.height, frame.width) != (stream.height, stream.width):
            what = f"is {frame.width}x{frame.height} pixels, the video is {stream.width}x{stream.height}"
            raise DataError(what, file=f"{path} frame {count}", fix="bring the frames of a video to one size")
        count, end = count + 1, frame.time or end
        yield frame
    if count == 0:
        raise DataError("holds no frames", file=str(path), fix="expected a video")
    if _is_cut_short(container, stream, count, end):
        raise DataError(f"ends after frame {count - 1}, before its last", file=str(path), fix="copy it again")


def _is_cut_short(
    container: av.container.InputContainer, stream: av.video.stream.VideoStream, count: int, end: float
) -> bool:
    """Say whether a file says of itself that it has more frames, or lasts longer, than was found in it.

    Args:
        container: the file.
        stream: its pictures.
        count: how many were found.
        end: time of the last of them, seconds.
    """
    if stream.frames:
        return count < stream.frames
    if not container.duration or not stream.average_rate or len(container.streams) > 1:
        return False  # nobody knows, or sound may last longer than pictures
    return end + 2.5 / float(stream.average_rate) < container.duration / av.time_base


def _read(path: Path, kind: LabelKind, most: int | None) -> Iterator[LabelFrame]:
    with _opened(path) as (container, stream):
        levels = _first_plane if _is_grey(stream) else _colours
        for index, frame in enumerate(_decoded(path, container, stream)):
            if index == most:
                return
            where = f"{path} frame {index}"
            labels = {kind.folder: handler_of(kind).of_levels(levels(frame), where)}
            yield LabelFrame(labels=labels, name=f"{index:06d}", where=where)


def _colours(frame: av.VideoFrame) -> NDArray[np.uint8]:
    return np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)


def _first_plane(frame: av.VideoFrame) -> NDArray[np.uint8]:
    """Return the greys (H,W) of a frame as they are stored."""
    plane = frame.planes[0]
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
    return np.array(rows[: frame.height, : frame.width], np.uint8)


def _is_grey(stream: av.video.stream.VideoStream) -> bool:
    """Tell whether the first plane of frames is greys as they were written.

    Greys of H.264 are decoded as `yuv420p`. Whether they were greys is said in the sequence parameters, behind profile
    and level: the first of them (their number, the coding of colours) are zeros, each written as a bit that is set.
    """
    context = stream.codec_context
    data = context.extradata or b""
    return context.pix_fmt == "gray" or (context.name == "h264" and data[:1] == b"\1" and data[12:13] >= b"\xc0")


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[tuple[av.container.InputContainer, av.video.stream.VideoStream]]:
    """Open the pictures of a video; `DataError` when there are none."""
    try:
        container = av.open(str(path), "r", options=_FILES_ALONE)
    except (av.FFmpegError, OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or shown(error, 100)
        raise DataError(f"cannot be opened as a video: {why}", file=str(path), fix="expected a video") from None
    with container:
        if not container.streams.video:
            raise DataError("holds no pictures", file=str(path), fix="expected a video")
        stream = container.streams.video[0]
        # Of a file that is cut off, what FFmpeg cannot find out about its pictures is missing.
        size = (0, 0) if stream.codec_context is None else (stream.height, stream.width)
        if not 0 < size[0] * size[1] <= MAX_PICTURE_PIXELS:
            what = f"has pictures of {size[1]}x{size[0]} pixels"
            raise DataError(what, file=str(path), fix="copy it again, or expected smaller ones")
        yield container, stream


def _next(decoded: Iterator[av.VideoFrame], path: Path, index: int) -> av.VideoFrame | None:
    try:
        frame = next(decoded, None)
    except av.FFmpegError as error:
        what = f"frame {index} cannot be decoded: {error.strerror}"
        raise DataError(what, file=str(path), fix="copy it again") from None
    if frame is not None and frame.is_corrupt:
        raise DataError(f"frame {index} is damaged", file=str(path), fix="copy it again")
    return frame


def _require_exact(stream: av.video.stream.VideoStream, path: Path) -> None:
    """See that levels come out as they went in, since they are ids."""
    context = stream.codec_context
    keeps = context.name in _LOSSLESS or (context.name == "h264" and context.profile == _LOSSLESS_H264)
    if not keeps:
        what = f"is encoded as {context.name}, which changes levels that are class ids"
        raise DataError(what, file=str(path), fix=LOSSLESS)
    if context.pix_fmt not in _EXACT and not _is_grey(stream):
        what = f"stores pixels as {context.pix_fmt}, which rounds levels that are class ids"
        raise DataError(what, file=str(path), fix=LOSSLESS)
