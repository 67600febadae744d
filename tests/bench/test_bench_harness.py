"""The pure parts of the benchmark harness, with a clock that the tests move."""

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from vs_bench import harness

SECONDS = st.lists(st.floats(0.001, 10.0), min_size=3, max_size=20)


class Clock:
    """Stands still unless work moves it."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now

    def work(self, seconds):
        def run():
            self.now += seconds

        return run


@pytest.fixture
def no_unit(monkeypatch):
    monkeypatch.setattr(harness, "unit_of_work", lambda device: lambda: None)


def series(name, seconds):
    return harness.Series(name=name, seconds=tuple(seconds))


def result_of(**seconds):
    unit = seconds.pop("unit")
    cases = tuple(series(name, values) for name, values in seconds.items())
    return harness.Result(unit=series("unit", unit), cases=cases, threads=2, device="cpu")


def test_each_case_gets_its_own_time_and_nobody_elses(no_unit):
    clock = Clock()
    cases = [harness.Case(name="slow", run=clock.work(3.0)), harness.Case(name="fast", run=clock.work(1.0))]
    result = harness.measure(cases, rounds=5, warmup=1, clock=clock)
    assert result.case("slow").seconds == (3.0,) * 5
    assert result.case("fast").seconds == (1.0,) * 5
    assert result.case("unit").seconds == (0.0,) * 5


def test_warming_up_is_not_measured_and_preparing_neither(no_unit):
    clock = Clock()
    durations = itertools.chain([100.0, 50.0], itertools.repeat(1.0))
    case = harness.Case(name="a", run=lambda: clock.work(next(durations))(), prepare=clock.work(7.0))
    assert harness.measure([case], rounds=3, warmup=2, clock=clock).case("a").seconds == (1.0, 1.0, 1.0)


def test_measuring_leaves_the_number_of_threads_alone(no_unit):
    before = torch.get_num_threads()
    seen = []
    case = harness.Case(name="a", run=lambda: seen.append(torch.get_num_threads()))
    harness.measure([case], rounds=1, warmup=0, threads=before + 1)
    assert seen == [before + 1]
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("names", [[], ["a", "a"], ["unit"]])
def test_cases_need_names_of_their_own(names):
    with pytest.raises(ValueError, match="names of their own"):
        harness.measure([harness.Case(name=name, run=lambda: None) for name in names])


def test_no_rounds_is_refused():
    with pytest.raises(ValueError, match="rounds=0"):
        harness.measure([harness.Case(name="a", run=lambda: None)], rounds=0)


def test_an_unknown_case_is_answered_with_the_names_there_are():
    with pytest.raises(KeyError, match="there are unit, a"):
        result_of(unit=[1.0], a=[1.0]).case("b")


@given(st.integers(0, 1000), st.lists(st.text(min_size=1), unique=True, max_size=6))
def test_every_round_runs_every_case_once_in_an_order_that_can_be_repeated(number, names):
    order = harness.order_of_round(names, number)
    assert sorted(order) == sorted(names)
    assert order == harness.order_of_round(names, number)


def test_rounds_differ_in_their_order():
    assert len({tuple(harness.order_of_round(["a", "b", "c"], number)) for number in range(30)}) == 6


@given(SECONDS, st.floats(0.1, 10.0))
def test_the_ratio_of_a_case_and_its_multiple_is_the_factor_without_spread(seconds, factor):
    ratio = harness.ratio_of(
        series("slow", [factor * value for value in seconds]), series("fast", seconds), resamples=50
    )
    assert (ratio.value, ratio.low, ratio.high) == pytest.approx((factor, factor, factor))


@given(SECONDS)
def test_the_interval_lies_within_the_extreme_ratios(seconds):
    others = list(reversed(seconds))
    ratio = harness.ratio_of(series("a", seconds), series("b", others), resamples=50)
    extreme = max(seconds) / min(seconds)
    assert 1 / extreme <= ratio.low * (1 + 1e-9)
    assert ratio.low <= ratio.high <= extreme * (1 + 1e-9)


def test_different_numbers_of_rounds_cannot_be_compared():
    with pytest.raises(ValueError, match="a has 2 rounds and b has 1"):
        harness.ratio_of(series("a", [1.0, 2.0]), series("b", [1.0]))


def test_median_and_quartiles_are_those_of_the_textbook():
    one = series("a", [5.0, 1.0, 4.0, 2.0, 3.0])
    assert one.median == 3.0
    assert one.quartiles == (2.0, 4.0)
    assert series("a", [2.0]).quartiles == (2.0, 2.0)


def test_the_unit_is_the_same_work_each_time_and_touches_no_random_state():
    torch.manual_seed(3)
    state = torch.get_rng_state()
    work = harness.unit_of_work(torch.device("cpu"))
    first, second = work(), work()
    assert torch.equal(first, second)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.isfinite(first)
