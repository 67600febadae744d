"""How a metric responds to a fault: by how much, in which order, and from which size on."""

import itertools
import statistics
from collections.abc import Sequence
from typing import Literal

import attrs
from scipy.stats import spearmanr

from vs_bench.ruler.faults import Fault
from vs_bench.ruler.metrics import Metric

Verdict = Literal["sees", "blind", "rewards"]


@attrs.frozen(kw_only=True)
class Response:
    """The response of a metric to a fault. All values are of the same clips in the same order.

    Attributes:
        metric: what measures; one that is of all clips together has one value instead of one for each clip.
        fault: what is planted.
        true: of the true clips.
        saved: of the true clips, as they come back from a video file.
        planted: of the clips with the fault, for each of its sizes.
    """

    metric: Metric
    fault: Fault
    true: tuple[float, ...]
    saved: tuple[float, ...]
    planted: tuple[tuple[float, ...], ...]

    @property
    def changes(self) -> tuple[float, ...]:
        """The mean change from the true clips for each size; above 0: worse."""
        return tuple(statistics.fmean(_changes(self.metric, self.true, values)) for values in self.planted)

    @property
    def band(self) -> float:
        """The largest change, for better or worse, that saving as a video makes in a clip: up to it nothing is seen."""
        return max(abs(change) for change in _changes(self.metric, self.true, self.saved))

    @property
    def rank(self) -> float:
        """Spearman's rank correlation of size and change, mean over clips, with 0 of the true clip; 0: no change."""
        sizes = (0.0, *self.fault.sizes)
        return statistics.fmean(
            _rank_correlation(sizes, (0.0, *(_changes(self.metric, self.true, row)[clip] for row in self.planted)))
            for clip in range(len(self.true))
        )

    @property
    def verdict(self) -> Verdict:
        """What becomes of the largest fault: it is worse than the band, or in it, or better than it."""
        if abs(self.changes[-1]) <= self.band:
            return "blind"
        return "sees" if self.changes[-1] > 0 else "rewards"

    @property
    def visible(self) -> float | None:
        """The smallest size from which on all changes lie beyond the band, on the side of the largest; or None."""
        if self.verdict == "blind":
            return None
        side = 1 if self.verdict == "sees" else -1
        beyond = itertools.takewhile(
            lambda pair: side * pair[1] > self.band,
            zip(reversed(self.fault.sizes), reversed(self.changes), strict=True),
        )
        return min(size for size, _ in beyond)


def _changes(metric: Metric, true: Sequence[float], values: Sequence[float]) -> tuple[float, ...]:
    sign = 1 if metric.better == "lower" else -1
    return tuple(sign * (value - start) for value, start in zip(values, true, strict=True))


def _rank_correlation(sizes: Sequence[float], changes: Sequence[float]) -> float:
    if len(set(changes)) == 1:
        return 0.0
    return float(spearmanr(sizes, changes).statistic)
