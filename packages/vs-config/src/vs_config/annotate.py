"""From plain data to TOML with a comment where somebody has something to say about a value."""

import re
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

import tomlkit

from vs_config.names import child
from vs_config.text import shown

_WIDTH = 116
_BARE = re.compile(r"[A-Za-z0-9_-]+")


def annotated(document: Mapping[str, Any], notes: Mapping[str, str], heading: str = "") -> str:
    """Return a document of settings as TOML, tables in the order of their keys.

    Args:
        document: Plain data: tables, lists of tables, values.
        notes: Path of a value or a table (`data.height`, `data.labels[0]`) -> the comment that is written above it.
        heading: The comment that the file begins with.
    """
    lines = [*_comment(heading), "", *_table(document, notes, "", "")]
    return "\n".join(lines).strip("\n") + "\n"


def _comment(text: str) -> list[str]:
    wrapped = (textwrap.wrap(shown(line), _WIDTH) or [""] for line in text.splitlines())
    return [f"# {line}".rstrip() for lines in wrapped for line in lines]


def _table(table: Mapping[str, Any], notes: Mapping[str, str], path: str, name: str) -> Iterator[str]:
    """Yield the lines of a table: first its values, then, as TOML wants it, the tables in it.

    `path` is where it is, for notes, `name` the same as TOML writes it.
    """
    below = {key: value for key, value in table.items() if _is_table(value) or _are_tables(value)}
    for key, value in table.items():
        if key not in below:
            yield from _comment(notes.get(child(path, key), ""))
            yield f"{_key(key)} = {tomlkit.item(value).as_string()}"
    for key, value in below.items():
        place, full = child(path, key), f"{name}.{_key(key)}" if name else _key(key)
        if _is_table(value):
            yield from _headed(value, notes, place, full, f"[{full}]")
            continue
        for index, item in enumerate(value):
            yield from _headed(item, notes, child(place, index), full, f"[[{full}]]")


def _headed(table: Mapping[str, Any], notes: Mapping[str, str], path: str, name: str, header: str) -> Iterator[str]:
    """Yield a table with its header, which one of tables alone does not need unless it stands in a list."""
    tables_alone = bool(table) and all(_is_table(value) or _are_tables(value) for value in table.values())
    if not tables_alone or header.startswith("[[") or path in notes:
        yield ""
        yield from _comment(notes.get(path, ""))
        yield header
    yield from _table(table, notes, path, name)


def _key(key: str) -> str:
    """Return a key as TOML writes it: bare where it can be, else in quotes."""
    return key if _BARE.fullmatch(key) else tomlkit.item(key).as_string()


def _is_table(value: Any) -> bool:
    return isinstance(value, Mapping)


def _are_tables(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(map(_is_table, value))
