"""Fields of configurations: each states its default, what is allowed and one line of help, and is checked when made.

Every number has finite bounds. A number without them is a way to ask for more memory, threads or time than there is,
and is noticed only once it has been asked for. A validator sees its own value alone; what several fields have to keep
together is a `Check`.
"""

import itertools
import os
import re
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import attrs

from vs_config.errors import refuse, refuse_choice
from vs_config.names import child, one_of
from vs_config.schema import (
    ALLOWED,
    HELP,
    NUMBERED,
    OR_NONE,
    fields_of,
    is_among,
    is_tuple,
    item_kinds,
    members,
    name_of,
)
from vs_config.text import show

Validator = Callable[[Any, "attrs.Attribute[Any]", Any], None]

Required: TypeAlias = "attrs.NothingType"
REQUIRED = attrs.NOTHING
"""The default of a field that has none."""

BACKSLASHES = (
    "in \"...\" a backslash begins an escape: write Windows paths in 'single quotes' or with forward slashes instead"
)
"""What is to be said where a backslash was not meant as an escape: `"C:\\temp"` has a tab in it."""

_NO_CONTROL = "a path without control characters"
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_LONGEST_NAME = 255  # bytes, on all usual file systems
_LONGEST_PATH = 4095


@attrs.frozen(kw_only=True)
class Range:
    """Numbers between two bounds, which belong to them unless it is said otherwise.

    Attributes:
        kind: `int`: whole numbers; `float`: all, whole ones too. Truth values are no numbers.
        low: The smallest.
        high: The largest.
        open_low: The smallest itself is not allowed.
        open_high: The largest itself is not allowed.
        unit: What they count or measure, in words; empty where they have no unit.
    """

    kind: type[int] | type[float]
    low: float
    high: float
    open_low: bool = False
    open_high: bool = False
    unit: str = ""

    def __contains__(self, value: object) -> bool:
        match value:
            case bool():
                return False
            case int():
                return self._holds(value)
            case float():
                return self.kind is float and self._holds(value)
            case _:
                return False

    def _holds(self, value: float) -> bool:
        above = value > self.low if self.open_low else value >= self.low
        return above and (value < self.high if self.open_high else value <= self.high)

    def __str__(self) -> str:
        low, high = (f"{bound:g}" if self.kind is float else str(bound) for bound in (self.low, self.high))
        what = "a whole number" if self.kind is int else "a number"
        unit = f" {self.unit}" if self.unit else ""
        if self.open_low or self.open_high:
            return f"{what} {'>' if self.open_low else '>='} {low} and {'<' if self.open_high else '<='} {high}{unit}"
        return f"{what} from {low} to {high}{unit}"


def whole(
    default: "int | str | Required | None",
    help_: str,
    *,
    low: int,
    high: int,
    unit: str = "",
    optional: bool = False,
    words: Sequence[str] = (),
) -> Any:
    """Make a field for a whole number from `low` to `high`, for None too when `optional`, or for one of `words`."""
    return _number(default, help_, Range(kind=int, low=low, high=high, unit=unit), optional, words)


def real(
    default: "float | Required | None",
    help_: str,
    *,
    low: float,
    high: float,
    open_low: bool = False,
    open_high: bool = False,
    unit: str = "",
    optional: bool = False,
) -> Any:
    """Make a field for a number from `low` to `high`, or None too when `optional`; an open bound is not allowed."""
    allowed = Range(kind=float, low=low, high=high, open_low=open_low, open_high=open_high, unit=unit)
    return _number(default, help_, allowed, optional)


def _number(default: Any, help_: str, allowed: Range, optional: bool, words: Sequence[str] = ()) -> Any:
    expected = f"{allowed}{OR_NONE if optional else ''}{''.join(f' or {show(word)}' for word in words)}"

    def check(_instance: object, attribute: "attrs.Attribute[Any]", value: object) -> None:
        if value not in allowed and not (optional and value is None) and not is_among(value, words):
            raise refuse(name_of(attribute), expected, value)

    return _field(default, help_, check, expected)


def numbers(
    default: "tuple[float, ...] | Required", help_: str, item: Range, *, length: int | None = None, rising: bool = False
) -> Any:
    """Make a field for a tuple of numbers, as many as `length` says, in rising order if `rising`."""
    expected = f"a list {'' if length is None else f'of {length} items '}{'in rising order ' if rising else ''}"
    expected += f"(each item {item})"

    def check(_instance: object, attribute: "attrs.Attribute[Any]", value: Any) -> None:
        if type(value) is not tuple or length not in (None, len(value)):
            raise refuse(name_of(attribute), expected, value)
        for index, each in enumerate(value):
            if each not in item:
                raise refuse(child(name_of(attribute), index), str(item), each)
        if rising and any(one >= other for one, other in itertools.pairwise(value)):
            raise refuse(name_of(attribute), expected, value)

    return _field(default, help_, check, expected)


def texts(default: "tuple[str, ...] | Required", help_: str, *, high: int, longest: int = 80) -> Any:
    """Make a field for a tuple of at most `high` texts, all different: each has 1 to `longest` printable characters."""
    item = f"a text of 1 to {longest} printable characters"
    expected = f"a list of at most {high} different items (each item {item})"

    def check(_instance: object, attribute: "attrs.Attribute[Any]", value: Any) -> None:
        if type(value) is not tuple or len(value) > high:
            raise refuse(name_of(attribute), expected, value)
        for index, each in enumerate(value):
            if type(each) is not str or not each.isprintable() or not 1 <= len(each) <= longest:
                raise refuse(child(name_of(attribute), index), item, each)
            if each in value[:index]:
                raise refuse(child(name_of(attribute), index), "a text that no item before it has", each)

    return _field(default, help_, check, expected)


