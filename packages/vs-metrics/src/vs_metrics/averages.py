"""Means that can be added up: over frames, clips and processes, without losing their weights."""

import math
from collections.abc import Iterable

import attrs
import torch
from torch import Tensor

from vs_metrics.errors import VsMetricsError


@attrs.frozen(kw_only=True)
class Average:
    """A weighted mean in two summable numbers: `total` (sum of weight times value) and `weight` (sum of weights)."""

    total: float = 0.0
    weight: float = 0.0


def average_of(values: Tensor, weights: Tensor | None = None) -> Average:
    """Return the weighted average of a tensor of any shape; summed in float64.

    Values whose weight is zero do not count, whatever they are (a frame without one confident pixel has no error).

    Args:
        values: any shape.
        weights: same shape, not negative; None: every value weighs 1.

    Raises:
        VsMetricsError: the shapes differ, or a weight is negative.
    """
    numbers = values.detach().double()
    mass = torch.ones_like(numbers) if weights is None else weights.detach().double()
    if mass.shape != numbers.shape:
        raise VsMetricsError(f"weights have shape {tuple(mass.shape)}, values {tuple(numbers.shape)}")
    if bool((mass < 0).any()):
        raise VsMetricsError(f"weights must not be negative, the smallest is {float(mass.min())}")
    counted = torch.where(mass > 0, numbers * mass, 0.0)
    return Average(total=float(counted.sum()), weight=float(mass.sum()))


def combine(averages: Iterable[Average]) -> Average:
    """Return the average of everything that the given averages were made of; of nothing: weight 0."""
    parts = list(averages)
    return Average(total=sum(part.total for part in parts), weight=sum(part.weight for part in parts))


def mean_of(average: Average) -> float:
    """Return the mean itself; nan when nothing was averaged."""
    return average.total / average.weight if average.weight > 0 else math.nan
