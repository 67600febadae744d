"""Any frame of a video by its number, and what a process keeps of videos to be quick about it."""

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TypeAlias

import attrs
import av
import numpy as np
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from vs_data.content import FrameOfVideo
from vs_data.errors import DataError
from vs_data.videos.index import VideoIndex, index_of
from vs_data.videos.opening import (
    AGAIN,
    Container,
    Stream,
    Video,
    check_frame,
    is_grey,
    next_of,
    open_video,
    require_exact,
)
from vs_data.videos.pixels import check_colours, levels, notes_on, shown_pixels

_MAX_OPEN = 16
"""Videos that a process keeps open."""

_KEPT_ON_THE_WAY = 16
"""Frames just before one that is asked for that are kept too: another thread may be about to ask for them."""


_PassOver: TypeAlias = Callable[[int, av.VideoFrame], None]


@attrs.frozen(kw_only=True, eq=False)
class Shown:
    """A frame of a video as it is read.

    Attributes:
        pixels: (H,W,3) RGB, or the levels (H,W) or (H,W,3).
        notes: What was done to it, or is unusual about it.
    """

    pixels: NDArray[np.uint8]
    notes: tuple[str, ...] = ()


def read_shown(content: FrameOfVideo) -> Shown:
    """Return a frame as a player shows it: (H,W,3) RGB, turned upright; the same pixels in whatever order it is asked.

    Raises:
        DataError: the video cannot be read, has no such frame, or it is damaged.
    """
    return _read(content, exact=False)


def read_levels(content: FrameOfVideo) -> Shown:
    """Return the levels of a frame of a lossless video, exactly as they were written: greys (H,W), else (H,W,3) RGB.

    Raises:
        DataError: as `read_shown`, or the video has lost levels.
    """
    return _read(content, exact=True)


@attrs.define(kw_only=True, eq=False)
class _Reader:
    """An open video: its decoder goes forward, and elsewhere only when it must."""

    video: Video
    index: VideoIndex
    exact: bool
    container: Container
    stream: Stream
    decoded: Iterator[av.VideoFrame]
    after: int = 0  # number of the frame that comes next, at the earliest
    closed: bool = False  # it is kept no longer
    reformatter: VideoReformatter = attrs.field(factory=VideoReformatter)
    lock: threading.Lock = attrs.field(factory=threading.Lock)


@attrs.define(kw_only=True, eq=False)
class _Kept:
    """The things that a process keeps: open videos, and the frames that were decoded last."""

    readers: OrderedDict[tuple[VideoIndex, bool], _Reader] = attrs.field(factory=OrderedDict)
    frames: OrderedDict[tuple[VideoIndex, bool, int], Shown] = attrs.field(factory=OrderedDict)
    size: int = 0  # bytes of the frames
    lock: threading.Lock = attrs.field(factory=threading.Lock)


_kept_by: dict[int, _Kept] = {}
"""Process -> what it keeps. What a parent keeps is of no use to its children: they would share positions in files."""


def _read(content: FrameOfVideo, *, exact: bool) -> Shown:
    kept, index = _kept_by.setdefault(os.getpid(), _Kept()), index_of(content.video)
    if not 0 <= content.frame < index.count:
        what = f"has no frame {content.frame} (counted from 0), but {index.count} frames"
        raise DataError(what, file=str(content.video), fix="name frames that it has")
    while True:
        with kept.lock:
            found = kept.frames.get((index, exact, content.frame))
            reader = None if found else _reader_of(kept, content.video, index, exact=exact)
            surplus = _surplus_of(kept)
        for other in surplus:
            _close(other)
        if found is not None:
            return found
        assert reader is not None  # noqa: S101 - what is not kept has just got one
        with reader.lock:
            if not reader.closed:  # by another thread, since
                return _decode(kept, reader, content)


def _reader_of(kept: _Kept, video: Video, index: VideoIndex, *, exact: bool) -> _Reader:
    reader = kept.readers.get((index, exact))
    if reader is None:
        reader = _opened(video, index, exact=exact)
        kept.readers[index, exact] = reader
    kept.readers.move_to_end((index, exact))
    return reader


def _opened(video: Video, index: VideoIndex, *, exact: bool) -> _Reader:
    container, stream = open_video(video)
    try:
        if exact:
            require_exact(stream, video)
    except DataError:
        container.close()
        raise
    return _Reader(
        video=video, index=index, exact=exact, container=container, stream=stream, decoded=container.decode(stream)
    )


