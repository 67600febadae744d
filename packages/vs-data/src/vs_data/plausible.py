"""Whether a sequence can be what it claims to be, frame after frame of one scene and one subject, by small traces.

Everything here is a warning: what looks like a mistake may be meant. Neighbours are compared where both were opened.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from vs_data.findings import Finding, some, warning
from vs_data.outlines import outline_of_values
from vs_data.seen import Trace, Traces, digest_of

_THUMB = 16  # pixels: coarse enough that motion changes it little
_MIN_CUT = 12.0  # mean change of a thumbnail, of 255; the procedural worlds change by 8 at most, real clips by 3
_MIN_CUT_ALONE = 40.0  # the same where too few frames say what is usual; two streets differ by 20 to 40
_MIN_CUT_RATIO = 3.0  # times the usual change; within the worlds, however fast, 2.3 times the median is the greatest
_REACH = 4  # differences on either side of a cut that say what is usual just there, as when a camera begins to turn
_FEW_CHANGES = 3
_MIN_STILL_FRAMES = 3  # equal labels are nothing strange in shorter sequences, nor while hardly anything moves:
_MIN_VISIBLE_CHANGE = 1.0  # change of a thumbnail, of 255; of somebody who speaks it is 3, of noise and breath 0.05


def picture_trace(pixels: NDArray[np.uint8]) -> Trace:
    """Return the trace of a picture (H,W,3)."""
    thumb = cv2.resize(pixels, (_THUMB, _THUMB), interpolation=cv2.INTER_AREA)
    return Trace(digest=digest_of(pixels), thumb=np.asarray(thumb, np.uint8), outline=outline_of_values(pixels))


def check_pictures(place: str, names: Sequence[str], traces: Traces) -> Iterator[Finding]:
    """Warn of frames that repeat the one before, and of cuts.

    Args:
        place: The folder of the pictures.
        names: Of the frames.
        traces: Of their pictures.
    """
    repeated = [name for name, before, after in _neighbours(names, traces) if before.digest == after.digest]
    if repeated:
        what = f"{len(repeated)} of {len(names)} frames repeat the picture before them: {some(repeated)}"
        fix = "fine for a scene that stands still; else remove the copies, and what belongs to them"
        yield warning("repeated frames", place, what, fix)
    again = _seen_before(names, traces)
    if again:
        what = f"{len(again)} of {len(names)} frames show a picture that was there earlier already: {some(again)}"
        fix = "fine for what moves to and fro; else see whether parts of the sequence were copied twice"
        yield warning("pictures that come again", place, what, fix)
    cuts = _cuts(names, traces)
    if cuts:
        where = some([f"between {before} and {after}" for before, after in cuts])
        what = f"the scene changes at once, as at a cut: {where}"
        yield warning("cuts", place, what, "split the sequence there: a sequence shows one scene")


def check_labels(place: str, traces: Traces, pictures: Traces) -> Iterator[Finding]:
    """Warn of labels, of whatever kind, that stay the same while the pictures change.

    Args:
        place: The folder of the labels.
        traces: Of their labels.
        pictures: Of their pictures.
    """
    both = [(label, picture) for label, picture in zip(traces, pictures, strict=True) if label and picture]
    still = len({label.digest for label, _ in both}) == 1
    moving = still and max(_change(both[0][1], picture) for _, picture in both) > _MIN_VISIBLE_CHANGE
    if moving and len(both) >= _MIN_STILL_FRAMES:
        what = f"the labels of all {len(both)} frames are the same, while the pictures change"
        yield warning("labels that never change", place, what, "see that each frame has labels of its own")


def _neighbours(names: Sequence[str], traces: Traces) -> Iterator[tuple[str, Trace, Trace]]:
    """Yield (name, trace before, trace) of each frame whose neighbour before was opened too."""
    for name, (before, after) in zip(names[1:], pairwise(traces), strict=True):
        if before is not None and after is not None:
            yield name, before, after


def _seen_before(names: Sequence[str], traces: Traces) -> list[str]:
    """Return the frames whose picture is that of an earlier one, after others that look different."""
    seen: set[tuple[int, bytes]] = set()
    found = []
    before = None
    for name, trace in zip(names, traces, strict=True):
        if trace is None or trace.thumb is None:
            continue
        picture = trace.digest, trace.thumb.tobytes()
        if picture in seen and _change(before, trace) > _MIN_VISIBLE_CHANGE:
            found.append(name)
        seen.add(picture)
        before = trace
    return found


def _cuts(names: Sequence[str], traces: Traces) -> list[tuple[str, str]]:
    """Return between which frames the picture changes far more than elsewhere in the sequence, and just there."""
    changes = np.array([_change(before, after) for before, after in pairwise(traces)])
    moving = changes[changes > 0]  # repeated frames do not say how fast things move; nor does what was not opened
    found = []
    for index in np.flatnonzero(changes > _MIN_CUT).tolist():
        around = np.concatenate([changes[max(index - _REACH, 0) : index], changes[index + 1 : index + 1 + _REACH]])
        around = around[around > 0]
        least = _MIN_CUT_ALONE if len(moving) <= _FEW_CHANGES else _MIN_CUT_RATIO * float(np.median(moving))
        if changes[index] > max(least, _MIN_CUT_RATIO * float(np.median(around)) if len(around) else 0.0):
            found.append((names[index], names[index + 1]))
    return found


def _change(before: Trace | None, after: Trace | None) -> float:
    """Return the mean change of the thumbnail, of 255; NaN where one is missing."""
    if before is None or after is None or before.thumb is None or after.thumb is None:
        return float("nan")
    return float(np.abs(after.thumb.astype(np.int16) - before.thumb).mean())
