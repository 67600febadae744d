"""From plain data to TOML with a comment where somebody has something to say about a value."""

import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

import tomlkit

from vs_config.names import child

_WIDTH = 116


def annotated(document: Mapping[str, Any], notes: Mapping[str, str], heading: str = "") -> str:
    """Return a document of settings as TOML, tables in the order of their keys.

    Args:
        document: Plain data: tables, lists of tables, values.
        notes: Path of a value or a table (`data.height`, `data.labels[0]`) -> the comment that is written above it.
        heading: The comment that the file begins with.
    """
    lines = [*_comment(heading), "", *_table(document, notes, "")]
    return "\n".join(lines).strip("\n") + "\n"


def _comment(text: str) -> list[str]:
    wrapped = (textwrap.wrap(line, _WIDTH) or [""] for line in text.splitlines())
    return [f"# {line}".rstrip() for lines in wrapped for line in lines]


def _table(table: Mapping[str, Any], notes: Mapping[str, str], path: str) -> Iterator[str]:
    """Yield the lines of a table: first its values, then, as TOML wants it, the tables in it."""
    below = {key: value for key, value in table.items() if _is_table(value) or _are_tables(value)}
    for key, value in table.items():
        if key not in below:
            yield from _comment(notes.get(child(path, key), ""))
            yield f"{tomlkit.key(key).as_string()} = {tomlkit.item(value).as_string()}"
    for key, value in below.items():
        place = child(path, key)
        if _is_table(value):
            yield from _headed(value, notes, place, f"[{place}]")
            continue
        for index, item in enumerate(value):
            yield from _headed(item, notes, child(place, index), f"[[{place}]]", inside=place)


def _headed(
    table: Mapping[str, Any], notes: Mapping[str, str], path: str, header: str, *, inside: str | None = None
) -> Iterator[str]:
    values = any(not (_is_table(value) or _are_tables(value)) for value in table.values())
    if values or not table or inside is not None or path in notes:
        yield ""
        yield from _comment(notes.get(path, ""))
        yield header
    yield from _table(table, notes, path)


def _is_table(value: Any) -> bool:
    return isinstance(value, Mapping)


def _are_tables(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(map(_is_table, value))
