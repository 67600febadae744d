"""Fields, rules across them, options and reports: bounds hold, and each mistake is one line."""

import datetime
import io
import math
import pickle
import tomllib
from pathlib import Path
from typing import ClassVar, Literal

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vs_config import (
    REQUIRED,
    Check,
    ConfigError,
    Problem,
    Range,
    check_fields,
    choice,
    load_config,
    numbers,
    option_number,
    option_path,
    pairs,
    path,
    real,
    render_config,
    report_error,
    show,
    table,
    tables,
    texts,
    truth,
    whole,
)
from vs_config.checks import failures


def _check_order(config):
    if config.low > config.high:
        yield Problem("low", expected=f"at most high, {config.high}", got=config.low)


def _check_ratio(config):
    if config.ratio and config.low == 0:
        yield Problem("ratio", "is given, but low is 0")


@attrs.frozen(kw_only=True)
class Example:
    low: int = whole(1, "", low=0, high=10)
    high: int | None = whole(5, "", low=0, high=10)
    ratio: float | None = real(None, "", low=0, high=1, open_low=True, open_high=True, optional=True)
    count: int | Literal["auto"] = whole("auto", "", low=1, high=9, words=("auto",))
    kernel: int = choice(3, "", (1, 3))
    word: str = choice("auto", "", ("auto", "none"))
    on: bool = truth(True, "")
    path: str = path("x", "")
    betas: tuple[float, ...] = numbers((0.5, 0.9), "", Range(kind=float, low=0, high=1, open_high=True), length=2)
    names: tuple[str, ...] = texts((), "", high=3, longest=4)
    steps: tuple[int, ...] = numbers((), "", Range(kind=int, low=1, high=9), rising=True)

    CHECKS: ClassVar[tuple[Check, ...]] = (Check(("low", "high"), _check_order), Check(("low", "ratio"), _check_ratio))

    def __attrs_post_init__(self):
        check_fields(self)


ODD = [math.nan, math.inf, -math.inf, 10**400, -(10**400), True, "1", None, [], 1e300, -1]


@pytest.mark.parametrize("value", ODD)
def test_numbers_are_within_bounds_or_refused(value):
    for name in ("low", "kernel"):
        with pytest.raises(ConfigError, match=rf"^{name}: expected .*, got "):
            Example(**{name: value})
    if value is not None:
        with pytest.raises(ConfigError, match=r"^ratio: expected a number > 0 and < 1 or 'none', got "):
            Example(ratio=value)


@pytest.mark.parametrize(
    ("range_", "words"),
    [
        (Range(kind=int, low=1, high=9), "a whole number from 1 to 9"),
        (Range(kind=int, low=1, high=9, unit="pixels"), "a whole number from 1 to 9 pixels"),
        (Range(kind=float, low=0, high=1e30, open_low=True), "a number > 0 and <= 1e+30"),
        (Range(kind=float, low=0, high=1, open_high=True), "a number >= 0 and < 1"),
    ],
)
def test_ranges_are_said_in_words(range_, words):
    assert str(range_) == words


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"kernel": 2}, "kernel: expected one of 1, 3, got 2"),
        ({"count": 10}, "count: expected a whole number from 1 to 9 or 'auto', got 10"),
        ({"count": "all"}, "count: expected a whole number from 1 to 9 or 'auto', got 'all'"),
        ({"word": "atuo"}, "word: expected one of 'auto', 'none', got 'atuo'; did you mean 'auto'?"),
        ({"on": 1}, "on: expected true or false, got 1"),
        ({"betas": (0.5,)}, "betas: expected a list of 2 items (each item a number >= 0 and < 1), got [0.5]"),
        ({"betas": [0.5, 0.5]}, "betas: expected a list of 2 items (each item a number >= 0 and < 1), got [0.5, 0.5]"),
        ({"betas": (0.5, 1)}, "betas[1]: expected a number >= 0 and < 1, got 1"),
        (
            {"steps": (3, 2)},
            "steps: expected a list in rising order (each item a whole number from 1 to 9), got [3, 2]",
        ),
        (
            {"names": ["a"]},
            "names: expected a list of at most 3 different items (each item a text of 1 to 4 printable characters), "
            "got ['a']",
        ),
        ({"names": ("a", "five5")}, "names[1]: expected a text of 1 to 4 printable characters, got 'five5'"),
        ({"names": ("a", "")}, "names[1]: expected a text of 1 to 4 printable characters, got ''"),
        ({"names": ("a\n",)}, r"names[0]: expected a text of 1 to 4 printable characters, got 'a\n'"),
        ({"names": ("a", "b", "a")}, "names[2]: expected a text that no item before it has, got 'a'"),
        ({"steps": (3, True)}, "steps[1]: expected a whole number from 1 to 9, got true"),
    ],
)
def test_each_field_says_what_it_takes_and_what_it_got(values, message):
    with pytest.raises(ConfigError) as caught:
        Example(**values)
    assert str(caught.value) == message


@attrs.frozen(kw_only=True)
class Other:
    kind: ClassVar[str] = "other"


@attrs.frozen(kw_only=True)
class Third:
    kind: ClassVar[str] = "third"


@attrs.frozen(kw_only=True)
class Holder:
    one: Example = table(Example, "")
    maybe: Third | Other | None = table(None, "")
    must: Third | Other = table(REQUIRED, "")
    many: tuple[Example, ...] = tables((), "", high=2)


