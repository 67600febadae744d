import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchmetrics import MeanMetric
from vs_metrics import Average, VsMetricsError, average_of, combine, mean_of

NUMBERS = st.lists(st.tuples(st.floats(-100, 100), st.floats(0, 10)), min_size=1, max_size=30)


@settings(deadline=None, max_examples=50)
@given(pairs=NUMBERS, cut=st.integers(0, 30))
def test_parts_combine_to_the_whole(pairs: list[tuple[float, float]], cut: int) -> None:
    values = torch.tensor([value for value, _ in pairs], dtype=torch.float64)
    weights = torch.tensor([weight for _, weight in pairs], dtype=torch.float64)
    whole = average_of(values, weights)
    parts = combine([average_of(values[:cut], weights[:cut]), average_of(values[cut:], weights[cut:])])
    assert parts.weight == pytest.approx(whole.weight)
    assert parts.total == pytest.approx(whole.total, abs=1e-9)


@settings(deadline=None, max_examples=20)
@given(pairs=NUMBERS, cut=st.integers(0, 30))
def test_parts_combine_to_what_torchmetrics_merges(pairs: list[tuple[float, float]], cut: int) -> None:
    def theirs(part: torch.Tensor) -> MeanMetric:
        metric = MeanMetric().set_dtype(torch.float64)
        metric.update(*part.unbind(1))
        return metric

    table = torch.tensor(pairs, dtype=torch.float64)
    parts = [part for part in (table[:cut], table[cut:]) if len(part)]
    merged = theirs(parts[0])
    for part in parts[1:]:
        merged.merge_state(theirs(part))
    ours = mean_of(combine(average_of(*part.unbind(1)) for part in parts))
    assert ours == pytest.approx(float(merged.compute()), rel=1e-9, abs=1e-9, nan_ok=True)


def test_mean_is_weighted_and_unweighted_by_default() -> None:
    assert mean_of(average_of(torch.tensor([1.0, 5.0]), torch.tensor([3.0, 1.0]))) == 2.0
    assert mean_of(average_of(torch.tensor([[1.0, 5.0]]))) == 3.0


def test_values_without_weight_do_not_count_whatever_they_are() -> None:
    values = torch.tensor([math.nan, 2.0, math.inf])
    assert mean_of(average_of(values, torch.tensor([0.0, 1.0, 0.0]))) == 2.0


def test_the_mean_of_nothing_is_nan() -> None:
    assert math.isnan(mean_of(Average()))
    assert math.isnan(mean_of(combine([])))


def test_wrong_weights_are_refused() -> None:
    with pytest.raises(VsMetricsError, match="negative"):
        average_of(torch.ones(2), torch.tensor([1.0, -1.0]))
    with pytest.raises(VsMetricsError, match="shape"):
        average_of(torch.ones(2), torch.ones(3))
