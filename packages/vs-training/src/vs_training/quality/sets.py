"""What is measured of all generated frames together: no mean over frames, and of too few frames nothing."""

import math
from collections.abc import Callable
from typing import Any, Literal

import attrs
import torch
from torch import Tensor
from vs_metrics import LEAST_CLIPS, Interval, interval_of, resample_counts

_AT_ONCE = 100
"""Resamples whose sums are in the memory together: of 256 classes, those of one take a megabyte."""


@attrs.frozen(kw_only=True)
class SetMeasure:
    """A measure of a set of frames: what its number means.

    Attributes:
        name: in the JSON.
        title: in tables.
        unit: what it is measured in.
        better: which way is better.
        digits: decimals in tables.
        least_frames: of fewer frames there is no number.
        source: the paper.
        limits: what it does not see, and what else changes it.
    """

    name: str
    title: str
    unit: str
    better: Literal["higher", "lower"]
    digits: int
    least_frames: int
    source: str
    limits: str


@attrs.frozen(kw_only=True)
class SetMetric:
    """A measure of a set of frames, as it was found.

    Attributes:
        measure: what was measured.
        value: nan where there is none.
        frames: how many generated frames were counted.
        interval: by bootstrap over clips, or None.
        real: the same of real frames that are read alike, where that is what the value is to be seen beside; or None.
        note: what else is to be said of this number; why there is none.
    """

    measure: SetMeasure
    value: float
    frames: int
    interval: Interval | None = None
    real: float | None = None
    note: str = ""


def set_metric(
    measure: SetMeasure,
    frames: int,
    value: Callable[[], float],
    *,
    interval: Callable[[], Interval | None] = lambda: None,
    real: float | None = None,
    note: str = "",
) -> SetMetric:
    """Return a metric of so many frames; of too few it refuses, and nothing is computed."""
    if frames < measure.least_frames:
        short = f"{frames} frames: {measure.title} needs at least {measure.least_frames}"
        return SetMetric(measure=measure, value=math.nan, frames=frames, note=short)
    return SetMetric(measure=measure, value=value(), frames=frames, interval=interval(), real=real, note=note)


def interval_of_sums(sums: Tensor, statistic: Callable[[Tensor], Tensor], *, seed: int = 0) -> Interval | None:
    """Return the interval by bootstrap over clips of what is a function of numbers that add up; None of too few clips.

    Args:
        sums: (clips, ...): what each clip adds.
        statistic: sums of resamples (resamples, ...) -> (resamples,).
        seed: of the draws.
    """
    clips = sums.shape[0]
    if clips < LEAST_CLIPS:
        return None
    flat = sums.double().flatten(1)
    parts = resample_counts(clips, seed=seed).split(_AT_ONCE)
    return interval_of(torch.cat([statistic((part @ flat).reshape(-1, *sums.shape[1:])) for part in parts]), clips)


def set_metric_json(metric: SetMetric) -> dict[str, Any]:
    """Return a metric of a set as JSON values."""
    measure = metric.measure
    return {
        "name": measure.name,
        "title": measure.title,
        "value": metric.value if math.isfinite(metric.value) else None,
        "interval": interval_json(metric.interval),
        "real": metric.real,
        "unit": measure.unit,
        "better": measure.better,
        "frames": metric.frames,
        "least_frames": measure.least_frames,
        "source": measure.source,
        "limits": measure.limits,
        "note": metric.note,
    }


def interval_json(interval: Interval | None) -> list[float] | None:
    """Return an interval as JSON values: its ends; None where there is none."""
    return None if interval is None else [interval.low, interval.high]
