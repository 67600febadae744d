"""Options of command lines: from the words that somebody typed to numbers and paths, with one message each."""

from __future__ import annotations

from pathlib import Path

from vs_config.fields import Range, path_problem
from vs_config.text import show

_MOST_DIGITS = 40


def option_number(text: str, numbers: Range) -> int | float:
    """Return the number that a word says.

    Raises:
        ValueError: It is no number, or none of these.
    """
    try:
        value = numbers.kind(text) if len(text) <= _MOST_DIGITS else None
    except ValueError:
        value = None
    if value is None or value not in numbers:
        raise ValueError(f"expected {numbers}, got {show(text)}")
    return value


def option_path(text: str) -> Path:
    """Return the path that a word says.

    Raises:
        ValueError: Nobody means such a path: it is empty, has control characters or a name too long, or is not UTF-8.
    """
    problem = path_problem(text)
    if problem:
        raise ValueError(f"expected {problem}, got {show(text)}")
    return Path(text)
