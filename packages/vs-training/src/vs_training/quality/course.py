"""What the validations of a run say one after the other: which is the best, for how long, and what has got worse."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import attrs
from vs_metrics import mean_of

from vs_training.curriculum import CurriculumConfig, clip_length
from vs_training.quality.measures import Measure, measure_of
from vs_training.quality.summary import Report

TEMPORAL = ("warping", "flicker")
"""Measures of how steady a video is."""

SHOWN = ("psnr", "ssim", "warping", "flicker", "epe", "head_ssim", "colour")
"""Measures that people see of a validation in one line."""

WORSE = 0.05
"""From this part on a measure is worse, and not just another number."""

_NO_SCORES = ("step", "clips", "frames", "broken", "time")


@attrs.frozen(kw_only=True)
class Validation:
    """The outcome of a validation.

    Attributes:
        step: after which training step.
        scores: mean of each score by its name (`ssim/generated`); nan or infinite where a frame is.
        clips: how many.
        frames: of all of them together.
        broken: how many frames were generated with values that are not finite.
    """

    step: int
    scores: Mapping[str, float]
    clips: int = 0
    frames: int = 0
    broken: int = 0


def validation_of(step: int, report: Report) -> Validation:
    """Return the outcome of a validation after a step; scores of which nothing was measured are left out."""
    return Validation(
        step=step,
        scores={name: mean_of(average) for name, average in report.totals.items() if average.weight > 0},
        clips=len(report.clips),
        frames=sum(clip.frames for clip in report.clips),
        broken=sum(len(clip.broken) for clip in report.clips),
    )


def to_line(validation: Validation) -> dict[str, float]:
    """Return the fields of a line of metrics.jsonl, but for the step."""
    counts = {"clips": validation.clips, "frames": validation.frames, "broken": validation.broken}
    return {**validation.scores, **counts}


def from_line(line: Mapping[str, Any]) -> Validation:
    """Return the outcome that a line of metrics.jsonl tells."""
    scores = {name: float(value) for name, value in line.items() if name not in _NO_SCORES}
    counts = {name: int(line.get(name, 0)) for name in ("clips", "frames", "broken")}
    return Validation(step=line["step"], scores=scores, **counts)


def value_by(validation: Validation, measure: str) -> float | None:
    """Return what a checkpoint is judged by; None where it is not known, or frames are not finite."""
    value = validation.scores.get(f"{measure}/generated", math.nan)
    return value if math.isfinite(value) and not validation.broken else None


def is_better(value: float | None, than: float | None, measure: str) -> bool:
    """Say whether a value is better than another one; any is better than none."""
    if value is None or than is None:
        return value is not None
    return value > than if measure_of(measure).better == "higher" else value < than


def best_of(course: Sequence[Validation], measure: str) -> Validation | None:
    """Return the best validation, the first of equals; None where none has a value."""
    best: Validation | None = None
    for each in course:
        if is_better(value_by(each, measure), None if best is None else value_by(best, measure), measure):
            best = each
    return best


def beats_kept(course: Sequence[Validation], measure: str, kept: int | None) -> bool:
    """Say whether the last validation is better than the checkpoint that is kept as the best.

    Args:
        course: all validations so far.
        measure: what counts.
        kept: the step of that checkpoint; None: there is none. After a kill it may be one that is still to come: then
            the best of those before counts, so that the checkpoint is in the end that of a run that was not killed.
    """
    *earlier, now = course
    if kept is None:
        return is_better(value_by(now, measure), None, measure)
    than = next((each for each in earlier if each.step == kept), None) or best_of(earlier, measure)
    return is_better(value_by(now, measure), None if than is None else value_by(than, measure), measure)


def without_better(course: Sequence[Validation], measure: str) -> int:
    """Return how many validations there were since the best one; all of them where none has a value."""
    best = best_of(course, measure)
    return sum(best is None or each.step > best.step for each in course)


def got_worse(course: Sequence[Validation], curriculum: CurriculumConfig) -> str | None:
    """Say of the last validation if longer clips have made videos less steady than they were in the one before it."""
    if len(course) < 2:
        return None
    before, now = course[-2:]
    short, long = (clip_length(curriculum, each.step - 1) for each in (before, now))
    worse = [text for name in TEMPORAL if long > short and (text := _worse(before, now, f"{name}/generated"))]
    if not worse:
        return None
    return f"since clips have {long} frames instead of {short}, videos are less steady: {', '.join(worse)}"


def _worse(before: Validation, now: Validation, name: str) -> str:
    """Return how a score has got worse, in words; empty where it has not."""
    old, new = (each.scores.get(name, math.nan) for each in (before, now))
    if not new > (1 + WORSE) * old:  # all of them are better when lower; nan is no news
        return ""
    measure = measure_of(name)
    return f"{measure.title} {new:.{measure.digits}f} after {old:.{measure.digits}f} {measure.unit}".rstrip()


def in_words(validation: Validation) -> str:
    """Return a validation in one line: what the generated video scores."""
    names = [name for measure in SHOWN if (name := f"{measure}/generated") in validation.scores]
    shown = [_shown(measure_of(name), validation.scores[name]) for name in names]
    broken = f"; {validation.broken} of the frames are not finite" if validation.broken else ""
    clips = f"{validation.clips} clip{'s' * (validation.clips > 1)}"
    return f"{clips}, {validation.frames} frames: {', '.join(shown)}{broken}"


def _shown(measure: Measure, value: float) -> str:
    return f"{measure.title} {value:.{measure.digits}f} {measure.unit}".rstrip()
