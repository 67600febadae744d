"""Fields of configurations: each states its default, allowed values and one line of help, and is checked when made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs


def whole(default: int | None, help_: str, *, low: int, high: int | None = None, optional: bool = False) -> Any:
    """A whole number from `low` to `high`, or None too when `optional`."""
    allowed = f"a whole number of at least {low}" if high is None else f"a whole number from {low} to {high}"

    def check(_instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
        if optional and value is None:
            return
        fits = isinstance(value, int) and not isinstance(value, bool)
        if not fits or value < low or (high is not None and value > high):  # type: ignore[operator]
            raise ValueError(_message(attribute, value, allowed + (" or none" if optional else "")))

    return attrs.field(default=default, validator=check, metadata={"help": help_})


def real(default: float, help_: str, *, low: float, high: float) -> Any:
    """A finite number from `low` to `high`."""

    def check(_instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
        fits = isinstance(value, int | float) and not isinstance(value, bool)
        if not fits or not low <= value <= high:  # type: ignore[operator]
            raise ValueError(_message(attribute, value, f"a number from {low:g} to {high:g}"))

    return attrs.field(default=default, validator=check, metadata={"help": help_})


def choice(default: str, help_: str, allowed: Sequence[str]) -> Any:
    """One of a few words."""

    def check(_instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
        if value not in allowed:
            raise ValueError(_message(attribute, value, "one of " + ", ".join(f"'{word}'" for word in allowed)))

    return attrs.field(default=default, validator=check, metadata={"help": help_})


def truth(default: bool, help_: str) -> Any:
    """True or false."""

    def check(_instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
        if not isinstance(value, bool):
            raise ValueError(_message(attribute, value, "true or false"))

    return attrs.field(default=default, validator=check, metadata={"help": help_})


def folder_name(default: str, help_: str) -> Any:
    """The name of a folder directly inside the root: no separators."""

    def check(_instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
        if not isinstance(value, str) or not value or value.startswith(".") or "/" in value or "\\" in value:
            raise ValueError(_message(attribute, value, "the name of a folder, without '/' and not starting with '.'"))

    return attrs.field(default=default, validator=check, metadata={"help": help_})


def _message(attribute: attrs.Attribute[Any], value: object, allowed: str) -> str:
    return f"{attribute.name} is {value!r}, allowed: {allowed}"
