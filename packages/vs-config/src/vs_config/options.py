"""Options of command lines: from the words that somebody typed to numbers and paths, with one message each."""

from collections.abc import Sequence
from pathlib import Path

from vs_config.fields import Range, path_problem
from vs_config.text import show

_MAX_DIGITS = 40


def option_number(text: str, numbers: Range, words: Sequence[str] = ()) -> int | float | str:
    """Return the number that a word says, or the word if it is one of `words`.

    Raises:
        ValueError: It is no number, or none of these.
    """
    if text in words:
        return text
    try:
        value = numbers.kind(text) if len(text) <= _MAX_DIGITS else None
    except ValueError:
        value = None
    if value is None or value not in numbers:
        raise ValueError(f"expected {numbers}{''.join(f' or {show(word)}' for word in words)}, got {show(text)}")
    return value


def option_path(text: str) -> Path:
    """Return the path that a word says, with the home folder for a leading `~`, which shells leave in `--out=~/x`.

    Raises:
        ValueError: Nobody means such a path: it is empty, has control characters or a name too long, is not UTF-8, or
            begins with the name of nobody here.
    """
    problem = path_problem(text)
    if problem:
        raise ValueError(f"expected {problem}, got {show(text)}")
    try:
        return Path(text).expanduser() if text.startswith("~") else Path(text)
    except RuntimeError:
        raise ValueError(f"there is no such user: {show(text)}; write the whole path") from None
