"""Rules that several fields of a configuration have to keep together, each with the fields that it looks at.

A rule that says what it looks at can be held against a configuration that is wrong elsewhere, so that one look finds
everything that is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import SimpleNamespace
from typing import Any

import attrs


class ChecksError(ValueError):
    """Rules that fields do not keep.

    Attributes:
        problems: What is wrong, a line for each rule, beginning with the path of a field.
    """

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


@attrs.frozen
class Check:
    """A rule.

    Attributes:
        fields: Names of the fields that it looks at.
        check: Called with something that has these attributes; raises `ValueError`, its message beginning with the
            path of a field, when they do not keep it.
    """

    fields: tuple[str, ...]
    check: Callable[[Any], None]


def check_fields(config: attrs.AttrsInstance) -> None:
    """Hold a whole configuration against the rules of its class, `CHECKS`; for its `__attrs_post_init__`.

    Raises:
        ChecksError: With everything that is wrong.
    """
    names = (attribute.name for attribute in attrs.fields(type(config)))
    problems = tuple(failures(type(config), {name: getattr(config, name) for name in names}))
    if problems:
        raise ChecksError(problems)


def failures(cls: type, values: Mapping[str, object]) -> Iterator[str]:
    """What is wrong with those fields of a class that are known: rules that look at others are left out."""
    for rule in getattr(cls, "CHECKS", ()):
        if values.keys() >= set(rule.fields):
            try:
                rule.check(SimpleNamespace(**values))
            except ChecksError as error:
                yield from error.problems
            except ValueError as error:
                yield str(error)
