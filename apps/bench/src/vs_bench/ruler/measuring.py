"""Plant faults into the scenes of a world and measure them all."""

import functools
import itertools
import math
from collections.abc import Callable, Mapping, Sequence

import attrs
from torch import Tensor
from vs_metrics import average_of, combine, end_point_errors, mean_of
from vs_training.quality.features import Features

from vs_bench.ruler.faults import Fault
from vs_bench.ruler.metrics import Judges, Metric, clip_values, features_of, metric_of, set_values
from vs_bench.ruler.responses import Response
from vs_bench.ruler.scenes import Scene

Values = Mapping[Metric, tuple[float, ...]]
"""Of each metric a value for each clip, or one of all clips together."""

Version = Callable[[Scene], Tensor]
"""A scene -> some version (T, 3, H, W) of its frames."""

Advance = Callable[[int, int], None]


@attrs.frozen(kw_only=True)
class Estimator:
    """An estimator of flow: how good it is on true frames.

    Attributes:
        error: mean distance to the exact flow in pixels, where both are to be trusted.
        motion: mean length of the exact flow there.
        trusted: share of the pixels that the estimator trusts, and that is to be trusted of the exact flow.
        exact: share of pixels where the exact flow is to be trusted.
    """

    error: float
    motion: float
    trusted: float
    exact: float


def measure_world(
    scenes: Sequence[Scene], faults: Sequence[Fault], judges: Judges, tell: Advance = lambda _done, _all: None
) -> tuple[Response, ...]:
    """Measure all faults of all sizes; metrics that refuse so few frames are left out.

    Args:
        scenes: true clips.
        faults: those that these can have.
        judges: what else measures them.
        tell: is told how many versions of the clips are measured, and how many there are.
    """
    real = [features_of(judges.networks, scene.clip.frames, "real") for scene in scenes]
    versions: list[Version] = [lambda scene: scene.clip.frames, lambda scene: scene.saved]
    versions += [functools.partial(_planted, fault, size) for fault in faults for size in fault.sizes]
    measured = []
    for number, version in enumerate(versions):
        tell(number, len(versions))
        measured.append(_measure(scenes, version, real, judges))
    true, saved, *planted = measured
    found, left = [], iter(planted)
    for fault in faults:
        rows = list(itertools.islice(left, len(fault.sizes)))
        found += [
            Response(
                metric=metric,
                fault=fault,
                true=true[metric],
                saved=saved[metric],
                planted=tuple(row[metric] for row in rows),
            )
            for metric in true
        ]
    return tuple(found)


def _planted(fault: Fault, size: float, scene: Scene) -> Tensor:
    return fault.plant(scene, size)


def _measure(scenes: Sequence[Scene], version: Version, real: Sequence[Features], judges: Judges) -> Values:
    """Measure a version of all clips; `real`: the features of the true ones."""
    shown = [version(scene) for scene in scenes]
    rows = [clip_values(scene, frames, judges) for scene, frames in zip(scenes, shown, strict=True)]
    made = [features_of(judges.networks, frames, "generated") for frames in shown]
    of_sets = set_values(judges.networks, real, made)
    return {
        **{metric_of(name): tuple(row[name] for row in rows) for name in rows[0]},
        **{metric: (value,) for metric, value in of_sets.items() if math.isfinite(value)},
    }


def judge_estimator(scenes: Sequence[Scene]) -> Estimator:
    """Hold the flow that DIS estimates against the exact one."""
    errors, lengths, trusted, exact = [], [], [], []
    for scene in scenes:
        flow, sure = scene.clip.flow, scene.clip.flow_confidence
        if flow is None or sure is None:
            raise ValueError(f"{scene.clip.name} has no flow")
        both = sure * scene.confidence
        errors.append(average_of(*end_point_errors(scene.flow[1:], flow[1:], both[1:])))
        lengths.append(average_of(*end_point_errors(0 * flow[1:], flow[1:], both[1:])))
        trusted.append(average_of(both[1:]))
        exact.append(average_of(sure[1:]))
    error, motion, share, known = (mean_of(combine(each)) for each in (errors, lengths, trusted, exact))
    return Estimator(error=error, motion=motion, trusted=share, exact=known)
