"""`dotted.path=value` on the command line: changes to a document before it becomes a config object."""

import datetime
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import reduce
from typing import Any

import attrs

from vs_config.documents import parse_toml
from vs_config.errors import ConfigError, DocumentError, Problem, refuse, refuse_choice
from vs_config.names import child, unknown_key
from vs_config.schema import NONE, TAG, Field, config_members, fields_of, is_among, tag_of
from vs_config.structure import class_of, default_document, with_current_names
from vs_config.text import show

COMMAND_LINE = "command line"
"""The source that problems with an override name."""

_NUMBER = re.compile(r"[+-]?[0-9_]+")
_OPENING = ("[", "{", '"', "'")


@attrs.frozen
class _Override:
    """One `dotted.path=value`, taken apart."""

    names: tuple[str, ...]
    value: Any


def apply_overrides(cls: type, document: Mapping[str, Any], overrides: Iterable[str]) -> dict[str, Any]:
    """Return a document with the overrides in it.

    A value is TOML (`3`, `1e-4`, `true`, `"text"`, `[1, 2]`, `{kind = "wood"}`), or else a bare string. A path leads
    through tables only: a list is given as a whole.

    Overriding the `kind` of a table with alternatives starts that table anew: whatever the document said about the old
    kind is dropped, and the defaults of the new kind hold; a key given beside it that the new kind does not have is a
    problem. The order on the command line does not matter: short paths are set before long ones and a `kind` before its
    siblings, so that `oven.logs=3 oven.kind=wood` works. Of two values for the same path the later wins.

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
    changed: dict[str, Any] = _copy(with_current_names(cls, document))  # before there are new names beside the old
    problems: list[Problem] = []
    parsed: list[_Override] = []
    for text in overrides:
        try:
            parsed.append(_parse(text))
        except ConfigError as error:
            problems += error.problems
    for each in sorted(parsed, key=lambda each: (len(each.names), each.names[-1] != TAG)):
        try:
            _set(cls, default_document(cls), changed, each.names, each.value, "")
        except ConfigError as error:
            problems += error.problems
    return changed, [attrs.evolve(problem, source=COMMAND_LINE) for problem in problems]


def repeated(overrides: Iterable[str]) -> list[str]:
    """Say of each path that is given more than once that the last one counts, in words."""
    counts = Counter(override_path(text) for text in overrides)
    return [f"{path} is given {n} times: the last one counts" for path, n in counts.items() if n > 1]


def override_path(text: str) -> str:
    """Return the path that an override, as typed, gives a value for."""
    return reduce(child, _names(text.partition("=")[0]), "")


def _names(path: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in path.strip().removeprefix("$.").split("."))


def _parse(text: str) -> _Override:
    path, equals, value = text.partition("=")
    names = _names(path)
    if not equals or not all(names):
        raise refuse("", "dotted.path=value", text)
    return _Override(names, _parse_value(override_path(text), value.strip()))


def _parse_value(path: str, text: str) -> Any:
    try:
        table = parse_toml(f"value = {text}")
    except DocumentError as error:
        if text.startswith(_OPENING) or _NUMBER.fullmatch(text):
            raise ConfigError([Problem(path, f"{show(text)} {error.problems[0].message}")]) from None
        return text
    value = table.get("value")
    is_time = type(value) in (datetime.date, datetime.time, datetime.datetime)
    return text if is_time or table.keys() != {"value"} else value


def _set(kind: Any, default: Any, table: dict[str, Any], names: tuple[str, ...], value: Any, path: str) -> None:
    """Set the value that `names` lead to below a table of type `kind`; `default` is what holds where it is silent."""
    name, below = names[0], names[1:]
    default = _table_or_nothing(default)
    classes = config_members(kind)
    if name == TAG and not below and all(classes):
        _switch(classes, table.get(TAG, default.get(TAG)), table, value, path)
        return
    cls = class_of(classes, table.get(TAG, default.get(TAG)), path)
    field = fields_of(cls).get(name)
    if field is None:
        raise ConfigError([Problem(child(path, name), _unknown(name, cls, classes))])
    if not below:
        table[name] = value
        return
    _require_tables(field, child(path, name))
    if table.get(name, NONE) == NONE:
        table[name] = {}
    match table[name]:
        case dict() as inner:
            within = default if default and default.get(TAG) == tag_of(cls) else default_document(cls)
            _set(field.type, within.get(name), inner, below, value, child(path, name))
        case _:
            pass  # load_config will say what is wrong with it


def _require_tables(field: Field, path: str) -> None:
    if not config_members(field.type):
        raise ConfigError([Problem(path, f"takes {field.allowed}; there is nothing below it to set")])


def _switch(classes: Mapping[str, type], current: Any, table: dict[str, Any], value: Any, path: str) -> None:
    if not is_among(value, classes):
        raise refuse_choice(child(path, TAG), classes, value)
    if value != current:
        table.clear()
    table[TAG] = value


def _unknown(name: str, cls: type, classes: Mapping[str, type]) -> str:
    owners = [show(tag) for tag, other in classes.items() if name in fields_of(other)]
    if owners:
        return f"unknown key for kind {show(tag_of(cls))}; it belongs to kind {', '.join(owners)}"
    return unknown_key(name, [*([TAG] if len(classes) > 1 else []), *fields_of(cls)])


def _table_or_nothing(value: Any) -> Mapping[str, Any]:
    match value:
        case Mapping():
            return value
        case _:
            return {}


def _copy(value: Any) -> Any:
    """Copy the tables of a document; values and lists are shared, since nothing below changes them."""
    match value:
        case Mapping():
            return {key: _copy(entry) for key, entry in value.items()}
        case _:
            return value
