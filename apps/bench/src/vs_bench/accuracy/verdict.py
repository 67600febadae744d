"""What the accuracy experiment concludes from its numbers; pure functions of scores, one for each seed, higher better.

The question is whether a level of precision is *as good as* the baseline (O0). That it differs by no more than chance
allows is not an answer, since with few or scattered runs chance allows anything. So the answer is an equivalence test
with a margin that is stated beforehand: `MARGIN_FRACTION` of what the baseline has learnt, which is its mean score less
the *floor*, the score of a predictor that learnt nothing (see `pick_floor`). A level is

- *equivalent* when two one-sided tests (Schuirmann 1987) at `ERROR` each reject that it is worse, and that it is
  better, by the margin or more: when the 90 % interval of the difference of the means lies within the margin. Both are
  Welch's, for spreads that may differ. What means do not show must not speak against it either: no run of either may
  have collapsed, none may lie below what the other's runs allow the worst of so many to be, and the spreads may not
  differ.
- *different* when it is not equivalent, and one of three tests finds something: Welch's of the means, Brown and
  Forsythe's of the spreads, Fisher's of how many runs collapsed. Each errs in `ERROR` / 3 of all cases, so that all
  three err in `ERROR` of them.
- else nobody *can tell*.

A run has *collapsed* when it diverged, or learnt less than `COLLAPSED_BELOW` of what the middle run of the baseline
did.

Means and spreads are those of the runs that did not diverge. Runs of the same seed are not compared in pairs: after
some hundred steps of adversarial training rounding has led them about as far apart as another seed would have.
"""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import attrs
from scipy.special import stdtr, stdtrit
from scipy.stats import fisher_exact

Verdict = Literal["equivalent within the margin", "different", "cannot tell"]
Column = Mapping[int, float]
"""Seed -> score of its run; nan for a run that diverged."""

MARGIN_FRACTION = 0.2
"""The margin, in what the baseline learnt above the floor."""

COLLAPSED_BELOW = 0.25
"""A run that learnt less than this fraction of what the middle run of the baseline did has collapsed."""

ERROR = 0.05
"""How often an answer may be wrong."""

_ERROR_EACH = ERROR / 3
"""How often each of the three tests for a difference may be wrong."""

_WANTED_POWER = 0.8


@attrs.frozen(kw_only=True)
class Difference:
    """The difference of an arm's mean and the baseline's, by Welch; nan where fewer than two runs have a score.

    Attributes:
        mean: of the arm less that of the baseline.
        error: standard error of that.
        freedom: Welch's degrees of freedom.
    """

    mean: float
    error: float
    freedom: float

    def half_width(self, error: float = ERROR) -> float:
        """Return half of the interval that misses the true difference in `error` of all cases."""
        return self.error * _quantile(1 - error / 2, self.freedom)

    def interval(self, error: float = ERROR) -> tuple[float, float]:
        """Return the interval of the difference that misses the true one in `error` of all cases."""
        half = self.half_width(error)
        return self.mean - half, self.mean + half

    def within(self, margin: float) -> bool:
        """Return whether two one-sided tests at `ERROR` each reject a difference of `margin` or more."""
        low, high = self.interval(2 * ERROR)
        return -margin < low and high < margin

    @property
    def chance(self) -> float:
        """How often chance alone makes a difference as large (two-sided); 1 where it has no value."""
        if math.isnan(self.mean):
            return 1.0
        if self.error == 0:
            return float(self.mean == 0)
        return _chance(self.mean / self.error, self.freedom)

    def power(self, margin: float) -> float:
        """Return how often such an experiment finds a level equivalent that differs in nothing."""
        if self.error == 0 or math.isnan(self.error):
            return float(self.error == 0 and margin > 0)
        room = margin / self.error - _quantile(1 - ERROR, self.freedom)
        return max(0.0, float(2 * stdtr(self.freedom, room) - 1))

    @property
    def least_margin(self) -> float:
        """The margin in which such an experiment finds a level equivalent that differs in nothing, 4 times of 5."""
        quantiles = _quantile(1 - ERROR, self.freedom), _quantile((1 + _WANTED_POWER) / 2, self.freedom)
        return self.error * sum(quantiles)

    @property
    def least_seen(self) -> float:
        """The difference of the means that such an experiment would see, 4 times of 5."""
        return self.error * (_quantile(1 - _ERROR_EACH / 2, self.freedom) + _quantile(_WANTED_POWER, self.freedom))


