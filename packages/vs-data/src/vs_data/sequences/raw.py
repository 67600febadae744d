"""Labels out of a pipe: raw bytes, a frame after the other."""

from collections.abc import Iterator
from functools import partial
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from vs_data.errors import DataError
from vs_data.labels import handler_of
from vs_data.sequences.frames import LabelFrame, LabelRequest, LabelSequence
from vs_data.sequences.motion import refuse_motion

PIPE = "standard input"


def open_raw_labels(stream: BinaryIO, how: LabelRequest) -> LabelSequence:
    """Open raw labels: of each frame a byte per pixel, rows from the top, for each kind one after the other.

    A byte is a class id; of drawn maps (edges of a face) 255 is 1. The stream is read once, as it comes.
    """
    refuse_motion(how, PIPE, "a pipe")
    return LabelSequence(name="stdin", frames=how.frames, size=how.size, read=partial(_read, stream, how))


def _read(stream: BinaryIO, how: LabelRequest) -> Iterator[LabelFrame]:
    height, width = how.size
    wanted = height * width * len(how.kinds)
    index = 0
    while index != how.frames and (data := _take(stream, wanted)):
        where = f"{PIPE} frame {index}"
        if len(data) < wanted:
            what = f"ends after {len(data)} of {wanted} bytes ({len(how.kinds)} x {height} x {width})"
            raise DataError(what, file=where, fix="send whole frames, or give their --size HEIGHTxWIDTH")
        maps: NDArray[np.uint8] = np.frombuffer(data, np.uint8).reshape(len(how.kinds), height, width).copy()
        labels = {
            kind.folder: handler_of(kind).of_levels(pixels, where) for kind, pixels in zip(how.kinds, maps, strict=True)
        }
        yield LabelFrame(labels=labels, name=f"{index:06d}", where=where)
        index += 1
    if index == 0:
        raise DataError("holds no frames", file=PIPE, fix="send a byte per pixel, rows from the top")


def _take(stream: BinaryIO, count: int) -> bytes:
    """Read so many bytes, fewer only at the end: a pipe hands over what has come."""
    parts = []
    while count > 0 and (part := stream.read(count)):
        parts.append(part)
        count -= len(part)
    return b"".join(parts)
