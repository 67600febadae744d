"""The frames of a video by their numbers: when each is shown, and from which ones decoding can begin."""

import math
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import attrs
import av
import numpy as np
from numpy.typing import NDArray

from vs_data.content import Member, require_whole, version_of
from vs_data.errors import DataError
from vs_data.videos.opening import AGAIN, Container, Stream, Video, is_cut_short, opened

_ODD = 0.25  # of the usual time between frames
_RATE = 25  # frames per second, of what says nothing
_VP8_SHOWN = 0x10  # bit of the first byte of a frame (RFC 6386, 9.1)


class _Packet(NamedTuple):
    time: int | None
    key: bool
    shown: bool


@attrs.frozen(kw_only=True, eq=False)
class VideoIndex:
    """The frames of a video in the order in which they are shown.

    Attributes:
        times: (frames,) when each is shown, in units of the stream.
        unit: Of times, seconds.
        keys: Numbers of those that decoding can begin at, in order; the first is 0.
        exact: Whether frames are found by their times. Otherwise they are counted from the first.
        uneven: Whether times between frames differ.
    """

    times: NDArray[np.int64]
    unit: float
    keys: NDArray[np.int64]
    exact: bool
    uneven: bool

    @property
    def count(self) -> int:
        """Frames that there are."""
        return len(self.times)

    @property
    def seconds(self) -> NDArray[np.float64]:
        """When each frame is shown, (frames,)."""
        return self.times.astype(np.float64) * self.unit

    def key_before(self, frame: int) -> int:
        """Return the last frame at or before a frame that decoding can begin at."""
        return int(self.keys[np.searchsorted(self.keys, frame, side="right") - 1])

    def frame_at(self, time: int | None) -> int | None:
        """Return the number of the frame that is shown at exactly this time, or None."""
        if time is None:
            return None
        frame = int(np.searchsorted(self.times, time))
        return frame if frame < len(self.times) and self.times[frame] == time else None


def index_of(video: Video) -> VideoIndex:
    """Return the index of a video, made once per process for as long as the file does not change.

    The whole file is read, nothing is decoded. Of one in a shard, the checksum is compared.

    Raises:
        DataError: it is no video, is damaged or cut off, or holds no frames.
    """
    return _made(video, *_version(video))


def first_of_last(index: VideoIndex, seconds: float) -> int:
    """Return the first frame of the last so many seconds of a video, whose last frame is shown for the usual time."""
    times = index.seconds
    usual = float(np.median(np.diff(times))) if len(times) > 1 else 0.0
    return int(np.searchsorted(times, times[-1] + usual - seconds - usual / 4))


def _version(video: Video) -> tuple[int, int]:
    try:
        return version_of(video)
    except OSError as error:
        raise DataError(f"cannot be opened as a video: {error.strerror}", file=str(video)) from None


@lru_cache(maxsize=2**16)
def _made(video: Video, _changed: int, _size: int) -> VideoIndex:
    match video:
        case Member():
            require_whole(video)  # decoders see no more than some of the damage that there can be
        case Path():
            pass
    with opened(video) as (container, stream):
        packets = list(_packets(video, container, stream))
        begin = next((number for number, packet in enumerate(packets) if packet.key), 0)
        rate = stream.average_rate or stream.guessed_rate or _RATE
        index = _index(packets[begin:], float(stream.time_base or 0), float(1 / rate))
        if index.count == 0:
            raise DataError("holds no frames", file=str(video), fix="expected a video")
        end = float(index.seconds[-1]) if index.exact else math.inf
        longest = float(np.diff(index.seconds).max(initial=0.0)) if index.exact else 0.0
        if is_cut_short(container, stream, len(packets), end, longest):
            raise DataError(f"ends after frame {index.count - 1}, before its last", file=str(video), fix=AGAIN)
        return index


def _packets(video: Video, container: Container, stream: Stream) -> Iterator[_Packet]:
    """Yield the packets in the order of decoding, without their data; not all of them are shown."""
    vp8 = stream.codec_context.name == "vp8"
    # AVI has no times: what FFmpeg gives for them are those of decoding, which say nothing where frames are reordered.
    timed = container.format.name != "avi" or not stream.codec_context.has_b_frames
    try:
        for packet in container.demux(stream):
            if packet.size:
                # Of VP8, some frames only serve the decoding of others.
                hidden = packet.is_discard or (vp8 and not bytes(packet)[0] & _VP8_SHOWN)
                yield _Packet(packet.pts if timed else None, packet.is_keyframe, not hidden)
    except av.FFmpegError as error:
        raise DataError(f"cannot be read to its end: {error.strerror}", file=str(video), fix=AGAIN) from None


def _index(packets: Sequence[_Packet], unit: float, step: float) -> VideoIndex:
    """Return the index of packets in the order of decoding, the first of which decoding can begin at.

    Args:
        packets: Of all frames.
        unit: Of times, seconds.
        step: From frame to frame, seconds, where there are no times.
    """
    known = [packet.time for packet in packets if packet.time is not None]
    if len(set(known)) < len(packets) or not known:
        count = np.arange(sum(packet.shown for packet in packets), dtype=np.int64)
        return VideoIndex(times=count, keys=count[:1], unit=step, exact=False, uneven=False)
    # What is shown before the first frame that decoding can begin at is not there: what it is made of was cut off.
    timed = [(time, packet) for time, packet in zip(known, packets, strict=True) if time >= known[0]]
    times = np.array(sorted(time for time, packet in timed if packet.shown), np.int64)
    # Decoding may begin at a frame that is not shown: it leads to the next one that is.
    leads = np.searchsorted(times, sorted(time for time, packet in timed if packet.key))
    keys = np.unique(leads[leads < len(times)])
    return VideoIndex(times=times, keys=keys, unit=unit, exact=True, uneven=_is_uneven(times))


def _is_uneven(times: NDArray[np.int64]) -> bool:
    steps = np.diff(times)
    return bool(len(steps) and (np.abs(steps - np.median(steps)) > max(1.0, _ODD * float(np.median(steps)))).any())
