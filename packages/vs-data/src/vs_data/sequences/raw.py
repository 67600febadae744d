"""Labels out of a pipe: raw bytes, a frame after the other."""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from vs_data.errors import DataError
from vs_data.labels import handler_of, source_of
from vs_data.sequences.frames import LabelFrame, LabelRequest, LabelSequence
from vs_data.sequences.motion import refuse_motion

PIPE = "standard input"


def open_raw_labels(stream: BinaryIO, how: LabelRequest) -> LabelSequence:
    """Open raw labels: of each frame a byte per pixel, rows from the top, for each kind one after the other.

    A byte is a class id; of drawn maps (edges of a face) 255 is 1. Kinds that are pictures have a byte for each of
    their channels, as RGB; for all kinds that are computed from frames there is one frame. The stream is read once, as
    it comes.
    """
    refuse_motion(how, PIPE, "a pipe")
    return LabelSequence(name="stdin", frames=how.frames, size=how.size, read=partial(_read, stream, how))


def _read(stream: BinaryIO, how: LabelRequest) -> Iterator[LabelFrame]:
    height, width = how.size
    channels = {source_of(kind): handler_of(kind).level_channels for kind in how.kinds}
    layers = sum(channels.values())
    wanted = height * width * layers
    index = 0
    while index != how.frames and (data := _take(stream, wanted)):
        where = f"{PIPE} frame {index}"
        if len(data) < wanted:
            what = f"ends after {len(data)} of {wanted} bytes ({layers} x {height} x {width})"
            raise DataError(what, file=where, fix="send whole frames, or give their --size HEIGHTxWIDTH")
        maps = _parted(data, channels, how.size)
        labels = {kind.folder: handler_of(kind).of_levels(maps[source_of(kind)], where) for kind in how.kinds}
        yield LabelFrame(labels=labels, name=f"{index:06d}", where=where)
        index += 1
    if index == 0:
        raise DataError("holds no frames", file=PIPE, fix="send a byte per pixel, rows from the top")


def _parted(data: bytes, channels: Mapping[str, int], size: tuple[int, int]) -> dict[str, NDArray[np.uint8]]:
    """Take the bytes of a frame apart: (H,W) of what has one channel, else (H,W,C)."""
    pixels: NDArray[np.uint8] = np.frombuffer(data, np.uint8).reshape(-1, *size).copy()
    maps: dict[str, NDArray[np.uint8]] = {}
    for source, count in channels.items():
        maps[source] = pixels[0] if count == 1 else pixels[:count].reshape(*size, count)
        pixels = pixels[count:]
    return maps


def _take(stream: BinaryIO, count: int) -> bytes:
    """Read so many bytes, fewer only at the end: a pipe hands over what has come."""
    parts = []
    while count > 0 and (part := stream.read(count)):
        parts.append(part)
        count -= len(part)
    return b"".join(parts)
