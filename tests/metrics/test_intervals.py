import numpy as np
import pytest
import torch
from scipy.stats import bootstrap
from vs_metrics import Average, bootstrap_means, combine, interval_of, mean_of, resample_counts


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
def test_intervals_are_those_of_scipy(name: str) -> None:
    found = clips(0, 12)
    interval = interval_of(bootstrap_means(found, resamples=20_000)(name))
    totals, weights = (np.array([getattr(clip[name], part) for clip in found]) for part in ("total", "weight"))
    expected = bootstrap(
        (totals, weights),
        lambda total, weight, axis: total.sum(axis=axis) / weight.sum(axis=axis),
        paired=True,
        vectorized=True,
        n_resamples=20_000,
        method="percentile",
        rng=np.random.default_rng(1),
    )
    width = expected.confidence_interval.high - expected.confidence_interval.low
    assert interval is not None
    assert interval.low == pytest.approx(expected.confidence_interval.low, abs=0.03 * width)
    assert interval.high == pytest.approx(expected.confidence_interval.high, abs=0.03 * width)


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
    wide = interval_of(bootstrap_means([*both, {}])("a"))
    assert wide is not None
    assert 0.0 < wide.low < 2.5 < wide.high < 5.0
    assert interval_of(bootstrap_means([both[0], {}])("a")) is None
    assert interval_of(torch.tensor([1.0, torch.nan])) is None
    alone = interval_of(bootstrap_means([both[3], both[3]])("a"))
    assert alone is not None
    assert (alone.low, alone.high) == (3.0, 3.0)
