"""What the accuracy experiment may conclude from its numbers."""

import itertools
import math
import statistics
from random import Random

import attrs
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats
from vs_bench.accuracy.verdict import (
    ERROR,
    MARGIN_FRACTION,
    Difference,
    Floor,
    conclude,
    difference_of,
    judge,
    overall,
    pick_floor,
)

EQUIVALENT, DIFFERENT, UNKNOWN = "equivalent within the margin", "different", "cannot tell"
FLOOR = Floor(name="class_mean", value=15.0)
SCORES = st.integers(-400, 400).map(lambda eighths: eighths / 8)
"""Such that units and zeros can be changed without rounding."""
O0 = (16.4, 16.5, 16.6, 16.5, 16.45, 16.55)
"""Runs that learnt 1.5 above the floor, so that the margin is 0.3."""


def column(scores):
    return dict(enumerate(scores))


def judged(baseline, arm, floor=FLOOR):
    return judge(column(baseline), column(arm), floor)


def drawn(random, seeds, mean=16.5, spread=0.2):
    return [random.gauss(mean, spread) for _ in range(seeds)]


@st.composite
def columns(draw, count, least=2):
    return [draw(st.lists(SCORES, min_size=least, max_size=8)) for _ in range(count)]


def test_equal_runs_are_equivalent_and_a_shift_beyond_the_margin_is_a_difference():
    assert judged(O0, O0).verdict == EQUIVALENT
    assert judged(O0, O0).margin == pytest.approx(MARGIN_FRACTION * 1.5)
    worse = judged(O0, [score - 0.5 for score in O0])
    assert (worse.verdict, worse.reasons, worse.worse) == (DIFFERENT, ("mean",), True)
    better = judged(O0, [score + 0.5 for score in O0])
    assert (better.verdict, better.worse) == (DIFFERENT, False)


def test_a_shift_that_is_seen_but_smaller_than_the_margin_is_equivalent():
    found = judged(O0, [score - 0.15 for score in O0])
    assert found.difference.chance < ERROR
    assert found.verdict == EQUIVALENT


def test_few_or_scattered_runs_tell_nothing():
    assert judged([16.2, 16.8], [16.3, 16.7]).verdict == UNKNOWN
    assert judged([15.9, 16.5, 17.1], [16.0, 16.4, 17.0]).verdict == UNKNOWN


@pytest.mark.parametrize(("collapsed", "seeds"), [(2, 3), (3, 6), (1, 6), (1, 12), (1, 30)])
def test_a_collapse_in_one_level_and_none_in_the_other_is_never_equivalent(collapsed, seeds):
    sound = list(itertools.islice(itertools.cycle(O0), seeds))
    broken = [15.0 + 0.01 * seed for seed in range(collapsed)] + sound[collapsed:]
    found = judged(sound, broken)
    assert found.verdict != EQUIVALENT
    assert found.collapses.arm == tuple(range(collapsed))
    assert judged(broken, sound).verdict != EQUIVALENT


def test_many_collapses_are_a_difference_of_their_own():
    random = Random(1)
    found = judged(drawn(random, 8), [15.0] * 6 + drawn(random, 2))
    assert found.verdict == DIFFERENT
    assert "number of collapsed runs" in found.reasons
    assert found.worse
    assert found.collapses.chance == pytest.approx(stats.fisher_exact([[0, 8], [6, 2]])[1])


def test_a_run_that_diverged_has_collapsed_and_the_others_are_compared():
    found = judged(O0, [math.nan, *O0[1:]])
    assert found.collapses.arm == (0,)
    assert found.verdict == UNKNOWN
    assert math.isfinite(found.difference.mean)
    assert judged([math.nan, *O0[1:]], O0).verdict == UNKNOWN
    assert math.isnan(judged(O0, [math.nan] * 6).difference.mean)
    assert judged(O0, [math.nan] * 6).verdict == DIFFERENT


def test_a_run_far_below_the_others_bars_equivalence_though_it_did_not_collapse():
    many = O0 * 5
    found = judged(many, [*many[:-1], 15.9])
    assert found.difference.within(found.margin)
    assert found.collapses.arm == ()
    assert found.laggards == (29,)
    assert found.verdict == UNKNOWN
    assert judged([*many[:-1], 15.9], many).baseline_laggards == (29,)


