"""Whether labels come as many frames as pictures do, but early or late, told by what moves in both."""

from collections.abc import Iterator, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from vs_data.findings import Finding, counted, warning
from vs_data.outlines import Outline
from vs_data.seen import Traces

KEPT_FRAMES = 2048
"""Frames of a sequence whose outlines are kept, about; of longer ones in stretches that are spread over it."""

_STRETCH = 64  # frames that follow each other; what does not move in them says nothing
_AROUND = 7  # frames whose mean is what does not move; of the worlds' shifts, longer ones find less
_REACH = 3  # frames that labels may be early or late by
_SHIFTS = np.arange(-_REACH - 2, _REACH + 3)  # with what lies beside: what is best at an end of these is no answer
_NO_SHIFT = _REACH + 2
_LEAST_FRAMES = 8
_LEAST_FIT = 0.1  # correlation; the procedural worlds have 0.2 to 0.5
_LEAST_GAIN = 1.15  # times the fit of no shift; of worlds that are shifted by one frame it is 1.2 to 3
_SURE = 4.0  # standard errors of the gain, a frame counting for a quarter since neighbours are alike


def keeps_outline(frame: int, frames: int) -> bool:
    """Tell whether the outline of a frame is kept, of a sequence of so many frames."""
    every = -(-frames // KEPT_FRAMES)
    return frame // _STRETCH % every == 0


def check_steps(place: str, traces: Traces, pictures: Traces) -> Iterator[Finding]:
    """Warn of labels that fit pictures of some frames before or after better than their own.

    Args:
        place: The folder of the labels.
        traces: Of their labels.
        pictures: Of their pictures.
    """
    shift = shift_of(*([trace.outline if trace else None for trace in each] for each in (traces, pictures)))
    if shift:
        by = counted(abs(shift), "frame")
        what = f"labels come {by} too {'early' if shift > 0 else 'late'}: they fit the pictures {by} " + (
            "after theirs better" if shift > 0 else "before theirs better"
        )
        yield warning("labels out of step", place, what, "see from which frame on labels were written, and shift them")


def shift_of(labels: Sequence[Outline | None], pictures: Sequence[Outline | None]) -> int:
    """Return by how many frames labels come too early (or late: less than 0), where that is sure; else 0."""
    parts = [_fits(*stretch) for stretch in _stretches(labels, pictures)]
    fits = np.concatenate(parts, axis=1) if parts else np.zeros((len(_SHIFTS), 0))
    if fits.shape[1] < _LEAST_FRAMES:
        return 0
    means = fits.mean(axis=1)
    best = int(means.argmax())
    gain = fits[best] - fits[_NO_SHIFT]
    error = float(gain.std()) / np.sqrt(len(gain) / 4)
    sure = means[best] > max(_LEAST_FIT, _LEAST_GAIN * means[_NO_SHIFT]) and gain.mean() > _SURE * error
    return int(_SHIFTS[best]) if sure and abs(_SHIFTS[best]) <= _REACH else 0


def _stretches(
    labels: Sequence[Outline | None], pictures: Sequence[Outline | None]
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Yield outlines (n, cells) of frames that follow each other, of labels and of pictures."""
    run: list[tuple[Outline, Outline]] = []
    for label, picture in [*zip(labels, pictures, strict=True), (None, None)]:
        if label is not None and picture is not None:
            run.append((label, picture))
        if label is None or picture is None or len(run) == _STRETCH:
            if len(run) >= len(_SHIFTS):
                both = np.array(run, np.float32).reshape(len(run), 2, -1)
                yield both[:, 0], both[:, 1]
            run = []


def _fits(labels: NDArray[np.float32], pictures: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return how well the label of each frame that has all neighbours fits those: (shifts, frames), correlations."""
    moving, shown = (_moving(each) for each in (labels, pictures))
    inner = np.arange(_NO_SHIFT, len(labels) - _NO_SHIFT)
    return np.array([(moving[inner] * shown[inner + shift]).sum(axis=1) for shift in _SHIFTS], np.float64)


def _moving(outlines: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return outlines (n, cells) without what stays for some frames, each of length 1, or 0 where nothing moves."""
    apart = outlines - cv2.blur(outlines, (1, _AROUND), borderType=cv2.BORDER_REPLICATE)
    return np.asarray(apart / np.maximum(np.linalg.norm(apart, axis=1, keepdims=True), 1e-3), np.float32)
