import math

import numpy as np
import pytest
import torch
from scipy.stats import bootstrap
from vs_metrics import (
    LEAST_CLIPS,
    Average,
    bootstrap_means,
    clips_with,
    combine,
    expanded_tail,
    interval_of,
    mean_of,
    resample_counts,
)


def clips(seed: int, count: int) -> list[dict[str, Average]]:
    random = np.random.default_rng(seed)
    return [
        {
            "psnr": Average(total=float(random.normal(20, 2)) * 30, weight=30.0),
            "epe": Average(total=float(random.uniform(50, 90)), weight=float(random.integers(50, 200))),
        }
        for _ in range(count)
    ]


@pytest.mark.parametrize("name", ["psnr", "epe"])
def test_intervals_are_those_of_scipy_at_the_expanded_level(name: str) -> None:
    found = clips(0, 12)
    interval = interval_of(bootstrap_means(found, resamples=20_000)(name), 12)
    totals, weights = (np.array([getattr(clip[name], part) for clip in found]) for part in ("total", "weight"))
    expected = bootstrap(
        (totals, weights),
        lambda total, weight, axis: total.sum(axis=axis) / weight.sum(axis=axis),
        paired=True,
        vectorized=True,
        n_resamples=20_000,
        method="percentile",
        confidence_level=1 - 2 * expanded_tail(12),
        rng=np.random.default_rng(1),
    )
    width = expected.confidence_interval.high - expected.confidence_interval.low
    assert interval is not None
    assert interval.low == pytest.approx(expected.confidence_interval.low, abs=0.04 * width)
    assert interval.high == pytest.approx(expected.confidence_interval.high, abs=0.04 * width)


def students_quantile(degrees: int) -> float:
    """The quantile 0.975 of Student's distribution where it has a closed form."""
    part = 4 * 0.975 * 0.025
    match degrees:
        case 1:
            return math.tan(0.475 * math.pi)
        case 2:
            return 0.95 * math.sqrt(2 / part)
        case _:  # 4
            return 2 * math.sqrt(math.cos(math.acos(math.sqrt(part)) / 3) / math.sqrt(part) - 1)


@pytest.mark.parametrize("count", [2, 3, 5])
def test_the_expanded_tail_is_that_of_closed_forms(count: int) -> None:
    deviations = math.sqrt(count / (count - 1)) * students_quantile(count - 1)
    assert expanded_tail(count) == pytest.approx(math.erfc(deviations / math.sqrt(2)) / 2, rel=1e-6)
    assert expanded_tail(1_000_000) == pytest.approx(0.025, rel=1e-4)


def coverage(kind: str, count: int, *, expanded: bool = True) -> float:
    """How often intervals of the mean of so many numbers hold the mean of all."""
    random, cases = np.random.default_rng(count), 1_000
    drawn, truth = {"normal": (random.normal, 0.0), "skewed": (random.exponential, 1.0)}[kind]
    values = torch.from_numpy(drawn(size=(cases, count)))
    means = values @ resample_counts(count, resamples=2_000).T / count
    tail = expanded_tail(count) if expanded else 0.025
    low, high = torch.quantile(means, torch.tensor([tail, 1 - tail], dtype=torch.float64), dim=1)
    if expanded:
        interval = interval_of(means[0], count)
        assert interval is not None
        assert (interval.low, interval.high) == pytest.approx((float(low[0]), float(high[0])))
    return float(((low <= truth) & (truth <= high)).double().mean())


@pytest.mark.parametrize(
    ("kind", "count", "tolerance"),
    [
        ("normal", LEAST_CLIPS, 0.06),
        ("normal", 8, 0.03),
        ("normal", 16, 0.03),
        ("skewed", LEAST_CLIPS, 0.11),
        ("skewed", 8, 0.07),
        ("skewed", 16, 0.05),
    ],
)
def test_intervals_hold_the_truth_nearly_as_often_as_they_say(kind: str, count: int, tolerance: float) -> None:
    assert coverage(kind, count) == pytest.approx(0.95, abs=tolerance)


def test_plain_percentiles_would_be_too_short() -> None:
    assert coverage("normal", LEAST_CLIPS, expanded=False) < 0.95 - 0.08


def test_of_too_few_clips_there_is_no_interval_as_their_whole_range_would_not_do() -> None:
    few = LEAST_CLIPS - 1
    assert 1 - 2.0 ** (1 - few) < 0.95 - 0.05  # how often the range of so few holds the median
    values = bootstrap_means(clips(2, few))("psnr")
    assert interval_of(values, few) is None
    assert interval_of(values, LEAST_CLIPS) is not None


def test_a_resample_is_a_mean_of_the_clips_that_were_drawn() -> None:
    found = clips(3, 5)
    counts = resample_counts(5, resamples=4, seed=7)
    assert counts.sum(dim=1).tolist() == [5.0] * 4
    means = bootstrap_means(found, resamples=4, seed=7)("epe")
    for row, mean in zip(counts.int().tolist(), means.tolist(), strict=True):
        drawn = [clip["epe"] for clip, times in zip(found, row, strict=True) for _ in range(times)]
        assert mean == pytest.approx(mean_of(combine(drawn)))


def test_draws_repeat_and_are_the_same_for_all_scores() -> None:
    found = [{"a": each["psnr"], "b": Average(total=2 * each["psnr"].total, weight=30.0)} for each in clips(1, 8)]
    means = bootstrap_means(found)
    torch.testing.assert_close(2 * means("a"), means("b"))
    torch.testing.assert_close(means("a"), bootstrap_means(found)("a"))
    assert not torch.equal(means("a"), bootstrap_means(found, seed=1)("a"))


def test_clips_without_a_score_weigh_nothing_and_where_a_resample_has_none_there_is_no_interval() -> None:
    both = [{"a": Average(total=float(k), weight=1.0)} for k in range(6)]
    with_empty = [*both, {}, {"a": Average()}, {"b": Average(total=1.0, weight=1.0)}]
    assert (clips_with(with_empty, "a"), clips_with(with_empty, "b"), clips_with(with_empty, "a", "b")) == (6, 1, 0)
    wide = interval_of(bootstrap_means([*both, {}])("a"), 6)
    assert wide is not None
    assert 0.0 < wide.low < 2.5 < wide.high < 5.0
    assert interval_of(bootstrap_means([both[0], {}])("a"), 6) is None
    alone = interval_of(bootstrap_means([both[3], both[3]])("a"), 6)
    assert alone is not None
    assert (alone.low, alone.high) == (3.0, 3.0)
