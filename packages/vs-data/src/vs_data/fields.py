"""A field of the configurations here: the name of a folder."""

from typing import Any

import attrs
from vs_config import refuse

_MAX_NAME_BYTES = 255  # bytes, on all usual file systems


def folder_name(default: str, help_: str) -> Any:
    """Make a field for the name of a folder directly inside the root: no separators."""
    return attrs.field(default=default, validator=_check_name, metadata={"help": help_})


def _check_name(_instance: object, attribute: "attrs.Attribute[Any]", value: object) -> None:
    if not (type(value) is str and _names_a_folder(value)):
        raise refuse(attribute.name, "the name of a folder, without '/' and not starting with '.'", value)


def _names_a_folder(text: str) -> bool:
    fits = text.isprintable() and 0 < len(text.encode()) <= _MAX_NAME_BYTES
    return fits and not text.startswith(".") and "/" not in text and "\\" not in text
