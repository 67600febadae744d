"""Metrics of sets against the frame number: each value is of the last frames of all sequences together. Pure."""

from collections.abc import Iterator, Mapping, Sequence

import attrs
import numpy as np
import torch
from torch import Tensor
from vs_metrics import KERNEL_LEAST, Average, kernel_distance
from vs_metrics.features import I3d, Inception, VideoMae
from vs_training.quality.features import SIDES, FeatureNetworks, Features, set_measures
from vs_training.quality.measures import Measure
from vs_training.quality.reading import Readable, reading_metrics
from vs_training.quality.scoring import clip_scores
from vs_training.quality.sets import SetMeasure, SetMetric
from vs_training.quality.still_grid import grid_metrics

from vs_eval.drift.curves import Curve

WINDOW = 10
"""Frames that a value is of where sums are enough; what is read, and a grid, are not judged by much fewer."""


@attrs.frozen(kw_only=True, eq=False)
class Rolled:
    """A sequence that was rolled out.

    Attributes:
        rows: the scores of each frame.
        sums: what each frame adds to metrics of sets, see `vs_training.quality.scoring.AddUp`.
        features: see `vs_training.quality.features.FeatureGatherer`.
    """

    rows: Sequence[Mapping[str, Average]]
    sums: Sequence[Mapping[str, Tensor]] = ()
    features: Features = attrs.field(factory=dict)


@attrs.frozen(kw_only=True, eq=False)
class Windowed:
    """A metric of windows of frames: what it is, its curves by score name, and the first frame that has a value."""

    measure: Measure
    curves: Mapping[str, Curve]
    start: int


def windowed_metrics(
    clips: Sequence[Rolled], readable: Readable | None, networks: FeatureNetworks
) -> tuple[Windowed, ...]:
    """Return the metrics of sets over windows of frames: agreement with labels, still grid, kernel distances.

    Fréchet distances need more frames than windows have.

    Args:
        clips: equally long.
        readable: what was read; None: nothing.
        networks: whose features were gathered.
    """
    kernels = (_kernel_metric(name, network, clips) for name, network in networks.of_sets.items())
    return (*_metrics_of_sums(clips, readable), *kernels)


def _metrics_of_sums(clips: Sequence[Rolled], readable: Readable | None) -> Iterator[Windowed]:
    """Yield the metrics that are functions of sums over the frames of a window, with those of real frames."""
    frames = len(clips[0].rows)
    measures: dict[str, SetMeasure] = {}
    curves: dict[str, dict[str, Curve]] = {}
    for last in range(WINDOW - 1, frames):
        for metric in _window_metrics(clips, range(last - WINDOW + 1, last + 1), readable):
            name = metric.measure.name
            measures[name] = metric.measure
            for method, value in (("generated", metric.value), ("real", metric.real)):
                if value is not None:
                    made = curves.setdefault(name, {}).setdefault(f"{name}/{method}", np.full(frames, np.nan))
                    made[last] = value
    for name, measure in measures.items():
        yield Windowed(measure=_of_windows(measure, WINDOW), curves=curves[name], start=WINDOW - 1)


def _window_metrics(clips: Sequence[Rolled], window: range, readable: Readable | None) -> tuple[SetMetric, ...]:
    sums: dict[str, Tensor] = {}
    for added in (clip.sums[frame] for clip in clips for frame in window):
        sums = {**sums, **{name: sums.get(name, 0) + value.double() for name, value in added.items()}}
    whole = [clip_scores("", [{}] * len(window), (), sums)]
    return (*(() if readable is None else reading_metrics(whole, readable)), *grid_metrics(whole))


def _kernel_metric(name: str, network: Inception | I3d | VideoMae, clips: Sequence[Rolled]) -> Windowed:
    """Return the kernel distance of as many features of each sequence as make enough together."""
    each = -(-KERNEL_LEAST // len(clips))
    length = 1 if isinstance(network, Inception) else network.config.frames
    _, measure = set_measures(name, network)
    frames = len(clips[0].rows)
    curve, known, value = np.full(frames, np.nan), None, np.nan
    ends = [_ends(clip, length) for clip in clips]
    for frame in range(frames):
        there = [int(np.searchsorted(end, frame, side="right")) for end in ends]
        if min(there) >= each and there != known:
            known, value = there, _kernel_value(name, clips, there, each)
        curve[frame] = value
    window = each * length
    return Windowed(measure=_of_windows(measure, window), curves={f"{measure.name}/generated": curve}, start=window - 1)


def _ends(clip: Rolled, length: int) -> Sequence[int]:
    """Return the frames at which the features of a sequence are complete; frames without scores have none of theirs."""
    if length > 1:
        return range(length - 1, len(clip.rows), length)
    return [frame for frame, row in enumerate(clip.rows) if row]


def _kernel_value(name: str, clips: Sequence[Rolled], there: Sequence[int], each: int) -> float:
    real, made = (
        torch.cat([clip.features[f"{name}/{side}"][end - each : end] for clip, end in zip(clips, there, strict=True)])
        for side in SIDES
    )
    finite = bool(real.isfinite().all() and made.isfinite().all())
    return kernel_distance(real, made, least=2).value if finite else np.nan


def _of_windows(measure: SetMeasure, frames: int) -> Measure:
    return Measure(
        name=measure.name,
        title=f"{measure.title.removesuffix(f', {measure.unit}')} ({frames} frames)",
        unit=measure.unit,
        better=measure.better,
        digits=measure.digits,
        explanation=f"At each frame, of the last {frames} of each sequence, all sequences together.",
        source=measure.source,
        limits=measure.limits,
        least_frames=frames,
    )