def test_tables_are_of_the_classes_that_the_annotation_names():
    assert Holder(must=Other(), many=(Example(),)).one == Example()
    for values, message in (
        ({"must": 3}, "must: expected a table of kind 'third' or 'other', got 3"),
        ({"must": None}, "must: expected a table of kind 'third' or 'other', got none"),
        ({"maybe": "no"}, "maybe: expected a table of kind 'third' or 'other' or 'none', got 'no'"),
        ({"one": Other()}, "one: expected a table, got a table of kind 'other'"),
        ({"many": [Example()]}, "many: expected a list (each item a table), got [a table]"),
        ({"many": (3,)}, "many: expected a list (each item a table), got [3]"),
        ({"many": (Example(),) * 3}, "many: expected a list of 0 to 2 tables, got [a table, a table, a table]"),
    ):
        with pytest.raises(ConfigError) as caught:
            Holder(**{"must": Other(), **values})
        assert str(caught.value) == message


def test_an_error_survives_a_trip_between_processes():
    with pytest.raises(ConfigError) as caught:
        Example(low=99)
    again = pickle.loads(pickle.dumps(caught.value))
    assert again.problems == caught.value.problems
    assert str(again) == "low: expected a whole number from 0 to 10, got 99"


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("", "not empty"),
        ("C:\temp", "write Windows paths in 'single quotes'"),
        ("a\0", "control characters"),
        ("\udcff", "UTF-8"),
        ("n" * 256, "255 bytes"),
        ("é" * 128, "255 bytes"),
        ("a/" * 3000, "4095"),
        (3, "the path of a file"),
    ],
)
def test_paths_that_nobody_means_are_refused(path, allowed):
    with pytest.raises(ConfigError, match="path: expected ") as caught:
        Example(path=path)
    assert allowed in str(caught.value)
    if isinstance(path, str):
        with pytest.raises(ValueError, match="expected a path"):
            option_path(path)


def test_an_option_may_begin_with_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert option_path("~/runs/a") == tmp_path / "runs" / "a"
    assert option_path("./~/a") == Path("~/a")
    assert option_path("a~b") == Path("a~b")
    with pytest.raises(ValueError, match="no such user: '~nobody-of-that-name/a'; write the whole path"):
        option_path("~nobody-of-that-name/a")


def test_all_rules_are_held_and_those_that_can_be_of_a_part():
    with pytest.raises(ConfigError) as caught:
        Example(low=0, high=10, ratio=0.5)
    assert caught.value.problems == (Problem("ratio", "is given, but low is 0"),)
    (problem,) = failures(Example, {"low": 9, "high": 1})
    assert str(problem) == "low: expected at most high, 1, got 9"
    assert list(failures(Example, {"low": 9})) == []


@pytest.mark.parametrize("text", ["", "x", "nan", "inf", "1e400", "-1", "9" * 5000, "1.5", "0x3"])
def test_options_say_what_they_want(text):
    with pytest.raises(ValueError, match=r"^expected a whole number from 1 to 9, got "):
        option_number(text, Range(kind=int, low=1, high=9))


@settings(max_examples=25)
@given(st.recursive(st.integers() | st.floats() | st.text() | st.none() | st.booleans(), st.lists, max_leaves=5))
def test_any_value_is_shown_in_a_short_line(value):
    assert len(show(value, 40)) <= 40
    assert "\n" not in show(value)


def test_odd_values_are_shown():
    deep = []
    for _ in range(5000):
        deep = [deep]
    assert show(deep) == "[[[a list]]]"
    assert show(16**5000) == "a whole number of about 6021 digits"
    assert show(datetime.date(2026, 1, 2)) == "the date 2026-01-02"


class SeveralError(Exception):
    problems = ("a\nb", "c\x1b[2J")


def test_a_report_is_a_line_for_each_problem_and_no_other():
    out = io.StringIO()
    assert report_error(SeveralError(), file=out) == 2
    assert report_error(OSError("x\nerror: y"), status=3, file=out) == 3
    assert report_error(MemoryError(), file=out) == 2
    assert out.getvalue().splitlines() == [
        r"error: a\nb",
        r"error: c\x1b[2J",
        r"error: x\nerror: y",
        "error: MemoryError",
    ]


@attrs.frozen(kw_only=True)
class Numbered:
    """A class of which a field is a table of numbers by numbers."""

    map: Literal["usual"] | tuple[tuple[int, int], ...] = pairs(
        (), "numbers", Range(kind=int, low=0, high=9), Range(kind=int, low=0, high=3), words=("usual",)
    )


@given(table=st.dictionaries(st.integers(0, 9), st.integers(0, 3)))
def test_a_table_of_numbers_by_numbers_is_read_and_written_as_one(table):
    config = load_config(Numbered, {"map": {str(key): value for key, value in table.items()}})
    assert dict(config.map) == table
    assert load_config(Numbered, {"map": [list(pair) for pair in table.items()]}) == config
    assert tomllib.loads(render_config(config))["map"] == {str(key): value for key, value in table.items()}
    assert load_config(Numbered, tomllib.loads(render_config(config))) == config


@pytest.mark.parametrize("value", [{"1": 4}, {"10": 1}, {"a": 1}, [[1, 2], [1, 3]], [[1]], "other", 3])
def test_what_is_no_table_of_such_numbers_is_refused(value):
    with pytest.raises(ConfigError, match=r"^\$?\.?map"):
        load_config(Numbered, {"map": value})
    assert load_config(Numbered, {"map": "usual"}).map == "usual"
