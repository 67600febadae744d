"""Whether a state that was read is one that the program would have saved: the same keys, kinds, dtypes and shapes.

Checksums prove that a state is what was written, not that it was written by this program for these networks; and
PyTorch casts what it loads, a mask of booleans into weights if need be. So everything is compared before it is used.
"""

import math
from collections.abc import Mapping
from typing import Any

import attrs
import torch
from torch import Tensor
from vs_config.names import join

from vs_runtime.errors import StateError

_COUNTS = 2**63
"""Whole numbers in a state are counts or words of random state, none of which comes near."""


@attrs.frozen(eq=False)
class Maybe:
    """In a template: None, or what fits `template`."""

    template: Any


@attrs.frozen(eq=False)
class Every:
    """In a template: a list of any length, each item of which fits `template`."""

    template: Any


def check_fit(template: Any, found: Any, where: str = "") -> None:
    """See that `found` is like `template`: its keys, the kinds of its values, dtypes and shapes of its tensors.

    Whole numbers have to be at least 0 and below 2**63, other numbers and tensors finite. Of the values of the template
    nothing matters. True is no number, and 1 is not 1.0.

    Args:
        template: what would be saved now, with `Maybe` and `Every` where more than one form is right.
        found: what was read.
        where: the path of both, for the message; empty for the whole of it.

    Raises:
        StateError: with the path of the first thing that does not fit: `generator.first.weight: expected float32
            (8, 4, 3, 3), got int64 (8, 4, 3, 3)`.
    """
    match template:
        case Maybe():
            if found is not None:
                check_fit(template.template, found, where)
        case Every():
            _require(type(found) is list, where, "a list", found)
            _check_items([template.template] * len(found), found, where)
        case Mapping():
            _require(isinstance(found, Mapping), where, "a mapping", found)
            _check_keys(template, found, where)
            for key, item in template.items():
                check_fit(item, found[key], join(where, str(key)))
        case list() | tuple():
            kind = f"a {type(template).__name__} of {len(template)}"
            _require(type(found) is type(template) and len(found) == len(template), where, kind, found)
            _check_items(template, found, where)
        case Tensor():
            _check_tensor(template, found, where)
        case _:
            _check_scalar(template, found, where)


def _check_items(template: Any, found: Any, where: str) -> None:
    for index, (one, other) in enumerate(zip(template, found, strict=True)):
        check_fit(one, other, join(where, str(index)))


def _check_keys(template: Mapping[Any, Any], found: Mapping[Any, Any], where: str) -> None:
    for key in template:
        if key not in found:
            raise StateError(join(where, str(key)), "is missing")
    for key in found:
        if key not in template:
            raise StateError(join(where, str(key)), "is not expected here")


def _check_tensor(template: Tensor, found: Any, where: str) -> None:
    fits = isinstance(found, Tensor) and found.dtype is template.dtype and found.shape == template.shape
    _require(fits, where, _words(template), found)
    if found.is_floating_point() and not torch.isfinite(found).all():
        raise StateError(where, "is not finite")


def _check_scalar(template: Any, found: Any, where: str) -> None:
    _require(type(found) is type(template), where, _words(template), found)
    if type(found) is int and not 0 <= found < _COUNTS:
        raise StateError(where, f"expected a whole number from 0 on, got {str(found)[:30]}")
    if type(found) is float and not math.isfinite(found):
        raise StateError(where, f"expected a finite number, got {found}")


def _require(fits: bool, where: str, expected: str, found: Any) -> None:
    if not fits:
        raise StateError(where, f"expected {expected}, got {_words(found)}")


def _words(value: Any) -> str:
    """Say what something is."""
    match value:
        case Tensor():
            return f"{str(value.dtype).removeprefix('torch.')} {tuple(value.shape)}"
        case None:
            return "nothing (null)"
        case bool():
            return "true or false"
        case int():
            return "a whole number"
        case float():
            return "a number with a fraction"
        case str():
            return "text"
        case list() | tuple():
            return f"a {type(value).__name__} of {len(value)}"
        case Mapping():
            return "a mapping"
    return type(value).__name__