def test_runs_that_scatter_more_are_a_difference_though_their_mean_is_the_same():
    random = Random(0)
    found = judged(drawn(random, 12, spread=0.05), drawn(random, 12, spread=0.5))
    assert (found.verdict, found.reasons) == (DIFFERENT, ("spread",))
    assert not found.worse


def test_nothing_learnt_means_that_nothing_can_be_told():
    found = judged(O0, O0, Floor(name="repeated", value=24.5))
    assert found.learnt < 0
    assert found.verdict == UNKNOWN


@given(columns(2))
def test_the_difference_is_that_of_welch_in_the_textbook(arms):
    baseline, arm = arms
    found = difference_of(baseline, arm)
    assume(min(statistics.stdev(baseline), statistics.stdev(arm)) > 1e-3)
    reference = stats.ttest_ind(arm, baseline, equal_var=False)
    assert found.chance == pytest.approx(reference.pvalue, abs=1e-9)
    low, high = reference.confidence_interval(1 - ERROR)
    assert found.interval() == pytest.approx((low, high))


def test_two_one_sided_tests_are_those_of_the_closed_form():
    baseline, arm = [16.3, 16.5, 16.7, 16.4], [16.5, 16.4, 16.6, 16.9, 16.3]
    found = difference_of(baseline, arm)
    for margin in (0.1, 0.2, 0.3, 0.4, 0.5):
        worse = stats.ttest_ind([x + margin for x in arm], baseline, equal_var=False, alternative="greater")
        better = stats.ttest_ind([x - margin for x in arm], baseline, equal_var=False, alternative="less")
        assert found.within(margin) == (max(worse.pvalue, better.pvalue) < ERROR)


@given(columns(2, least=3))
def test_the_test_of_the_spreads_is_that_of_brown_and_forsythe(arms):
    baseline, arm = arms
    assume(min(len({abs(x - statistics.median(scores)) > 1e-3 for x in scores}) for scores in arms) == 2)
    expected = stats.levene(baseline, arm, center="median").pvalue
    assert judged(baseline, arm).spreads.chance == pytest.approx(expected, abs=1e-9)


@given(columns(2))
def test_the_verdict_depends_neither_on_the_order_of_runs_nor_on_unit_and_zero_of_the_score(arms):
    baseline, arm = arms
    found = judged(baseline, arm)
    moved = judged([4 * x + 64 for x in baseline], [4 * x + 64 for x in arm], Floor(name="f", value=4 * 15.0 + 64))
    assume(settled(found))
    assert moved.verdict == found.verdict
    assert judged(baseline[::-1], arm[::-1]).verdict == found.verdict


def settled(found):
    """Far enough from every threshold that rounding decides nothing."""
    chances = (found.difference.chance, found.spreads.chance)
    low, high = found.difference.interval(2 * ERROR)
    edges = (abs(high - found.margin), abs(low + found.margin))
    spreads = (found.spreads.baseline, found.spreads.arm)
    return all(abs(c - ERROR / 3) > 1e-6 for c in chances) and min(*edges, *spreads) > 1e-6


@given(columns(2), st.sampled_from(O0))
def test_equivalence_asks_for_every_run(arms, score):
    """Whatever the runs are, one that is where the floor is forbids it, and so does one that diverged."""
    baseline, arm = arms
    floor = Floor(name="f", value=min(baseline) - 1)
    assert judge(column(baseline), column([*arm, floor.value]), floor).verdict != EQUIVALENT
    assert judge(column(baseline), column([*arm, math.nan]), floor).verdict != EQUIVALENT


def rates(seeds, cases, **arm):
    """How often each verdict is reached for an arm like this beside runs of a normal distribution."""
    random = Random(7)
    found = [judged(drawn(random, seeds), drawn(random, seeds, **arm)).verdict for _ in range(cases)]
    return {verdict: found.count(verdict) / cases for verdict in (EQUIVALENT, DIFFERENT, UNKNOWN)}


