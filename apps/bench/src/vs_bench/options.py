"""Numbers and paths on the command lines of the benchmarks."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Token
from vs_config import Range, option_path
from vs_config.commands import option_of

Count = Annotated[int, option_of(Range(kind=int, low=1, high=1_000_000))]
"""A number of rounds or frames on a command line."""

Threads = Annotated[int, option_of(Range(kind=int, low=1, high=1024))]
"""A number of CPU threads, or of processes."""


def option_paths(_: Any, tokens: Sequence[Token]) -> tuple[Path, ...]:
    """Return the paths that words say."""
    return tuple(option_path(token.value) for token in tokens)
