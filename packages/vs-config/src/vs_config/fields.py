"""Fields of configurations: each states its default, what is allowed and one line of help, and is checked when made.

Every number has finite bounds. A number without them is a way to ask for more memory, threads or time than there is,
and is noticed only once it has been asked for.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from typing import Any

import attrs

from vs_config.text import show

Validator = Callable[[Any, "attrs.Attribute[Any]", Any], None]

BACKSLASHES = (
    "; in \"...\" a backslash begins an escape: write Windows paths in 'single quotes' or with forward slashes instead"
)
"""What is to be said where a backslash was not meant as an escape: `"C:\\temp"` has a tab in it."""

_NO_CONTROL = "a path without control characters"
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_LONGEST_NAME = 255  # bytes, on all usual file systems
_LONGEST_PATH = 4095


class FieldError(ValueError):
    """A field has a value that is not allowed.

    Attributes:
        field: Its name.
        value: What it was given.
        allowed: What it takes, in words.
    """

    def __init__(self, field: str, value: object, allowed: str) -> None:
        super().__init__(f"{field} is {show(value)}, allowed: {allowed}")
        self.field = field
        self.value = value
        self.allowed = allowed


@attrs.frozen(kw_only=True)
class Range:
    """Numbers between two bounds, which belong to them unless it is said otherwise.

    Attributes:
        kind: `int`: whole numbers; `float`: all, whole ones too. Truth values are no numbers.
        low: The smallest.
        high: The largest.
        open_low: The smallest itself is not allowed.
        open_high: The largest itself is not allowed.
    """

    kind: type[int] | type[float]
    low: float
    high: float
    open_low: bool = False
    open_high: bool = False

    def __contains__(self, value: object) -> bool:
        if isinstance(value, bool) or not isinstance(value, int if self.kind is int else (int, float)):
            return False
        above = value > self.low if self.open_low else value >= self.low
        return above and (value < self.high if self.open_high else value <= self.high)

    def __str__(self) -> str:
        low, high = (f"{bound:g}" if self.kind is float else str(bound) for bound in (self.low, self.high))
        if self.open_low:
            return f"a number above {low} and {'below' if self.open_high else 'at most'} {high}"
        what = "a whole number" if self.kind is int else "a number"
        return f"{what} from {low} to {'below ' if self.open_high else ''}{high}"


def allowed(values: Range, *, optional: bool = False, error: type[FieldError] = FieldError) -> Validator:
    """A validator that raises `error` for what is not among some numbers, nor None where that is `optional`."""

    def check(_instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
        if value not in values and not (optional and value is None):
            raise error(attribute.name, value, f"{values}{' or none' if optional else ''}")

    return check


def one_of(*choices: object, error: type[FieldError] = FieldError) -> Validator:
    """A validator that raises `error` for what is none of some words or numbers."""

    def check(_instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
        if not any(type(value) is type(choice) and value == choice for choice in choices):
            raise error(attribute.name, value, "one of " + ", ".join(show(choice) for choice in choices))

    return check


def whole(
    default: int | None,
    help_: str,
    *,
    low: int,
    high: int,
    optional: bool = False,
    error: type[FieldError] = FieldError,
) -> Any:
    """A whole number from `low` to `high`, or None too when `optional`."""
    validator = allowed(Range(kind=int, low=low, high=high), optional=optional, error=error)
    return attrs.field(default=default, validator=validator, metadata={"help": help_})


def real(
    default: float | None,
    help_: str,
    *,
    low: float,
    high: float,
    open_low: bool = False,
    open_high: bool = False,
    optional: bool = False,
    error: type[FieldError] = FieldError,
) -> Any:
    """A number from `low` to `high`, or None too when `optional`; an open bound does not belong to the range."""
    numbers = Range(kind=float, low=low, high=high, open_low=open_low, open_high=open_high)
    validator = allowed(numbers, optional=optional, error=error)
    return attrs.field(default=default, validator=validator, metadata={"help": help_})


def choice(
    default: str | int, help_: str, allowed: Sequence[str | int], *, error: type[FieldError] = FieldError
) -> Any:
    """One of a few words or numbers."""
    return attrs.field(default=default, validator=one_of(*allowed, error=error), metadata={"help": help_})


def truth(default: bool, help_: str, *, error: type[FieldError] = FieldError) -> Any:
    """True or false."""

    def check(_instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
        if not isinstance(value, bool):
            raise error(attribute.name, value, "true or false")

    return attrs.field(default=default, validator=check, metadata={"help": help_})


def path_text(_instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
    """A validator of the path of a file or folder, as text."""
    wrong = path_problem(value) if isinstance(value, str) else "the path of a file or folder"
    if wrong:
        raise FieldError(attribute.name, value, wrong + (BACKSLASHES if wrong == _NO_CONTROL else ""))


def path_problem(text: str) -> str:
    """What a path has to be and is not, in words, or nothing."""
    if not text:
        return "a path that is not empty"
    if _CONTROL.search(text):
        return _NO_CONTROL
    try:
        length = len(text.encode("utf-8"))
    except UnicodeEncodeError:
        return "a path in UTF-8, which others than this system can read"
    names = text.replace(os.sep, "/").split("/")
    if length > _LONGEST_PATH or max(len(name.encode("utf-8")) for name in names) > _LONGEST_NAME:
        return f"a path whose names have at most {_LONGEST_NAME} bytes each, and {_LONGEST_PATH} in all"
    return ""
