"""Fields of the configurations here: those of `vs_config`, and names of folders."""

from typing import Any

import attrs
from vs_config import FieldError, choice, real, truth, whole

__all__ = ["choice", "folder_name", "real", "truth", "whole"]

_LONGEST_NAME = 255  # bytes, on all usual file systems


def folder_name(default: str, help_: str) -> Any:
    """The name of a folder directly inside the root: no separators."""
    return attrs.field(default=default, validator=_check_name, metadata={"help": help_})


def _check_name(_instance: object, attribute: "attrs.Attribute[Any]", value: object) -> None:
    fits = isinstance(value, str) and value.isprintable() and 0 < len(value.encode()) <= _LONGEST_NAME
    if not fits or value.startswith(".") or "/" in value or "\\" in value:  # type: ignore[attr-defined, operator]
        raise FieldError(attribute.name, value, "the name of a folder, without '/' and not starting with '.'")
