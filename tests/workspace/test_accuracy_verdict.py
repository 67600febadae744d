"""What the accuracy experiment may conclude from its numbers."""

import math
import statistics
from random import Random

import pytest
from accuracy_verdict import compare, conclude, overall, verdict
from hypothesis import assume, given
from hypothesis import strategies as st

SCORES = st.floats(-50.0, 50.0)
SEEDS = st.integers(2, 6)


@st.composite
def columns(draw, count):
    """So many arms with one score for each of the same seeds."""
    seeds = draw(SEEDS)
    return [draw(st.lists(SCORES, min_size=seeds, max_size=seeds)) for _ in range(count)]


def plain(compared):
    """Far enough from the threshold that rounding decides nothing."""
    return abs(abs(compared.mean) - compared.threshold) > 1e-6 * (1 + abs(compared.mean) + compared.threshold)


def test_planted_runs_inside_the_spread_mean_no_power():
    baseline = [16.0, 16.5, 17.0]
    assert verdict(baseline, [16.1, 16.4, 17.0], planted=[15.9, 16.3, 16.9]) == "no power"


def test_planted_runs_outside_the_spread_let_a_level_inside_pass():
    baseline = [16.0, 16.5, 17.0]
    assert verdict(baseline, [16.1, 16.4, 17.0], planted=[14.1, 14.4, 15.2]) == "no difference seen"


def test_a_level_outside_the_spread_is_a_difference_whatever_became_of_the_planted_fault():
    baseline, worse = [16.0, 16.5, 17.0], [14.8, 15.2, 15.7]
    assert verdict(baseline, worse, planted=[14.1, 14.4, 15.2]) == "difference"
    assert verdict(baseline, worse, planted=[16.0, 16.5, 17.0]) == "difference"


def test_a_large_mean_difference_of_which_the_seeds_disagree_is_not_outside():
    compared = compare([16.0, 16.1, 16.2], [16.0, 16.1, 12.2])
    assert abs(compared.mean) > compared.spread
    assert not compared.outside


def test_many_seeds_that_agree_on_less_than_the_spread_are_consistent_but_not_outside():
    baseline = [15.0, 16.0, 17.0] * 8
    compared = compare(baseline, [x - 0.6 for x in baseline])
    assert compared.consistent
    assert not compared.outside


def test_the_interval_is_that_of_the_textbook():
    compared = compare([0.0, 0.0, 0.0], [1.0, 2.0, 3.0])  # variances 0 and 1, four degrees of freedom
    half = 2.776 * math.sqrt(0.5 * (1 / 3 + 1 / 3))
    assert compared.interval == pytest.approx((2 - half, 2 + half))
    assert compare([1.0, 2.0, 3.0], [0.0, 0.0, 0.0]).spread == 1.0


def test_many_seeds_have_a_quantile_too():
    scores = [float(i % 2) for i in range(60)]
    half = compare([0.0] * 60, scores).half_width
    assert half == pytest.approx(2.042 * statistics.stdev(scores) / math.sqrt(60))


@given(columns(2), st.randoms(use_true_random=False))
def test_which_run_had_which_seed_does_not_matter(arms, random):
    baseline, level = arms
    assume(plain(compare(baseline, level)))
    shuffled = compare(baseline, random.sample(level, len(level)))
    assert shuffled.outside == compare(baseline, level).outside
    assert shuffled.half_width == pytest.approx(compare(baseline, level).half_width)


@given(columns(2))
def test_without_a_planted_arm_outside_nobody_says_that_there_is_no_difference(arms):
    baseline, level = arms
    assert verdict(baseline, level, planted=baseline) in ("no power", "difference")


@given(columns(3))
def test_the_verdict_follows_from_who_is_outside(arms):
    baseline, level, planted = arms
    found = verdict(baseline, level, planted)
    assert (found == "difference") == compare(baseline, level).outside
    assert (found == "no difference seen") == (
        not compare(baseline, level).outside and compare(baseline, planted).outside
    )