def test_identical_distributions_are_found_equivalent_as_often_as_the_power_says_and_seldom_different():
    found = rates(7, 800)
    error = 0.2 * math.sqrt(2 / 7)
    power = Difference(mean=0.0, error=error, freedom=12.0).power(MARGIN_FRACTION * 1.5)
    assert found[EQUIVALENT] == pytest.approx(power, abs=0.06)
    assert found[DIFFERENT] < ERROR


def test_an_arm_that_is_worse_by_the_margin_is_seldom_found_equivalent():
    assert rates(8, 600, mean=16.5 - MARGIN_FRACTION * 1.5)[EQUIVALENT] < ERROR + 0.02
    assert rates(8, 600, mean=16.5 - MARGIN_FRACTION * 1.5, spread=0.6)[EQUIVALENT] < ERROR + 0.02


def test_an_arm_that_is_better_by_the_margin_is_seldom_found_equivalent():
    """A little oftener than worse ones: the margin itself is known only as well as what the baseline learnt."""
    assert rates(8, 600, mean=16.5 + MARGIN_FRACTION * 1.5)[EQUIVALENT] < ERROR + 0.04


def test_what_is_said_to_be_seen_in_four_of_five_cases_is():
    difference = Difference(mean=0.0, error=0.2 * math.sqrt(2 / 8), freedom=14.0)
    found = rates(8, 500, mean=16.5 - difference.least_seen)
    assert found[DIFFERENT] == pytest.approx(0.8, abs=0.08)
    assert difference.power(difference.least_margin) == pytest.approx(0.8)


def test_degenerate_runs_have_no_chance_but_an_answer():
    assert judged([16.5] * 4, [16.5] * 4).verdict == EQUIVALENT
    assert judged([16.5] * 4, [16.0] * 4).verdict == DIFFERENT
    assert Difference(mean=0.0, error=0.0, freedom=6.0).power(0.1) == 1
    assert difference_of([1.0], [1.0, 2.0]).power(1.0) == 0


@pytest.mark.parametrize(
    ("baseline", "arm", "floor"),
    [([1.0], [1.0, 2.0], 0.0), ([1.0, 2.0], [1.0], 0.0), ([1.0, 2.0], [1.0, 2.0], math.nan), ([math.nan] * 2, O0, 0.0)],
)
def test_what_cannot_be_compared_is_refused(baseline, arm, floor):
    with pytest.raises(ValueError, match="two runs of each"):
        judged(baseline, arm, Floor(name="f", value=floor))


def test_an_experiment_that_finds_no_fault_out_finds_nothing_equivalent():
    level, seen, unseen = judged(O0, O0), judged(O0, [x - 1 for x in O0]), judged(O0, O0)
    assert conclude(level, [unseen, seen]) == EQUIVALENT
    assert conclude(level, [unseen]) == conclude(level, []) == UNKNOWN
    better = judged(O0, [x + 1 for x in O0])
    assert conclude(level, [better]) == UNKNOWN
    assert conclude(attrs.evolve(level, verdict=DIFFERENT), []) == DIFFERENT


def test_different_in_one_score_is_different_and_equivalent_must_be_all():
    assert overall({"psnr": UNKNOWN, "ssim": DIFFERENT}) == DIFFERENT
    assert overall({"psnr": UNKNOWN, "ssim": EQUIVALENT}) == UNKNOWN
    assert overall({"psnr": EQUIVALENT, "ssim": EQUIVALENT}) == EQUIVALENT
    with pytest.raises(ValueError, match="no score"):
        overall({})


def test_the_floor_is_the_hardest_that_the_middle_run_beats():
    hard, easy = Floor(name="repeated", value=24.5), Floor(name="mean_frame", value=12.0)
    assert pick_floor(column(O0), [hard, FLOOR, easy]) == FLOOR
    assert pick_floor(column([15.0, *O0[1:]]), [FLOOR, easy]) == FLOOR
    assert pick_floor(column(O0), [hard]) == hard
    with pytest.raises(ValueError, match="floor"):
        pick_floor(column(O0), [])
