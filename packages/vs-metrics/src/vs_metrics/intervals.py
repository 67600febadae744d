"""Where a score would lie on other clips of the same kind: bootstrap over clips, of all scores at once."""

import math
from collections.abc import Callable, Mapping, Sequence

import attrs
import torch
from torch import Tensor

from vs_metrics.averages import Average

RESAMPLES = 10_000
"""How often clips are drawn anew; of few clips the ends lie far out, where few draws are."""

LEVEL = 0.95
"""How often an interval is meant to hold the truth."""

LEAST_CLIPS = 5
"""Clips below which there is no interval.

No resample leaves the range of what was seen, and the range of n clips holds the median of all clips in 1 - 2^(1 - n)
of cases: of 4 clips in 0.875, far from 0.95, however wide an interval is made.
"""


@attrs.frozen(kw_only=True)
class Interval:
    """An interval of 95 % by bootstrap over clips, from `low` to `high`."""

    low: float
    high: float


def resample_counts(clips: int, *, resamples: int = RESAMPLES, seed: int = 0) -> Tensor:
    """Return how often each clip is drawn in each resample: (resamples, clips) float64; rows add up to `clips`."""
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randint(clips, (resamples, clips), generator=generator)
    return torch.zeros(resamples, clips, dtype=torch.float64).scatter_add_(
        1, drawn, torch.ones(1).double().expand(drawn.shape)
    )


def expanded_tail(clips: int) -> float:
    """Return the share of resamples that an interval leaves out at each end, so that it holds the truth in 95 %.

    Without more ado a bootstrap leaves out 0.025, and its intervals are too short: resamples spread less than clips do,
    by the root of (n - 1) / n, and their quantiles are those of a normal distribution and not Student's. Both are made
    good by Phi(-sqrt(n / (n - 1)) t), with t the quantile of Student's distribution of n - 1 degrees of freedom.

    Source: Hesterberg 2015, "What Teachers Should Know about the Bootstrap", expanded percentile interval.

    Args:
        clips: how many were drawn from, at least 2.
    """
    from scipy.special import ndtr, stdtrit  # not needed by those who import the package and make no interval

    quantile = float(stdtrit(clips - 1, (1 + LEVEL) / 2))
    return float(ndtr(-math.sqrt(clips / (clips - 1)) * quantile))


def interval_of(values: Tensor, clips: int) -> Interval | None:
    """Return the interval of 95 % by what resamples gave; None of too few clips, and where a resample gave nothing.

    Limits: where scores are normal, intervals of 5, 6, 8, 16 clips hold the truth in about 91, 93, 95, 95 of 100 cases;
    where they are skewed (as an exponential distribution is), in about 87, 88, 90, 92.

    Args:
        values: (resamples,): what each gave, see `bootstrap_means`.
        clips: how many clips were drawn from, those without the score left out.
    """
    if clips < LEAST_CLIPS or not bool(values.isfinite().all()):
        return None
    tail = expanded_tail(clips)
    low, high = torch.quantile(values.double(), torch.tensor([tail, 1 - tail], dtype=torch.float64)).tolist()
    return Interval(low=low, high=high)


def bootstrap_means(
    clips: Sequence[Mapping[str, Average]], *, resamples: int = RESAMPLES, seed: int = 0
) -> Callable[[str], Tensor]:
    """Return what gives, for each score, its mean in each resample of the clips: (resamples,) float64.

    A resample's mean is that of all that its clips' averages were made of, each clip weighing what it weighs, as in
    `combine`. All scores see the same resamples, so that differences between them are paired. A score that a clip lacks
    weighs 0 there.

    Source: Efron 1979; clips are what is drawn, since frames of a clip are alike.

    Args:
        clips: the scores of each clip by name.
        resamples: how often clips are drawn.
        seed: of the draws.
    """
    counts = resample_counts(len(clips), resamples=resamples, seed=seed)

    def means(name: str) -> Tensor:
        found = [clip.get(name, Average()) for clip in clips]
        totals = torch.tensor([each.total for each in found], dtype=torch.float64)
        weights = torch.tensor([each.weight for each in found], dtype=torch.float64)
        return (counts @ totals) / (counts @ weights)

    return means


def clips_with(clips: Sequence[Mapping[str, Average]], *names: str) -> int:
    """Return how many clips have all of some scores."""
    return sum(all(clip.get(name, Average()).weight > 0 for name in names) for clip in clips)