def _surplus_of(kept: _Kept) -> list[_Reader]:
    """Take away those of the open videos that are too many, the longest unused first."""
    return [kept.readers.popitem(last=False)[1] for _ in range(len(kept.readers) - _MAX_OPEN)]


def _close(reader: _Reader) -> None:
    """Close a video, once nobody decodes it: its file and threads would else wait for a collection of garbage."""
    with reader.lock:
        reader.closed = True
        reader.container.close()


def _decode(kept: _Kept, reader: _Reader, content: FrameOfVideo) -> Shown:
    def keep(number: int, frame: av.VideoFrame) -> Shown:
        shown = _pixels(reader, frame)
        _remember(kept, (reader.index, reader.exact, number), shown, content.room)
        return shown

    def pass_over(number: int, frame: av.VideoFrame) -> None:
        if content.room and content.frame - number <= _KEPT_ON_THE_WAY and not frame.is_corrupt:
            keep(number, frame)

    frame = _find(reader, content.frame, pass_over)
    check_frame(frame, reader.stream, reader.video, content.frame)
    return keep(content.frame, frame)


def _pixels(reader: _Reader, frame: av.VideoFrame) -> Shown:
    grey = is_grey(reader.stream)
    if reader.exact:
        return Shown(pixels=levels(frame, grey=grey), notes=tuple(notes_on(frame)))
    check_colours(frame, reader.video)
    return Shown(pixels=shown_pixels(frame, reader.reformatter, grey=grey), notes=tuple(notes_on(frame)))


def _remember(kept: _Kept, key: tuple[VideoIndex, bool, int], shown: Shown, room: int) -> None:
    with kept.lock:
        if key in kept.frames or shown.pixels.nbytes > room:
            return
        shown.pixels.setflags(write=False)  # it is handed out more than once
        kept.frames[key] = shown
        kept.size += shown.pixels.nbytes
        while kept.size > room:
            kept.size -= kept.frames.popitem(last=False)[1].pixels.nbytes


def _find(reader: _Reader, wanted: int, pass_over: _PassOver) -> av.VideoFrame:
    """Decode up to a frame: from where the decoder is, else from the last frame before it that decoding can begin at.

    Where that fails, as it may where frames are made of some before such a beginning, an earlier one is tried.
    """
    key = reader.index.key_before(wanted)
    if key <= reader.after <= wanted:
        with suppress(DataError):
            return _advance(reader, wanted, pass_over)
    earlier = reader.index.key_before(max(key - 1, 0))
    for start in dict.fromkeys((key, earlier)):
        with suppress(DataError):
            _move(reader, start)
            return _advance(reader, wanted, _let_go)
    _move(reader, 0)
    return _advance(reader, wanted, _let_go)


def _move(reader: _Reader, start: int) -> None:
    """Let the next frame that is decoded be this one, or one before it."""
    if start == 0 or not reader.index.exact:
        container, stream = open_video(reader.video)
        reader.container.close()
        reader.container, reader.stream = container, stream
        reader.after = 0
    else:
        _seek(reader, int(reader.index.times[start]))
        reader.after = start
    reader.decoded = reader.container.decode(reader.stream)


def _seek(reader: _Reader, time: int) -> None:
    try:
        reader.container.seek(time, stream=reader.stream)
    except av.FFmpegError as error:
        raise DataError(f"cannot be searched: {error.strerror}", file=str(reader.video), fix=AGAIN) from None


def _advance(reader: _Reader, wanted: int, pass_over: _PassOver) -> av.VideoFrame:
    while (frame := next_of(reader.decoded, reader.video, reader.after)) is not None:
        number = reader.index.frame_at(frame.pts) if reader.index.exact else reader.after
        if number is None:  # it is not shown
            continue
        reader.after = number + 1
        if number == wanted:
            return frame
        if number > wanted:
            break
        pass_over(number, frame)
    reader.after = reader.index.count  # nobody knows where the decoder is
    raise DataError(f"frame {wanted} is not there", file=str(reader.video), fix=AGAIN)


def _let_go(_number: int, _frame: av.VideoFrame) -> None:
    """Keep nothing of what only leads to a frame."""
