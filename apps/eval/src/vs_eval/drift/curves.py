"""A metric over the frames of a long roll-out, and where it leaves the band of its own first frames. Pure."""

import math
from collections.abc import Iterable, Mapping, Sequence

import attrs
import numpy as np
from numpy.typing import NDArray
from vs_metrics import Average, combine, mean_of
from vs_training.quality.measures import Measure

FIRST = 30
"""Frames whose values make the band, and over which values are averaged before they are held against it."""

WIDTH = 2.0
"""Half of the band, in standard deviations of the first values."""

ROUNDING = 1e-9
"""What the band is wider by, as a part of its middle: a metric that never changes has running means a bit apart."""

Curve = NDArray[np.float64]
"""A value for each frame; nan where there is none."""

_AT_THE_START = {"first_psnr": "psnr", "first_ssim": "ssim"}


@attrs.frozen(kw_only=True, eq=False)
class Drift:
    """A metric over a roll-out.

    Attributes:
        measure: what it is.
        generated: its value at each frame.
        beside: the same of what is known of the real video, by method; it says what is not the generator's doing.
        running: mean over the last `FIRST` frames at each frame.
        mean, deviation: of the first `FIRST` values.
        leaves: the first frame from which the running mean stays outside of the band; None: it does not.
        above: the frames at which the running mean is above the band, as soon as it is of `FIRST` frames.
        below: those at which it is below.
    """

    measure: Measure
    generated: Curve
    beside: Mapping[str, Curve]
    running: Curve
    mean: float
    deviation: float
    leaves: int | None
    above: tuple[int, ...] = ()
    below: tuple[int, ...] = ()

    @property
    def band(self) -> tuple[float, float]:
        """Both ends of the band."""
        return self.mean - WIDTH * self.deviation, self.mean + WIDTH * self.deviation

    @property
    def last(self) -> float:
        """The mean of the last frames."""
        return float(self.running[-1])


def curves_of(rows: Sequence[Mapping[str, Average]]) -> dict[str, Curve]:
    """Return score name -> its value at each frame, from the scores of each; first frames count with the others."""
    named = [{_without_first(name): average for name, average in row.items()} for row in rows]
    names = dict.fromkeys(name for row in named for name in row)
    return {name: np.array([mean_of(row.get(name, Average())) for row in named]) for name in names}


def combined_rows(clips: Iterable[Sequence[Mapping[str, Average]]]) -> list[dict[str, Average]]:
    """Return the scores of each frame over some clips, frame by frame."""
    together: list[dict[str, list[Average]]] = []
    for rows in clips:
        for index, row in enumerate(rows):
            if index == len(together):
                together.append({})
            for name, average in row.items():
                together[index].setdefault(name, []).append(average)
    return [{name: combine(averages) for name, averages in row.items()} for row in together]


def drift_of(measure: Measure, curves: Mapping[str, Curve], beside: Iterable[str], *, start: int = 0) -> Drift | None:
    """Return how a metric drifts; None where it has no value among the first frames.

    Args:
        measure: which.
        curves: see `curves_of`.
        beside: methods whose curves are to be shown with it.
        start: the frame from which on the band's frames are counted, of what has no values before.
    """
    generated = curves.get(f"{measure.name}/generated")
    if generated is None:
        return None
    first = generated[start : start + FIRST]
    first = first[np.isfinite(first)]
    if not len(first):
        return None
    mean, deviation, running = float(first.mean()), float(first.std()), running_mean(generated, FIRST)
    margin = WIDTH * deviation + ROUNDING * abs(mean)
    outside = ~(np.abs(running - mean) <= margin)  # no value is outside too
    return Drift(
        measure=measure,
        generated=generated,
        beside={
            method: curves[f"{measure.name}/{method}"] for method in beside if f"{measure.name}/{method}" in curves
        },
        running=running,
        mean=mean,
        deviation=deviation,
        leaves=stays_from(outside),
        above=_frames_where(running - mean > margin, start + FIRST),
        below=_frames_where(mean - running > margin, start + FIRST),
    )


def running_mean(values: Curve, window: int) -> Curve:
    """Return the mean of the last `window` values at each, of those that are finite; nan where none is."""
    finite = np.isfinite(values)
    sums, counts = (np.cumsum([*np.zeros(window), *x]) for x in (np.where(finite, values, 0.0), finite))
    totals, numbers = (x[window:] - x[:-window] for x in (sums, counts))
    return np.asarray(np.divide(totals, numbers, out=np.full(len(values), math.nan), where=numbers > 0))


def stays_from(outside: NDArray[np.bool_]) -> int | None:
    """Return the first index from which all are true; None if the last is not."""
    inside = np.flatnonzero(~outside)
    start = int(inside[-1]) + 1 if len(inside) else 0
    return start if start < len(outside) else None


def _frames_where(true: NDArray[np.bool_], start: int) -> tuple[int, ...]:
    return tuple(int(frame) for frame in np.flatnonzero(true) if frame >= start)


def _without_first(name: str) -> str:
    measure, _, method = name.partition("/")
    return f"{_AT_THE_START.get(measure, measure)}/{method}"
