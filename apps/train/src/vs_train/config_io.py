"""Configuration files: reading, overriding and writing any tree of frozen attrs classes.

The pieces live in `config_structure` (document to object), `config_overrides` (command line) and `config_render`
(object to TOML); this module is their public surface.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import attrs

from .config_overrides import COMMAND_LINE, apply_overrides
from .config_render import render_config
from .config_structure import load_config, to_document
from .errors import ConfigError, Problem

__all__ = [
    "ConfigError",
    "apply_overrides",
    "load_config",
    "parse_document",
    "read_document",
    "render_config",
    "resolve_config",
    "to_document",
]

T = TypeVar("T")


def read_document(path: Path) -> dict[str, Any]:
    """Read a TOML file.

    Raises:
        ConfigError: The file cannot be read or is not TOML, with the line and column of the mistake.
    """
    try:
        text = path.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(
            [Problem("", f"is not a text file: {error.reason} at byte {error.start}", str(path))]
        ) from None
    except OSError as error:
        raise ConfigError([Problem("", f"cannot be read: {error.strerror or error}", str(path))]) from None
    return parse_document(text, str(path))


def parse_document(text: str, source: str) -> dict[str, Any]:
    """Parse TOML.

    Raises:
        ConfigError: The text is not TOML, with the line and column of the mistake.
    """
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([Problem("", f"is not TOML: {error}", source)]) from None


def resolve_config(cls: type[T], document: Mapping[str, Any], overrides: Iterable[str], source: str) -> T:
    """Make a config object of a document and the command line's overrides.

    Raises:
        ConfigError: With all problems; each names the document or the command line as its source.
    """
    given = list(overrides)
    paths = ["$." + text.partition("=")[0].strip().removeprefix("$.") for text in given]
    try:
        return load_config(cls, apply_overrides(cls, document, given), source)
    except ConfigError as error:
        raise ConfigError([_blame(problem, paths) for problem in error.problems]) from None


def _blame(problem: Problem, overridden: Iterable[str]) -> Problem:
    """Name the command line as the source of a problem at, or below, a path that was overridden."""
    below = any(problem.path == path or problem.path.startswith((f"{path}.", f"{path}[")) for path in overridden)
    return attrs.evolve(problem, source=COMMAND_LINE) if below else problem