@given(columns(2), st.randoms(use_true_random=False))
def test_the_order_of_the_seeds_does_not_matter(arms, random):
    baseline, level = arms
    order = list(range(len(baseline)))
    random.shuffle(order)
    assume(plain(compare(baseline, level)))
    shuffled = compare([baseline[i] for i in order], [level[i] for i in order])
    assert shuffled.outside == compare(baseline, level).outside
    assert shuffled.mean == pytest.approx(compare(baseline, level).mean)


@given(columns(2), st.floats(-100, 100), st.sampled_from([-8.0, -0.25, 0.5, 4.0]))
def test_neither_unit_nor_zero_nor_direction_of_a_score_matters(arms, shift, factor):
    baseline, level = arms
    compared = compare(baseline, level)
    assume(plain(compared))
    moved = compare([factor * x + shift for x in baseline], [factor * x + shift for x in level])
    assert moved.outside == compared.outside
    assert moved.threshold == pytest.approx(abs(factor) * compared.threshold, abs=1e-9)


@given(columns(1), st.floats(1e-3, 1.0))
def test_a_shift_of_all_seeds_is_seen_if_it_is_larger_than_the_threshold(arms, part):
    (baseline,) = arms
    threshold = compare(baseline, baseline).threshold
    assume(threshold > 1e-3)
    assert compare(baseline, [x + (1 + part) * threshold for x in baseline]).outside
    assert not compare(baseline, [x + (1 - part) * threshold for x in baseline]).outside


def test_chance_alone_is_outside_no_more_often_than_the_interval_says():
    """Both arms from one normal distribution, three seeds each: an interval of 95 % lacks 0 in one of twenty cases."""
    random = Random(0)
    draw = lambda: [random.gauss(16.0, 0.5) for _ in range(3)]  # noqa: E731
    cases = [compare(draw(), draw()) for _ in range(4000)]
    assert sum(case.outside for case in cases) <= sum(case.consistent for case in cases) < 0.06 * len(cases)
    assert sum(case.consistent for case in cases) > 0.04 * len(cases)


@given(columns(3))
def test_a_run_that_diverged_is_outside(arms):
    baseline, level, planted = arms
    broken = [math.nan, *planted[1:]]
    assert compare(baseline, broken).outside
    assert verdict(baseline, broken, planted) == "difference"
    assert verdict(baseline, level, broken) != "no power"


@pytest.mark.parametrize("broken", [math.inf, -math.inf, math.nan])
def test_a_score_that_is_not_finite_is_that_of_a_run_that_diverged(broken):
    assert compare([1.0, 2.0, 3.0], [broken] * 3).outside
    assert math.isnan(compare([1.0, 2.0, 3.0], [1.0, 2.0, broken]).mean)


@pytest.mark.parametrize(
    ("baseline", "arm", "message"),
    [([1.0, 2.0], [1.0], "the same seeds"), ([1.0], [1.0], "two at least"), ([1.0, math.nan], [1.0, 2.0], "diverged")],
)
def test_what_cannot_be_compared_is_refused(baseline, arm, message):
    with pytest.raises(ValueError, match=message):
        compare(baseline, arm)


def test_one_difference_is_a_difference_and_one_score_with_power_is_enough():
    assert overall({"psnr": "no power", "ssim": "difference"}) == "difference"
    assert overall({"psnr": "no power", "ssim": "no difference seen"}) == "no difference seen"
    assert overall({"psnr": "no power", "ssim": "no power"}) == "no power"
    with pytest.raises(ValueError, match="no score"):
        overall({})


def test_equal_runs_are_no_difference_once_there_is_power():
    baseline = [16.0, 16.5, 17.0]
    seen = compare(baseline, [10.0, 10.5, 11.0])
    assert conclude(compare(baseline, baseline), seen) == "no difference seen"
