"""How much data there is: how long it lasts and how many bytes it takes."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import attrs
import numpy as np

from vs_data.content import Content, Contents, FramesOfVideo, Member, all_in
from vs_data.errors import DataError
from vs_data.layout import IMAGES, FrameFiles
from vs_data.videos import index_of

USUAL_FPS = 25.0
"""Frames per second of what does not say it."""


@attrs.frozen(kw_only=True)
class Amount:
    """An amount of data.

    Attributes:
        seconds: How long all sequences last.
        fps: Frames per second that were taken where frames are files of their own; None: all are frames of videos.
        size: Folder -> bytes of its files; of those that are there.
    """

    seconds: float
    fps: float | None
    size: dict[str, int]


def amount_of(sequences: Sequence[FrameFiles], fps: float) -> Amount:
    """Return how much there is in some sequences; `fps`: of frames that are files of their own."""
    pictures = [files.files[IMAGES] for files in sequences]
    lasting = [seconds_of(contents) for contents in pictures]
    still = sum(contents.count for contents, seconds in zip(pictures, lasting, strict=True) if seconds is None)
    folders = {name: None for files in sequences for name in files.files}
    return Amount(
        seconds=still / fps + sum(seconds for seconds in lasting if seconds is not None),
        fps=fps if still else None,
        size={name: sum(_sizes(files.files[name] for files in sequences)) for name in folders},
    )


def seconds_of(contents: Contents) -> float | None:
    """Return how long the frames of a video are shown; None: they are none, or it cannot be read."""
    match contents:
        case FramesOfVideo(video=video, first=first, count=count) if count:
            try:
                times = index_of(video).seconds[first : first + count]
            except DataError:
                return None
            usual = float(np.median(np.diff(times))) if len(times) > 1 else 1 / USUAL_FPS
            return float(times[-1] - times[0]) + usual
        case _:
            return None


def _sizes(found: Iterator[Contents]) -> Iterator[int]:
    """Yield the bytes of each file, a video's once."""
    for contents in found:
        match contents:
            case FramesOfVideo(video=video):
                yield _size(video)
            case _:
                yield from map(_size, all_in(contents))


def _size(content: Content) -> int:
    match content:
        case Member(size=size):
            return size
        case Path():
            try:
                return content.stat().st_size
            except OSError:
                return 0
        case _:
            return _size(content.video)