@attrs.frozen(kw_only=True)
class Spreads:
    """Standard deviations over the seeds; nan with fewer than two runs.

    Attributes:
        baseline: the baseline's.
        arm: the arm's.
        chance: how often chance alone makes spreads differ as much, by Brown and Forsythe's test; 1 with fewer than
            three runs, of which it knows nothing.
    """

    baseline: float
    arm: float
    chance: float


@attrs.frozen(kw_only=True)
class Floor:
    """The score of a predictor that learnt nothing, such as the mean colour of each class."""

    name: str
    value: float


@attrs.frozen(kw_only=True)
class Collapses:
    """The runs that came to nothing.

    Attributes:
        baseline: seeds of the baseline's.
        arm: seeds of the arm's.
        chance: how often chance alone distributes them as unequally, by Fisher's exact test.
    """

    baseline: tuple[int, ...]
    arm: tuple[int, ...]
    chance: float


@attrs.frozen(kw_only=True)
class Judgement:
    """An arm against the baseline in one score.

    Attributes:
        difference: of the means.
        floor: what the margin is measured from.
        learnt: the baseline's mean less the floor.
        spreads: of both.
        collapses: of both.
        laggards: seeds of the arm whose runs lie below what the baseline's allow the worst of so many to be.
        baseline_laggards: the same of the baseline, held against the arm.
        verdict: what follows from all this.
    """

    difference: Difference
    floor: Floor
    learnt: float
    spreads: Spreads
    collapses: Collapses
    laggards: tuple[int, ...]
    baseline_laggards: tuple[int, ...]
    verdict: Verdict

    @property
    def margin(self) -> float:
        """What counts as a difference at all."""
        return MARGIN_FRACTION * self.learnt

    @property
    def worse(self) -> bool:
        """Whether the arm is different because its mean is lower, or because it collapses more often."""
        lower = self.difference.chance < _ERROR_EACH and self.difference.mean < 0
        return self.verdict == "different" and (lower or self.collapses.chance < _ERROR_EACH)

    @property
    def reasons(self) -> tuple[str, ...]:
        """In what the arm is different; empty for any other verdict."""
        if self.verdict != "different":
            return ()
        chances = {
            "mean": self.difference.chance,
            "spread": self.spreads.chance,
            "number of collapsed runs": self.collapses.chance,
        }
        return tuple(name for name, chance in chances.items() if chance < _ERROR_EACH)


def difference_of(baseline: Iterable[float], arm: Iterable[float]) -> Difference:
    """Return Welch's difference of the means of those scores that are finite."""
    first, second = _finite(baseline), _finite(arm)
    if min(len(first), len(second)) < 2:
        return Difference(mean=math.nan, error=math.nan, freedom=math.nan)
    parts = [statistics.variance(scores) / len(scores) for scores in (first, second)]
    squares = [part**2 / (len(scores) - 1) for part, scores in zip(parts, (first, second), strict=True)]
    pooled = float(len(first) + len(second) - 2)
    freedom = sum(parts) ** 2 / sum(squares) if sum(squares) else pooled
    mean = statistics.fmean(second) - statistics.fmean(first)
    return Difference(mean=mean, error=math.sqrt(sum(parts)), freedom=freedom)


def judge(baseline: Column, arm: Column, floor: Floor) -> Judgement:
    """Compare an arm with the baseline in a score of which more is better.

    Raises:
        ValueError: fewer than two runs in the baseline or in the arm, or a floor or all of the baseline not finite.
    """
    if min(len(baseline), len(arm)) < 2 or not math.isfinite(floor.value) or not _finite(baseline.values()):
        message = f"two runs of each and a finite floor are needed; got {dict(baseline)}, {dict(arm)}, {floor}"
        raise ValueError(message)
    unsettled = Judgement(
        difference=difference_of(baseline.values(), arm.values()),
        floor=floor,
        learnt=statistics.fmean(_finite(baseline.values())) - floor.value,
        spreads=_spreads(_finite(baseline.values()), _finite(arm.values())),
        collapses=_collapses(baseline, arm, floor),
        laggards=_laggards(arm, baseline),
        baseline_laggards=_laggards(baseline, arm),
        verdict="cannot tell",
    )
    return attrs.evolve(unsettled, verdict=_settle(unsettled))


