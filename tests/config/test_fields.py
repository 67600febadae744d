"""Fields, rules across them, options and reports: bounds hold, and each mistake is one line."""

import datetime
import io
import math
from pathlib import Path
from typing import ClassVar

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vs_config import (
    Check,
    ChecksError,
    FieldError,
    Range,
    check_fields,
    choice,
    failures,
    option_number,
    option_path,
    path_text,
    real,
    report_error,
    show,
    truth,
    whole,
)


def _check_order(config):
    if config.low > config.high:
        raise ValueError(f"low is {config.low}: at most high, {config.high}")


def _check_ratio(config):
    if config.ratio and config.low == 0:
        raise ValueError("ratio is given, but low is 0")


@attrs.frozen(kw_only=True)
class Example:
    low: int = whole(1, "", low=0, high=10)
    high: int | None = whole(5, "", low=0, high=10)
    ratio: float | None = real(None, "", low=0, high=1, open_low=True, open_high=True, optional=True)
    kernel: int = choice(3, "", (1, 3))
    on: bool = truth(True, "")
    path: str = attrs.field(default="x", validator=path_text)

    CHECKS: ClassVar[tuple[Check, ...]] = (Check(("low", "high"), _check_order), Check(("low", "ratio"), _check_ratio))

    def __attrs_post_init__(self):
        check_fields(self)


ODD = [math.nan, math.inf, -math.inf, 10**400, -(10**400), True, "1", None, [], 1e300, -1]


@pytest.mark.parametrize("value", ODD)
def test_numbers_are_within_bounds_or_refused(value):
    for name in ("low", "kernel"):
        with pytest.raises(FieldError, match=rf"^{name} is .*, allowed: "):
            Example(**{name: value})
    if value is not None:
        with pytest.raises(FieldError, match=r"^ratio is .*, allowed: a number above 0 and below 1 or none$"):
            Example(ratio=value)


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
    with pytest.raises(FieldError, match="path is ") as caught:
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
    with pytest.raises(ChecksError) as caught:
        Example(low=0, high=10, ratio=0.5)
    assert caught.value.problems == ("ratio is given, but low is 0",)
    assert list(failures(Example, {"low": 9, "high": 1})) == ["low is 9: at most high, 1"]
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
