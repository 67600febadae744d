"""Decoded frames as arrays: what a player shows of them, or the levels that are stored."""

from collections.abc import Iterator

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, ColorTrc, Interpolation, VideoReformatter
from numpy.typing import NDArray

from vs_data.errors import DataError
from vs_data.videos.opening import Video

_MATRICES = {1: Colorspace.ITU709, 4: Colorspace.FCC, 5: Colorspace.ITU601, 6: Colorspace.ITU601}
_MATRICES |= {7: Colorspace.SMPTE240M, 9: Colorspace.BT2020, 10: Colorspace.BT2020}
"""FFmpeg's numbers of matrices of YUV (ITU-T H.273, table 4) -> those that are converted by."""

_HIGH_DEFINITION = 720  # rows; from there on, what says nothing of its colours is BT.709 to players, below it BT.601
_HDR = {int(ColorTrc.SMPTE2084): "PQ", int(ColorTrc.ARIB_STD_B67): "HLG"}
_EVERY_PIXEL = Interpolation.BILINEAR | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT


def shown_pixels(frame: av.VideoFrame, reformatter: VideoReformatter, *, grey: bool) -> NDArray[np.uint8]:
    """Return a frame as a player shows it: (H,W,3) RGB, turned upright.

    YUV is converted by the matrix and range that the frame names; BT.709 from 720 rows on, else BT.601, and the limited
    range, where it names none. More than 8 bits are scaled to 8.

    Args:
        frame: as it was decoded.
        reformatter: converts it.
        grey: whether its first plane is greys as they were written.
    """
    if grey:
        return _upright(np.repeat(stored_greys(frame)[..., None], 3, axis=2), frame)
    if frame.format.is_rgb:
        return _upright(_rgb(frame), frame)
    guess = Colorspace.ITU709 if frame.height >= _HIGH_DEFINITION else Colorspace.ITU601
    full = (
        frame.color_range == ColorRange.JPEG or frame.format.name.startswith("yuvj") or frame.format.name[:4] == "gray"
    )
    converted = reformatter.reformat(
        frame,
        format="rgb24",
        src_colorspace=_MATRICES.get(frame.colorspace, guess),
        dst_colorspace=Colorspace.ITU709,
        interpolation=_EVERY_PIXEL,
        src_color_range=ColorRange.JPEG if full else ColorRange.MPEG,
        dst_color_range=ColorRange.JPEG,
        threads=1,
    )
    return _upright(np.asarray(converted.to_ndarray(), np.uint8), frame)


def levels(frame: av.VideoFrame, *, grey: bool) -> NDArray[np.uint8]:
    """Return the levels of a frame as they are stored, never turned: greys (H,W), else (H,W,3) RGB."""
    return stored_greys(frame) if grey else _rgb(frame)


def _rgb(frame: av.VideoFrame) -> NDArray[np.uint8]:
    """Return a frame of RGB, of whatever order, as (H,W,3)."""
    return np.asarray(frame.to_ndarray(format="rgb24", threads=1), np.uint8)


def stored_greys(frame: av.VideoFrame) -> NDArray[np.uint8]:
    """Return the first plane (H,W) of a frame as it is stored."""
    plane = frame.planes[0]
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
    return np.array(rows[: frame.height, : frame.width], np.uint8)


def _upright(pixels: NDArray[np.uint8], frame: av.VideoFrame) -> NDArray[np.uint8]:
    return np.ascontiguousarray(np.rot90(pixels, round(frame.rotation / 90)))


def check_colours(frame: av.VideoFrame, video: Video) -> None:
    """Raise `DataError` where levels of a frame are no colours until somebody decides how bright they are shown."""
    if frame.color_trc in _HDR:
        what = f"is HDR video ({_HDR[frame.color_trc]}), its levels are not those of pictures"
        raise DataError(what, file=str(video), fix="convert it to BT.709 with 8 bits, by ffmpeg's filter tonemap say")


def notes_on(frame: av.VideoFrame) -> Iterator[str]:
    """Yield what was done to a frame, or is unusual about it, in words that all frames of a video share."""
    if frame.interlaced_frame:
        yield "is interlaced: both fields of a frame are read as one picture"
    if frame.rotation:
        yield "is turned as its video says"
    if frame.format.components[0].bits > 8:
        yield f"has {frame.format.components[0].bits} bits per channel, they are scaled to 8"