def conclude(level: Judgement, planted: Iterable[Judgement]) -> Verdict:
    """Give the verdict on a level in one score, given what became of the planted faults in the same score.

    Where no fault was found out, whatever its dose, nothing says that the experiment can find one.
    """
    if level.verdict == "equivalent within the margin" and not any(fault.worse for fault in planted):
        return "cannot tell"
    return level.verdict


def overall(verdicts: Mapping[str, Verdict]) -> Verdict:
    """Give the verdict on a level from those in several scores: one is enough for different; equivalent must be all.

    Raises:
        ValueError: there are none.
    """
    if not verdicts:
        message = "no score, no verdict"
        raise ValueError(message)
    found = set(verdicts.values())
    if "different" in found:
        return "different"
    return "cannot tell" if "cannot tell" in found else "equivalent within the margin"


def pick_floor(baseline: Column, candidates: Sequence[Floor]) -> Floor:
    """Return the first of the candidates that the middle run of the baseline beats, else the last.

    Raises:
        ValueError: there is no candidate.
    """
    if not candidates:
        message = "there is nothing that a floor could be"
        raise ValueError(message)
    middle = _middle(baseline)
    return next((floor for floor in candidates if floor.value < middle), candidates[-1])


def _settle(found: Judgement) -> Verdict:
    doubts = (
        found.collapses.baseline,
        found.collapses.arm,
        found.laggards,
        found.baseline_laggards,
        found.spreads.chance < _ERROR_EACH,
    )
    if found.difference.within(found.margin) and not any(doubts):
        return "equivalent within the margin"
    chances = (found.difference.chance, found.spreads.chance, found.collapses.chance)
    return "different" if min(chances) < _ERROR_EACH else "cannot tell"


def _spreads(baseline: Sequence[float], arm: Sequence[float]) -> Spreads:
    deviations = [statistics.stdev(scores) if len(scores) > 1 else math.nan for scores in (baseline, arm)]
    return Spreads(baseline=deviations[0], arm=deviations[1], chance=_chance_of_spreads(baseline, arm))


def _chance_of_spreads(baseline: Sequence[float], arm: Sequence[float]) -> float:
    """Test as Brown and Forsythe whether the distances from the median differ, by Student's t for one variance."""
    if min(len(baseline), len(arm)) < 3:
        return 1.0
    distances = [[abs(score - statistics.median(scores)) for score in scores] for scores in (baseline, arm)]
    freedom = len(baseline) + len(arm) - 2
    variance = sum(statistics.pvariance(some) * len(some) for some in distances) / freedom
    if variance == 0:
        return 1.0
    difference = statistics.fmean(distances[1]) - statistics.fmean(distances[0])
    return _chance(difference / math.sqrt(variance * (1 / len(baseline) + 1 / len(arm))), freedom)


def _collapses(baseline: Column, arm: Column, floor: Floor) -> Collapses:
    least = floor.value + COLLAPSED_BELOW * max(0.0, _middle(baseline) - floor.value)
    first, second = (tuple(s for s, score in runs.items() if not score > least) for runs in (baseline, arm))
    if not first and not second:
        return Collapses(baseline=(), arm=(), chance=1.0)
    table = [[len(first), len(baseline) - len(first)], [len(second), len(arm) - len(second)]]
    return Collapses(baseline=first, arm=second, chance=float(fisher_exact(table)[1]))


def _laggards(arm: Column, others: Column) -> tuple[int, ...]:
    """Return runs below what the worst of so many more of the others falls below in `_ERROR_EACH` of all cases."""
    known = _finite(others.values())
    if len(known) < 2:
        return ()
    reach = _quantile(1 - _ERROR_EACH / len(arm), len(known) - 1) * math.sqrt(1 + 1 / len(known))
    limit = statistics.fmean(known) - reach * statistics.stdev(known)
    return tuple(seed for seed, score in arm.items() if score < limit)


def _middle(column: Column) -> float:
    return statistics.median(score if math.isfinite(score) else -math.inf for score in column.values())


def _finite(scores: Iterable[float]) -> list[float]:
    return [score for score in scores if math.isfinite(score)]


def _quantile(probability: float, freedom: float) -> float:
    return float(stdtrit(freedom, probability))


def _chance(t: float, freedom: float) -> float:
    """Return how often Student's t lies as far from 0."""
    return float(2 * stdtr(freedom, -abs(t)))
