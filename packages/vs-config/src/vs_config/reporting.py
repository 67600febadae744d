"""How programs say what went wrong."""

import sys
from typing import TextIO

from vs_config.text import shown

_MAX_LINES = 50


def report_error(
    error: BaseException | str, *, status: int = 2, file: TextIO | None = None, label: str = "error"
) -> int:
    """Write a line `error: ...` for an error, or for each of its `problems` where it has several; return `status`.

    Nothing in an error's text makes a line of its own, or reaches the terminal as a control character.

    Args:
        error: What went wrong.
        status: The exit status for it; 2: the input is wrong.
        file: Where to; stderr unless given.
        label: What the lines begin with.
    """
    problems = tuple(getattr(error, "problems", ())) or (error,)
    lines = [shown(problem) or type(problem).__name__ for problem in problems[:_MAX_LINES]]
    if len(problems) > _MAX_LINES:
        lines.append(f"and {len(problems) - _MAX_LINES} more like these")
    for line in lines:
        print(f"{label}: {line}", file=sys.stderr if file is None else file)
    return status
