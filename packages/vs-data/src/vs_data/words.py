"""Configurations as tables in one line, as they are written on a command line."""

import json
from collections.abc import Collection
from typing import Any

from vs_config import to_document
from vs_config.schema import NONE


def in_one_line(value: Any) -> str:
    """Write plain data as a value of TOML that stands in one line."""
    match value:
        case dict():
            return f"{{{', '.join(f'{key} = {in_one_line(below)}' for key, below in value.items())}}}"
        case list():
            return f"[{', '.join(map(in_one_line, value))}]"
        case _:
            return json.dumps(value, ensure_ascii=False)


def differing(config: Any, usual: Any, always: Collection[str]) -> dict[str, Any]:
    """Return those fields of a config object that differ from another's of its class, or always, as plain data."""
    plain, document = to_document(usual), to_document(config)
    kept = {key: value for key, value in document.items() if key in always or value != plain[key]}
    return {key: NONE if value is None else value for key, value in kept.items()}
