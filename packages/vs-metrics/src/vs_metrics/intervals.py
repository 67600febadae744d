"""Where a score would lie on other clips of the same kind: percentile bootstrap over clips, of all scores at once."""

from collections.abc import Callable, Mapping, Sequence

import attrs
import torch
from torch import Tensor

from vs_metrics.averages import Average

RESAMPLES = 2_000
"""How often clips are drawn anew."""

LEVEL = 0.95
"""Share of what was drawn that an interval holds."""

LEAST_CLIPS = 2
"""Clips below which there is no interval: one clip says nothing of how clips differ."""


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


def interval_of(values: Tensor) -> Interval | None:
    """Return the interval that holds the middle 95 % of what resamples gave; None where a resample gave nothing."""
    finite = values[values.isfinite()]
    if len(finite) < len(values) or not len(finite):
        return None
    tail = (1 - LEVEL) / 2
    low, high = torch.quantile(finite.double(), torch.tensor([tail, 1 - tail], dtype=torch.float64)).tolist()
    return Interval(low=low, high=high)


def bootstrap_means(
    clips: Sequence[Mapping[str, Average]], *, resamples: int = RESAMPLES, seed: int = 0
) -> Callable[[str], Tensor]:
    """Return what gives, for each score, its mean in each resample of the clips: (resamples,) float64.

    A resample's mean is that of all that its clips' averages were made of, each clip weighing what it weighs, as in
    `combine`. All scores see the same resamples, so that differences between them are paired. A score that a clip lacks
    weighs 0 there.

    Source: Efron 1979, percentile intervals; clips are what is drawn, since frames of a clip are alike.

    Args:
        clips: the scores of each clip by name.
        resamples: how often clips are drawn.
        seed: of the draws.
    """
    names = list(dict.fromkeys(name for clip in clips for name in clip))
    found = [[clip.get(name, Average()) for name in names] for clip in clips]
    totals = torch.tensor([[each.total for each in row] for row in found], dtype=torch.float64).reshape(len(clips), -1)
    weights = torch.tensor([[each.weight for each in row] for row in found], dtype=torch.float64).reshape(totals.shape)
    counts = resample_counts(len(clips), resamples=resamples, seed=seed)
    means = (counts @ totals) / (counts @ weights)
    columns = dict(zip(names, means.unbind(1), strict=True))
    return columns.__getitem__