def pairs(
    default: "tuple[tuple[int, int], ...] | str | Required",
    help_: str,
    key: Range,
    value: Range,
    *,
    words: Sequence[str] = (),
) -> Any:
    """Make a field for whole numbers by whole numbers, which documents write as a table, or for one of `words`.

    The value is a tuple of (key, value), no key twice; `{7 = 0, 8 = 1}` in a document, or `[[7, 0], [8, 1]]`.
    """
    expected = f"a table of {value} by {key}{''.join(f' or {show(word)}' for word in words)}"

    def check(_instance: object, attribute: "attrs.Attribute[Any]", given: Any) -> None:
        if is_among(given, words):
            return
        is_table = type(given) is tuple and all(type(pair) is tuple and len(pair) == 2 for pair in given)
        if not is_table or len({pair[0] for pair in given}) != len(given):
            raise refuse(name_of(attribute), expected, given)
        for one, other in given:
            if one not in key or other not in value:
                raise refuse(child(name_of(attribute), str(one)), f"{value} by {key}", other)

    return attrs.field(default=default, validator=check, metadata={HELP: help_, ALLOWED: expected, NUMBERED: True})


def choice(default: "str | int | Required", help_: str, choices: Sequence[str | int]) -> Any:
    """Make a field for one of a few words or numbers."""

    def check(_instance: object, attribute: "attrs.Attribute[Any]", value: object) -> None:
        if not is_among(value, choices):
            raise refuse_choice(name_of(attribute), choices, value)

    return _field(default, help_, check, one_of(choices))


def choices(default: "tuple[str, ...] | Required", help_: str, words: Sequence[str]) -> Any:
    """Make a field for a tuple of some of a few words, each at most once."""
    expected = f"a list of different items (each item {one_of(words)})"

    def check(_instance: object, attribute: "attrs.Attribute[Any]", value: Any) -> None:
        if type(value) is not tuple:
            raise refuse(name_of(attribute), expected, value)
        for index, each in enumerate(value):
            if not is_among(each, words):
                raise refuse_choice(child(name_of(attribute), index), words, each)
            if each in value[:index]:
                raise refuse(child(name_of(attribute), index), "a word that no item before it is", each)

    return _field(default, help_, check, expected)


def truth(default: "bool | Required", help_: str) -> Any:
    """Make a field for true or false."""

    def check(_instance: object, attribute: "attrs.Attribute[Any]", value: object) -> None:
        if type(value) is not bool:
            raise refuse(name_of(attribute), "true or false", value)

    return _field(default, help_, check)


def path(default: "str | Required | None", help_: str, *, optional: bool = False) -> Any:
    """Make a field for the path of a file or folder, as text, or for None too when `optional`."""
    expected = f"the path of a file or folder{OR_NONE if optional else ''}"

    def check(_instance: object, attribute: "attrs.Attribute[Any]", value: object) -> None:
        if optional and value is None:
            return
        wrong = path_problem(value) if type(value) is str else expected
        if wrong:
            raise refuse(name_of(attribute), wrong, value, BACKSLASHES if wrong == _NO_CONTROL else "")

    return _field(default, help_, check, expected)


def table(default: "Callable[[], Any] | Required | None", help_: str) -> Any:
    """Make a field for a config object, of one of the classes that its annotation names.

    Args:
        default: A class or function that makes it; None where the annotation allows None; `REQUIRED`.
        help_: The line of help.
    """
    made = {"default": default} if default is None or default is REQUIRED else {"factory": default}
    return attrs.field(**made, validator=_check_tables, metadata={HELP: help_})


def tables(default: "tuple[Any, ...] | Required", help_: str, *, low: int = 0, high: int) -> Any:
    """Make a field for a tuple of `low` to `high` config objects, of the classes that its annotation names."""

    def check(instance: object, attribute: "attrs.Attribute[Any]", value: Any) -> None:
        _check_tables(instance, attribute, value)
        if not low <= len(value) <= high:
            raise refuse(name_of(attribute), f"a list of {low} to {high} tables", value)

    return _field(default, help_, check)


def _field(default: Any, help_: str, validator: Validator, allowed: str = "") -> Any:
    return attrs.field(default=default, validator=validator, metadata={HELP: help_, ALLOWED: allowed})


def _check_tables(instance: object, attribute: "attrs.Attribute[Any]", value: object) -> None:
    if instance is None:
        return  # the value was structured by its annotation
    field = fields_of(type(instance))[name_of(attribute)]
    if not _is_of(value, field.type):
        raise refuse(name_of(attribute), field.allowed, value)


def _is_of(value: Any, kind: Any) -> bool:
    for member in members(kind):
        if is_tuple(member):
            kinds = item_kinds(member, len(value)) if type(value) is tuple else None
            if kinds is not None and all(map(_is_of, value, kinds)):
                return True
        elif isinstance(value, member):
            return True
    return False


def path_problem(text: str) -> str:
    """Return what a path has to be and is not, in words, or nothing."""
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
