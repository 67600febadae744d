"""What is remembered of a file that was looked at: enough to compare the frames of a sequence by."""

import zlib
from collections.abc import Sequence
from typing import Any, TypeAlias

import attrs
import numpy as np
from numpy.typing import NDArray

from vs_data.findings import Finding

Size: TypeAlias = tuple[int, int]
"""(H, W), pixels."""


@attrs.frozen(kw_only=True, eq=False)
class Trace:
    """A trace of one file of a frame, a few kilobytes at most.

    Attributes:
        digest: Of what it holds; equal contents have equal ones.
        thumb: (16,16,3) uint8 of a picture; None: it is no picture.
        points: (68,2) landmarks of a face, or (n,3) keypoints of a person; None: there are none.
    """

    digest: int
    thumb: NDArray[np.uint8] | None = None
    points: NDArray[np.float64] | None = None


Traces: TypeAlias = Sequence[Trace | None]
"""One trace per frame of a sequence; None where nothing was opened or could be read."""


@attrs.frozen(kw_only=True, eq=False)
class Seen:
    """The outcome of a look at one file.

    Attributes:
        size: Of what it holds; None: it has no size of its own.
        trace: To compare it with those of other frames; None: there is nothing to compare.
        counts: (256,) pixels of each class id, of what holds class ids.
        findings: What is wrong with it, for itself.
        notes: What its reader says of it, which many files can share.
    """

    size: Size | None = None
    trace: Trace | None = None
    counts: NDArray[np.uint32] | None = None
    findings: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()


def digest_of(values: NDArray[Any]) -> int:
    """Return a number that is the same for equal arrays, and hardly ever for others."""
    return zlib.crc32(np.ascontiguousarray(values).data)


def size_of(pixels: NDArray[Any]) -> Size:
    """Return (H, W) of an array (H,W,...)."""
    return pixels.shape[0], pixels.shape[1]
