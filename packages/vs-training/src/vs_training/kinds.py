"""Which kind of generator settings ask for, as long as they are no configuration yet."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vs_config import DocumentError, read_toml

DEFAULT_KIND = "vid2vid"
"""What is trained where `generator.kind` says nothing."""


def generator_kind(document: Mapping[str, Any]) -> str | None:
    """Return `generator.kind` of settings, the default where they do not say; None where no table could."""
    match document.get("generator", {}):
        case {"kind": kind}:
            return str(kind)
        case {}:
            return DEFAULT_KIND
    return None


def may_be_kind(config: Path, kind: str) -> bool:
    """Return whether a file of settings asks for a generator of a kind.

    One that cannot be read counts as one of every kind, so that whoever opens it says what is wrong with it.
    """
    try:
        return generator_kind(read_toml(config)) in (None, kind)
    except DocumentError:
        return True
