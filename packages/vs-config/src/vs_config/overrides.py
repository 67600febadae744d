"""`dotted.path=value` on the command line: changes to a document before it becomes a config object."""

from __future__ import annotations

import datetime
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import attrs

from vs_config import DocumentError, parse_toml, show
from vs_config.errors import ConfigError, Problem
from vs_config.schema import NONE, TAG, child, config_members, describe, fields_of, tag_of, unknown_key
from vs_config.structure import default_document

_NUMBER = re.compile(r"[+-]?[0-9_]+")

COMMAND_LINE = "command line"
"""The source that problems with an override name."""


@attrs.frozen
class _Override:
    """One `dotted.path=value`, taken apart."""

    path: tuple[str, ...]
    value: Any


class _OverrideError(ValueError):
    def __init__(self, path: str, message: str) -> None:
        self.problem = Problem(path, message, COMMAND_LINE)
        super().__init__(message)


def apply_overrides(cls: type, document: Mapping[str, Any], overrides: Iterable[str]) -> dict[str, Any]:
    """Return a document with the overrides in it.

    A value is TOML (`3`, `1e-4`, `true`, `"text"`, `[1, 2]`, `{kind = "folder"}`), or else a bare string. A path leads
    through tables only: a list is given as a whole.

    Overriding the `kind` of a table with alternatives starts that table anew: whatever the document said about the old
    kind is dropped, and the defaults of the new kind hold; a key given beside it that the new kind does not have is a
    problem. The order on the command line does not matter: short paths are set before long ones and a `kind` before its
    siblings, so that `data.root=clips data.kind=folder` works. Of two values for the same path the later wins.

    Args:
        cls: The config class that the document is meant for.
        document: A preset or configuration file; it is not changed.
        overrides: The arguments, as typed.

    Raises:
        ConfigError: With a problem for every override that is malformed or leads nowhere. Types and values are for
            `load_config` to check.
    """
    changed, problems = try_overrides(cls, document, overrides)
    if problems:
        raise ConfigError(problems)
    return changed


def try_overrides(
    cls: type, document: Mapping[str, Any], overrides: Iterable[str]
) -> tuple[dict[str, Any], list[Problem]]:
    """Return a document with those overrides in it that can be applied, and what is wrong with the others."""
    changed = _copy(document)
    problems: list[Problem] = []
    parsed: list[_Override] = []
    for text in overrides:
        try:
            parsed.append(_parse(text))
        except _OverrideError as error:
            problems.append(error.problem)
    for each in sorted(parsed, key=lambda each: (len(each.path), each.path[-1] != TAG)):
        try:
            _set(cls, default_document(cls), changed, each.path, each.value, "$")
        except _OverrideError as error:
            problems.append(error.problem)
    return changed, problems


def repeated(overrides: Iterable[str]) -> list[str]:
    """Say of each path that is given more than once that the last one counts, in words."""
    counts = Counter(_names(text.partition("=")[0]) for text in overrides)
    return [f"{_join(names)} is given {n} times: the last one counts" for names, n in counts.items() if n > 1]


def _names(path: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in path.strip().removeprefix("$.").split("."))


def _parse(text: str) -> _Override:
    path, equals, value = text.partition("=")
    names = _names(path)
    if not equals or not all(names):
        raise _OverrideError("", f"expected dotted.path=value, got {show(text)}")
    return _Override(names, _parse_value(names, value.strip()))


def _parse_value(names: tuple[str, ...], text: str) -> Any:
    try:
        table = parse_toml(f"value = {text}")
    except DocumentError as error:
        if text[:1] in ("[", "{", '"', "'") or _NUMBER.fullmatch(text):
            raise _OverrideError(_join(names), f"{show(text)} {error.problem}") from None
        return text
    if table.keys() != {"value"} or isinstance(table["value"], (datetime.date, datetime.time)):
        return text
    return table["value"]


def _set(kind: Any, default: Any, table: dict[str, Any], names: tuple[str, ...], value: Any, path: str) -> None:
    """Set the value that `names` lead to below a table of type `kind`; `default` is what holds where it is silent."""
    name, below = names[0], names[1:]
    default = default if isinstance(default, Mapping) else {}
    classes = config_members(kind)
    if name == TAG and not below and all(classes):
        _switch(classes, table.get(TAG, default.get(TAG)), table, value, path)
        return
    cls = _class_of(classes, table.get(TAG, default.get(TAG)), path)
    field = fields_of(cls).get(name)
    if field is None:
        raise _OverrideError(child(path, name), _unknown(name, cls, classes))
    if not below:
        table[name] = value
        return
    if not config_members(field.type):
        raise _OverrideError(child(path, name), f"is {describe(field.type)}; there is nothing below it to set")
    if table.get(name, NONE) == NONE:
        table[name] = {}
    if isinstance(table[name], dict):  # else load_config will say what is wrong with it
        within = default if default and default.get(TAG) == tag_of(cls) else default_document(cls)
        _set(field.type, within.get(name), table[name], below, value, child(path, name))


def _switch(classes: Mapping[str, type], current: Any, table: dict[str, Any], value: Any, path: str) -> None:
    if not isinstance(value, str) or value not in classes:
        raise _OverrideError(child(path, TAG), f"expected one of {_quoted(classes)}, got {show(value)}")
    if value != current:
        table.clear()
    table[TAG] = value


def _class_of(classes: Mapping[str, type], tag: Any, path: str) -> type:
    if len(classes) == 1:
        return next(iter(classes.values()))
    if tag is None:
        raise _OverrideError(
            child(path, TAG), f"missing; give {child(path, TAG)[2:]}=... as well, one of {_quoted(classes)}"
        )
    if tag not in classes:
        raise _OverrideError(child(path, TAG), f"expected one of {_quoted(classes)}, got {show(tag)}")
    return classes[tag]


def _unknown(name: str, cls: type, classes: Mapping[str, type]) -> str:
    owners = [tag for tag, other in classes.items() if name in fields_of(other)]
    if owners:
        return f"unknown key for kind {show(tag_of(cls))}; it belongs to kind {_quoted(owners)}"
    return unknown_key(name, [*([TAG] if len(classes) > 1 else []), *fields_of(cls)])


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(show(name) for name in names)


def _join(names: Iterable[str]) -> str:
    path = "$"
    for name in names:
        path = child(path, name)
    return path


def _copy(document: Mapping[str, Any]) -> dict[str, Any]:
    """Copy the tables of a document; values and lists are shared, since nothing below changes them."""
    return {key: _copy(value) if isinstance(value, Mapping) else value for key, value in document.items()}
