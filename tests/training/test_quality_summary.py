import math

import pytest
import torch
from vs_metrics import LEAST_CLIPS, Average, Interval
from vs_training.quality.scoring import ClipScores
from vs_training.quality.sets import SetMeasure, interval_of_sums, set_metric, set_metric_json
from vs_training.quality.summary import summarise

DISTANCE = SetMeasure(
    name="distance",
    title="distance of means",
    unit="levels",
    better="lower",
    digits=1,
    least_frames=10,
    source="a test",
    limits="sees nothing but the mean",
)


def clip(name: str, **means: float) -> ClipScores:
    totals = {key.replace("__", "/"): Average(total=4 * mean, weight=4) for key, mean in means.items()}
    return ClipScores(name=name, frames=4, totals=totals, curves={})


def test_scores_and_claims_have_intervals_over_clips() -> None:
    clips = [clip(str(k), psnr__generated=20.0 + k % 5, psnr__class_mean=19.0 + k % 5) for k in range(20)]
    report = summarise(clips)
    interval = report.intervals["psnr/generated"]
    assert 20.0 < interval.low < 22.0 < interval.high < 24.0
    (lead,) = [item.lead for item in report.comparisons]
    assert lead is not None  # clips differ, and what they are ahead by does not: draws are paired
    assert (lead.low, lead.high) == pytest.approx((1.0, 1.0))


def test_the_lead_of_what_should_be_low_is_how_far_it_is_below() -> None:
    report = summarise([clip(str(k), epe__generated=1.0, epe__zero=1.5) for k in range(LEAST_CLIPS)])
    (item,) = report.comparisons
    assert item.holds
    assert item.lead == Interval(low=0.5, high=0.5)


def test_few_clips_have_no_intervals() -> None:
    clips = [clip(str(k), psnr__generated=20.0 + k, psnr__class_mean=19.0) for k in range(LEAST_CLIPS - 1)]
    report = summarise(clips)
    assert report.intervals == {}
    assert [item.lead for item in report.comparisons] == [None]


def test_of_too_few_frames_a_set_metric_says_nothing() -> None:
    found = set_metric(DISTANCE, 9, lambda: 1 / 0)
    assert math.isnan(found.value)
    assert found.note == "9 frames: distance of means needs at least 10"
    assert set_metric_json(found)["value"] is None
    assert set_metric(DISTANCE, 10, lambda: 3.0, interval=lambda: Interval(low=2.0, high=4.0)).interval is not None


def test_the_interval_of_a_ratio_of_sums_is_that_of_its_clips() -> None:
    sums = torch.tensor([[1.0, 2.0], [3.0, 4.0], [8.0, 8.0]]).repeat(2, 1)
    interval = interval_of_sums(sums, lambda drawn: drawn[:, 0] / drawn[:, 1])
    assert interval is not None
    assert 0.5 <= interval.low < 12 / 14 < interval.high <= 1.0
    assert interval_of_sums(sums[:4], lambda drawn: drawn[:, 0]) is None
