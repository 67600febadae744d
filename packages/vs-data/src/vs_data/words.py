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
            return json.dumps(NONE if value is None else value, ensure_ascii=False)


def table_of(config: Any, usual: Any, always: Collection[str]) -> str:
    """Write those fields of a config object that differ from another's of its class, and some always, in one line."""
    plain = to_document(usual)
    return in_one_line(
        {key: value for key, value in to_document(config).items() if key in always or value != plain[key]}
    )
