"""From a config object to TOML that a person can read and `load_config` reads back to an equal object."""

import textwrap
import typing
from typing import Any

import attrs
import tomlkit
from tomlkit.container import Container
from tomlkit.items import AoT, InlineTable, Item, Table

from vs_config.errors import ConfigError, Problem
from vs_config.names import child, one_of
from vs_config.schema import (
    NONE,
    TAG,
    Field,
    config_members,
    describe,
    fields_of,
    is_config,
    is_literal,
    is_tuple,
    is_union,
    members,
    tag_of,
)

_WIDTH = 100


def render_config(config: Any) -> str:
    """Return a config object as TOML: every field, with what it means and allows as comments.

    TOML has no null. A field that is None is left out, with the line `# name = ...` in its place, where that is its
    default; where None is not the default it is written `"none"`.

    Raises:
        ConfigError: A field that may be None holds the string `"none"`, which a file cannot tell from None.
    """
    document = tomlkit.document()
    _fill(document, config, attrs.NOTHING, "", tag=None)
    return tomlkit.dumps(document)


def _fill(table: Container | Table, config: Any, default: Any, path: str, *, tag: str | None) -> None:
    """Write all fields of a config: first the values, then, as TOML wants it, the tables."""
    if tag is not None:
        table.add(TAG, tag)
    tables = []
    for field in fields_of(type(config)).values():
        value = field.of(config)
        if is_config(type(value)) or _is_tables(value):
            tables.append((field, value))
        else:
            _add_value(table, field, value, _default(field, config, default), child(path, field.name))
    for field, value in tables:
        table.add(tomlkit.nl())
        _add_table(table, field, value, _default(field, config, default), child(path, field.name))


def _add_table(table: Container | Table, field: Field, value: Any, default: Any, path: str) -> None:
    if type(value) is tuple:
        _add_comments(table, field)
        table.add(field.name, _tables(value, _item_kind(field.type, 0), path))
        return
    below = tomlkit.table(is_super_table=False)  # else a table of tables alone would get no header
    if _comment(field):
        below.comment(_comment(field))  # on the header's line, since tomlkit tears lines above it off
    _fill(below, value, default, path, tag=_tag(value, field.type))
    table.add(field.name, below)


def _tag(config: Any, kind: Any) -> str | None:
    """Return the tag of a config where there are alternatives to it."""
    return tag_of(type(config)) if len(config_members(kind)) > 1 else None


def _default(field: Field, config: Any, default: Any) -> Any:
    """Return what `load_config` would take for a field that is left out."""
    return field.of(default) if type(default) is type(config) else field.default


def _is_tables(value: Any) -> bool:
    return type(value) is tuple and bool(value) and all(is_config(type(item)) for item in value)


def _tables(values: tuple[Any, ...], kind: Any, path: str) -> AoT:
    array = tomlkit.aot()
    for index, value in enumerate(values):
        table = tomlkit.table()
        _fill(table, value, attrs.NOTHING, child(path, index), tag=_tag(value, kind))
        array.append(table)
    return array


def _add_value(table: Container | Table, field: Field, value: Any, default: Any, path: str) -> None:
    _add_comments(table, field)
    if value is None and default is None:
        table.add(tomlkit.comment(f"{field.name} = ..."))
    elif field.numbered and type(value) is tuple:
        numbers = tomlkit.inline_table()
        numbers.update({str(key): number for key, number in value})
        table.add(field.name, numbers)
    else:
        table.add(field.name, _item(value, field.type, path))


def _item(value: Any, kind: Any, path: str) -> Item:
    if value == NONE and type(None) in members(kind):
        raise ConfigError([Problem(path, f"the string '{NONE}' cannot be told from None in a file")])
    if type(value) is tuple:
        array = tomlkit.array()
        for index, below in enumerate(value):
            array.append(_item(below, _item_kind(kind, index), child(path, index)))
        return array
    if is_config(type(value)):
        return _inline(value, kind, path)
    item: Item = tomlkit.item(NONE if value is None else value)
    return item


def _inline(config: Any, kind: Any, path: str) -> InlineTable:
    """Write a config that stands among other values in a list, where there is no room for comments."""
    table = tomlkit.inline_table()
    tag = _tag(config, kind)
    if tag is not None:
        table.add(TAG, tag)
    for field in fields_of(type(config)).values():
        table.add(field.name, _item(field.of(config), field.type, child(path, field.name)))
    return table


def _item_kind(kind: Any, index: int) -> Any:
    """Return the type of an item of a tuple: of all tuples that `kind` allows, the alternatives at that place."""
    tuples = (typing.get_args(member) for member in members(kind) if is_tuple(member))
    kinds = (args[0] if args[1:] == (Ellipsis,) else args[min(index, len(args) - 1)] for args in tuples)
    return typing.Union[tuple(kinds)]  # noqa: UP007


def _add_comments(table: Container | Table, field: Field) -> None:
    for line in textwrap.wrap(_comment(field), _WIDTH):
        table.add(tomlkit.comment(line))


def _comment(field: Field) -> str:
    allowed = _allowed(field)
    return f"{field.help} ({allowed})" if field.help and allowed else field.help or allowed


def _allowed(field: Field) -> str:
    """Say what a value may be where the field restricts it more than its present value shows."""
    tags = [tag for tag in config_members(field.type) if tag]
    if len(tags) > 1:
        words = [f"kind: {one_of(tags)}"]
        words += [describe(member) for member in members(field.type) if not is_config(member)]
        return "; or ".join(words)
    restricts = field.allowed != describe(field.type) or is_union(field.type)
    return field.allowed if restricts or is_literal(field.type) else ""
