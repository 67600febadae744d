"""All frames of a video in the order in which they are shown, one at a time, without looking at its end first."""

from collections.abc import Iterator

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from vs_data.errors import DataError
from vs_data.videos.index import index_of
from vs_data.videos.opening import (
    AGAIN,
    WHOLE,
    Container,
    Stream,
    Video,
    check_frame,
    is_cut_short,
    is_grey,
    next_of,
    opened,
)
from vs_data.videos.pixels import check_colours, levels, shown_pixels


def video_frames(video: Video) -> Iterator[NDArray[np.uint8]]:
    """Yield the frames of a video as a player shows them, (H,W,3) RGB, turned upright.

    Raises:
        DataError: it is no video, a frame is damaged or of another size, or it ends before its last frame.
    """
    with opened(video) as (container, stream):
        reformatter, grey = VideoReformatter(), is_grey(stream)
        for frame in _decoded(video, container, stream):
            check_colours(frame, video)
            yield shown_pixels(frame, reformatter, grey=grey)


def video_levels(video: Video) -> Iterator[NDArray[np.uint8]]:
    """Yield the levels of the frames of a video: greys (H,W) as they are stored, else (H,W,3) RGB; nothing is turned.

    Raises:
        DataError: as `video_frames`.
    """
    with opened(video) as (container, stream):
        grey = is_grey(stream)
        for frame in _decoded(video, container, stream):
            yield levels(frame, grey=grey)


def _decoded(video: Video, container: Container, stream: Stream) -> Iterator[av.VideoFrame]:
    decoded = container.decode(stream)
    count, end = 0, 0.0
    while (frame := next_of(decoded, video, count)) is not None:
        check_frame(frame, stream, video, count)
        count, end = count + 1, frame.time or end
        yield frame
    if count == 0:
        raise DataError("holds no frames", file=str(video), fix=WHOLE)
    if is_cut_short(container, stream, count, end) and not _has(video, count):
        raise DataError(f"ends after frame {count - 1}, before its last", file=str(video), fix=AGAIN)


def _has(video: Video, count: int) -> bool:
    """Tell whether so many frames are all: a file may hold others that are not shown."""
    try:
        return index_of(video).count == count
    except DataError:
        return False
