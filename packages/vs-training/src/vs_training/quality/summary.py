"""From the scores of clips to those of all of them, and to what is claimed of these."""

import math
from collections.abc import Mapping, Sequence

import attrs
from vs_metrics import Average, combine, mean_of

from vs_training.quality.measures import measure_of
from vs_training.quality.scoring import ClipScores


@attrs.frozen(kw_only=True)
class Comparison:
    """A comparison: whether a score beats the one that it has to beat.

    Attributes:
        claim: what is compared, in words.
        value: the score.
        baseline: what it has to beat.
        holds: whether it does.
    """

    claim: str
    value: float
    baseline: float
    holds: bool


Claim = tuple[str, str, str]
"""What is claimed, in words; the score that has to beat; the score that it has to beat."""

CLAIMS: tuple[Claim, ...] = (
    ("PSNR above the mean colour of each class", "psnr/generated", "psnr/class_mean"),
    ("SSIM above the mean colour of each class", "ssim/generated", "ssim/class_mean"),
    ("flow closer to the teacher's than zero flow", "epe/generated", "epe/zero"),
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
    """

    clips: tuple[ClipScores, ...]
    totals: Mapping[str, Average]
    comparisons: tuple[Comparison, ...]


def summarise(scores: Sequence[ClipScores], claims: Sequence[Claim] = CLAIMS) -> Report:
    """Sum up the scores of some clips. Nothing is rounded."""
    names = dict.fromkeys(name for clip in scores for name in clip.totals)
    totals = {name: combine(clip.totals[name] for clip in scores if name in clip.totals) for name in names}
    return Report(clips=tuple(scores), totals=totals, comparisons=tuple(_comparisons(totals, claims)))


def _comparisons(totals: Mapping[str, Average], claims: Sequence[Claim]) -> list[Comparison]:
    found = []
    for claim, name, baseline in claims:
        a, b = (mean_of(totals.get(key, Average())) for key in (name, baseline))
        if math.isfinite(a) and math.isfinite(b):
            holds = a > b if measure_of(name).better == "higher" else a < b
            found.append(Comparison(claim=claim, value=a, baseline=b, holds=holds))
    return found
