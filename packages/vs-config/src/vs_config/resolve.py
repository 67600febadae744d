"""From a document and what a command line says about it to a config object."""

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import attrs

from vs_config.errors import ConfigError, Problem
from vs_config.overrides import COMMAND_LINE, override_path, try_overrides
from vs_config.structure import load_config

T = TypeVar("T")


def resolve_config(cls: type[T], document: Mapping[str, Any], overrides: Iterable[str], source: str) -> T:
    """Make a config object of a document and the command line's overrides.

    Raises:
        ConfigError: With all problems; each names the document or the command line as its source.
    """
    given = list(overrides)
    changed, problems = try_overrides(cls, document, given)
    try:
        config = load_config(cls, changed, source)
    except ConfigError as error:
        known = {problem.path for problem in problems}
        paths = [override_path(text, cls) for text in given]
        problems += [_blame(problem, paths) for problem in error.problems if problem.path not in known]
    if problems:
        raise ConfigError(problems)
    return config


def _blame(problem: Problem, overridden: Iterable[str]) -> Problem:
    """Name the command line as the source of a problem at, or below, a path that was overridden."""
    below = any(problem.path == path or problem.path.startswith((f"{path}.", f"{path}[")) for path in overridden)
    return attrs.evolve(problem, source=COMMAND_LINE) if below else problem
