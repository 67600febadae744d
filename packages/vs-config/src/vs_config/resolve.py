"""Configuration files: reading, overriding and writing any tree of frozen attrs classes.

The pieces live in `config_structure` (document to object), `config_overrides` (command line) and `config_render`
(object to TOML); this module is their public surface.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import attrs

from vs_config import DocumentError, parse_toml, read_toml
from vs_config.errors import ConfigError, Problem
from vs_config.overrides import COMMAND_LINE, apply_overrides, try_overrides
from vs_config.render import render_config
from vs_config.structure import load_config, to_document

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
        return read_toml(path)
    except DocumentError as error:
        raise _config_error(error) from None


def parse_document(text: str, source: str) -> dict[str, Any]:
    """Parse TOML.

    Raises:
        ConfigError: The text is not TOML, with the line and column of the mistake.
    """
    try:
        return parse_toml(text, source)
    except DocumentError as error:
        raise _config_error(error) from None


def _config_error(error: DocumentError) -> ConfigError:
    return ConfigError([Problem("", error.reason, error.source)])


def resolve_config(cls: type[T], document: Mapping[str, Any], overrides: Iterable[str], source: str) -> T:
    """Make a config object of a document and the command line's overrides.

    Raises:
        ConfigError: With all problems; each names the document or the command line as its source.
    """
    given = list(overrides)
    paths = ["$." + text.partition("=")[0].strip().removeprefix("$.") for text in given]
    changed, problems = try_overrides(cls, document, given)
    try:
        config = load_config(cls, changed, source)
    except ConfigError as error:
        known = {problem.path for problem in problems}
        problems += [_blame(problem, paths) for problem in error.problems if problem.path not in known]
    if problems:
        raise ConfigError(problems)
    return config


def _blame(problem: Problem, overridden: Iterable[str]) -> Problem:
    """Name the command line as the source of a problem at, or below, a path that was overridden."""
    below = any(problem.path == path or problem.path.startswith((f"{path}.", f"{path}[")) for path in overridden)
    return attrs.evolve(problem, source=COMMAND_LINE) if below else problem
