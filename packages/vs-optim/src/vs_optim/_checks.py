"""Validators of config fields: one clear message each."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import attrs

from vs_optim.errors import ConfigError

__all__ = ["boolean", "integer", "number", "one_of", "whole_numbers"]

Validator = Callable[[Any, "attrs.Attribute[Any]", Any], None]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def number(allowed: str, accept: Callable[[float], bool] = lambda _: True) -> Validator:
    """A finite int or float for which `accept` holds; `allowed` says in words what that is."""

    def check(_: object, field: attrs.Attribute[Any], value: Any) -> None:
        if not _is_number(value) or not accept(value):
            raise ConfigError(field.name, value, allowed)

    return check


def integer(minimum: int) -> Validator:
    """A whole number of at least `minimum`."""

    def check(_: object, field: attrs.Attribute[Any], value: Any) -> None:
        if isinstance(value, bool) or not isinstance(value, int) or value < minimum:
            raise ConfigError(field.name, value, f"a whole number >= {minimum}")

    return check


def whole_numbers(_: object, field: attrs.Attribute[Any], value: Any) -> None:
    """A tuple of strictly increasing whole numbers above 0."""
    fits = isinstance(value, tuple) and all(isinstance(v, int) and not isinstance(v, bool) and v > 0 for v in value)
    if not fits or any(a >= b for a, b in itertools.pairwise(value)):
        raise ConfigError(field.name, value, "whole numbers > 0 in rising order")


def boolean(_: object, field: attrs.Attribute[Any], value: Any) -> None:
    """True or False."""
    if not isinstance(value, bool):
        raise ConfigError(field.name, value, "true or false")


def one_of(*choices: str) -> Validator:
    """One of these words."""

    def check(_: object, field: attrs.Attribute[Any], value: Any) -> None:
        if not isinstance(value, str) or value not in choices:
            raise ConfigError(field.name, value, "one of " + ", ".join(map(repr, choices)))

    return check
