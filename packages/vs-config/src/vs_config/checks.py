"""Rules that several fields of a configuration have to keep together, each with the fields that it looks at.

A rule that says what it looks at can be held against a configuration that is wrong elsewhere, so that one look finds
everything that is wrong.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from types import SimpleNamespace
from typing import Any

import attrs

from vs_config.errors import ConfigError, Problem


@attrs.frozen
class Check:
    """A rule.

    Attributes:
        fields: Names of the fields that it looks at.
        find: Called with something that has these attributes; yields what is wrong, each with the path of a field.
    """

    fields: tuple[str, ...]
    find: Callable[[Any], Iterable[Problem]]


def check_fields(config: attrs.AttrsInstance) -> None:
    """Hold a whole configuration against the rules of its class, `CHECKS`; for its `__attrs_post_init__`.

    Raises:
        ConfigError: With everything that is wrong.
    """
    names = (attribute.name for attribute in attrs.fields(type(config)))
    problems = list(failures(type(config), {name: getattr(config, name) for name in names}))
    if problems:
        raise ConfigError(problems)


def failures(cls: type, values: Mapping[str, object]) -> Iterator[Problem]:
    """Yield what is wrong with those fields of a class that are known: rules that look at others are left out."""
    for rule in getattr(cls, "CHECKS", ()):
        if values.keys() >= set(rule.fields):
            yield from rule.find(SimpleNamespace(**values))
