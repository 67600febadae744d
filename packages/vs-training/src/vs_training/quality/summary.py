"""From the scores of clips to those of all of them, and to what is claimed of these."""

import math
from collections.abc import Callable, Mapping, Sequence

import attrs
from vs_metrics import LEAST_CLIPS, Average, Interval, bootstrap_means, clips_with, combine, interval_of, mean_of

from vs_training.quality.measures import measure_of
from vs_training.quality.scoring import ClipScores
from vs_training.quality.sets import SetMetric


@attrs.frozen(kw_only=True)
class Comparison:
    """A comparison: whether a score beats the one that it has to beat.

    Attributes:
        claim: what is compared, in words.
        value: the score.
        baseline: what it has to beat.
        holds: whether it does.
        lead: interval of how far it is ahead (value less baseline, or the other way round where lower is better), by
            bootstrap over clips: if it holds 0, other clips may say otherwise. None of too few clips.
    """

    claim: str
    value: float
    baseline: float
    holds: bool
    lead: Interval | None = None


Claim = tuple[str, str, str]
"""What is claimed, in words; the score that has to beat; the score that it has to beat."""

CLAIMS: tuple[Claim, ...] = (
    ("PSNR above the mean colour of each class", "psnr/generated", "psnr/class_mean"),
    ("SSIM above the mean colour of each class", "ssim/generated", "ssim/class_mean"),
    ("PSNR in the person above the mean colour of each class", "person_psnr/generated", "person_psnr/class_mean"),
    ("flow closer to the teacher's than zero flow", "epe/generated", "epe/zero"),
    ("flow closer to the teacher's than zero flow where it moves", "moving_epe/generated", "moving_epe/zero"),
    (
        "warped generated frame closer to the real one than the repeated one",
        "l1/warped_generated",
        "l1/repeated_generated",
    ),
    ("warped real frame closer to the real one than the repeated one", "l1/warped_real", "l1/repeated_real"),
)


@attrs.frozen(kw_only=True)
class Report:
    """The scores of an evaluation.

    Attributes:
        clips: scores of each clip.
        totals: score name -> average over all clips, each frame (or confident pixel) counting once.
        comparisons: the claims for which both sides exist.
        intervals: score name -> where it would lie on other clips of the kind, by bootstrap over clips; none of
            too few clips.
        sets: what is measured of all frames together.
    """

    clips: tuple[ClipScores, ...]
    totals: Mapping[str, Average]
    comparisons: tuple[Comparison, ...]
    intervals: Mapping[str, Interval] = attrs.field(factory=dict)
    sets: tuple[SetMetric, ...] = ()


def summarise(scores: Sequence[ClipScores], claims: Sequence[Claim] = CLAIMS, sets: Sequence[SetMetric] = ()) -> Report:
    """Sum up the scores of some clips. Nothing is rounded."""
    names = dict.fromkeys(name for clip in scores for name in clip.totals)
    totals = {name: combine(clip.totals[name] for clip in scores if name in clip.totals) for name in names}
    find = _interval_finder([clip.totals for clip in scores])
    found = {name: find(name) for name in names}
    return Report(
        clips=tuple(scores),
        totals=totals,
        comparisons=tuple(_comparisons(totals, claims, find)),
        intervals={name: interval for name, interval in found.items() if interval is not None},
        sets=tuple(sets),
    )


FindInterval = Callable[..., Interval | None]
"""Scores' names -> the interval of one's mean, or of how far that is above another's; None where there is none."""


def _interval_finder(clips: Sequence[Mapping[str, Average]]) -> FindInterval:
    if len(clips) < LEAST_CLIPS:
        return lambda *_: None
    means = bootstrap_means(clips)

    def find(name: str, below: str | None = None) -> Interval | None:
        if below is None:
            return interval_of(means(name), clips_with(clips, name))
        return interval_of(means(name) - means(below), clips_with(clips, name, below))

    return find


def _comparisons(totals: Mapping[str, Average], claims: Sequence[Claim], find: FindInterval) -> list[Comparison]:
    found = []
    for claim, name, baseline in claims:
        a, b = (mean_of(totals.get(key, Average())) for key in (name, baseline))
        if math.isfinite(a) and math.isfinite(b):
            high = measure_of(name).better == "higher"
            lead = find(name, baseline) if high else find(baseline, name)
            holds = a > b if high else a < b
            found.append(Comparison(claim=claim, value=a, baseline=b, holds=holds, lead=lead))
    return found
