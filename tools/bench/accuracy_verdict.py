"""What the accuracy experiment concludes from its numbers; pure functions of scores, one for each seed.

An arm is compared with the baseline (O0) by the difference of the two means over the seeds and its 95 % interval by
Student's t for two samples of one variance. If a level changes nothing, its scores and the baseline's come from one
distribution, and the interval is what chance allows in nineteen of twenty cases. Runs of the same seed begin with the
same weights and see the same clips, but are not compared in pairs: after some hundred steps of adversarial training
rounding has led them about as far apart as another seed would have, and pairs would leave three seeds two degrees of
freedom instead of four. What likeness is left makes the interval too wide, not too narrow.

An arm is *outside* when the difference is larger than both

- the spread between seeds: the standard deviation of the baseline's scores over its seeds, which is what another seed
  changes anyway, and
- half of the interval, so that the interval does not contain 0: chance would not have it.

The larger of the two is the *threshold*: smaller differences are not seen. With three seeds that is always the
interval, half of which is 1.6 times the spread or more, and the spread is known badly (the true one may be half of it
or several times as large). So this is a test for plain differences: it cannot see that a level costs a tenth of the
spread, and does not claim to. It looks at means: where a level makes runs differ more from each other, its interval
widens, and where the two spreads differ several times, one comparison in ten may err instead of one in twenty. How
large a difference the experiment sees is shown by the planted fault: where that arm is not outside, nothing follows
from the others' being inside.
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Literal

import attrs

Verdict = Literal["no difference seen", "difference", "no power"]

# The 97.5 % quantiles of Student's t for 1, 2, ... degrees of freedom; beyond the table that of the last entry is used,
# which is too wide by less than 5 %.
_QUANTILES = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120,
    2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
)  # fmt: skip


@attrs.frozen(kw_only=True)
class Comparison:
    """An arm against the baseline in one score.

    Attributes:
        differences: arm minus baseline, one for each seed.
        mean: of the differences, which is the difference of the means; nan when a run of the arm diverged.
        half_width: half of the 95 % interval of that difference.
        spread: standard deviation of the baseline over its seeds.
        outside: whether the mean difference is larger than the threshold, or a run of the arm diverged.
    """

    differences: tuple[float, ...]
    mean: float
    half_width: float
    spread: float
    outside: bool

    @property
    def threshold(self) -> float:
        """The smallest difference of the means that would have been seen."""
        return max(self.spread, self.half_width)

    @property
    def consistent(self) -> bool:
        """Whether the interval lacks 0, however small the difference is."""
        return abs(self.mean) > self.half_width

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the difference of the means."""
        return self.mean - self.half_width, self.mean + self.half_width


def compare(baseline: Sequence[float], arm: Sequence[float]) -> Comparison:
    """Compare an arm with the baseline, each a sequence with a score for each seed; nan stands for a run that diverged.

    Raises:
        ValueError: fewer than two seeds, numbers of seeds that differ, or a baseline that is not finite.
    """
    if len(baseline) != len(arm) or len(baseline) < 2:
        message = f"a comparison needs the same seeds, two at least; got {len(baseline)} and {len(arm)}"
        raise ValueError(message)
    if not all(math.isfinite(score) for score in baseline):
        message = f"the baseline diverged, so that there is nothing to compare with: {list(baseline)}"
        raise ValueError(message)
    differences = tuple(b - a for a, b in zip(baseline, arm, strict=True))
    spread = statistics.stdev(baseline)
    if not all(math.isfinite(score) for score in arm):
        return Comparison(differences=differences, mean=math.nan, half_width=math.nan, spread=spread, outside=True)
    mean, half = statistics.fmean(differences), _half_width(baseline, arm)
    outside = abs(mean) > max(spread, half)
    return Comparison(differences=differences, mean=mean, half_width=half, spread=spread, outside=outside)


def _half_width(one: Sequence[float], other: Sequence[float]) -> float:
    """Of as many scores in each, so that their common variance is the mean of both."""
    variance = (statistics.variance(one) + statistics.variance(other)) / 2
    freedom = 2 * (len(one) - 1)
    return _QUANTILES[min(freedom, len(_QUANTILES)) - 1] * math.sqrt(2 * variance / len(one))


def conclude(level: Comparison, planted: Comparison) -> Verdict:
    """The verdict on a level in one score, given what became of the planted fault in the same score."""
    if level.outside:
        return "difference"
    return "no difference seen" if planted.outside else "no power"


def verdict(baseline: Sequence[float], level: Sequence[float], planted: Sequence[float]) -> Verdict:
    """The same from the scores themselves, each a sequence with one for each seed."""
    return conclude(compare(baseline, level), compare(baseline, planted))


def overall(verdicts: Mapping[str, Verdict]) -> Verdict:
    """The verdict on a level from those in several scores: a difference in any counts; one with power is needed.

    Raises:
        ValueError: there are none.
    """
    if not verdicts:
        message = "no score, no verdict"
        raise ValueError(message)
    found = set(verdicts.values())
    if "difference" in found:
        return "difference"
    return "no difference seen" if "no difference seen" in found else "no power"
