"""Fields of the configurations here: the name of a folder, a table of colours."""

from collections.abc import Sequence
from typing import Any

import attrs
from vs_config import refuse
from vs_config.names import one_of

_MAX_NAME_BYTES = 255  # bytes, on all usual file systems


def folder_name(default: str, help_: str) -> Any:
    """Make a field for the name of a folder directly inside the root: no separators."""
    return attrs.field(default=default, validator=_check_name, metadata={"help": help_})


def colour_table(help_: str, names: Sequence[str], *, high: int) -> Any:
    """Make a field for a tuple of 1 to `high` colours (R, G, B), for the name of such a table, or for None."""
    expected = f"{one_of(names)} or a list of 1 to {high} colours [R, G, B], 0 to 255 each, or 'none'"

    def check(_instance: object, attribute: "attrs.Attribute[Any]", value: Any) -> None:
        listed = type(value) is tuple and 1 <= len(value) <= high and all(map(_is_colour, value))
        if not (value is None or (type(value) is str and value in names) or listed):
            raise refuse(attribute.name, expected, value)

    return attrs.field(default=None, validator=check, metadata={"help": help_, "allowed": expected})


def _is_colour(value: Any) -> bool:
    return type(value) is tuple and len(value) == 3 and all(type(level) is int and 0 <= level <= 255 for level in value)


def _check_name(_instance: object, attribute: "attrs.Attribute[Any]", value: object) -> None:
    if not (type(value) is str and _names_a_folder(value)):
        raise refuse(attribute.name, "the name of a folder, without '/' and not starting with '.'", value)


def _names_a_folder(text: str) -> bool:
    fits = text.isprintable() and 0 < len(text.encode()) <= _MAX_NAME_BYTES
    return fits and not text.startswith(".") and "/" not in text and "\\" not in text
