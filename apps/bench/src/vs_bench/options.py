"""Numbers on the command lines of the benchmarks."""

from typing import Annotated

import cyclopts
from vs_config import Range, option_number


def option_of(numbers: Range) -> cyclopts.Parameter:
    """Make an option of a command line that takes some numbers; the library would round 1.5, and take nan."""
    return cyclopts.Parameter(converter=lambda _, tokens: option_number(tokens[0].value, numbers))


Count = Annotated[int, option_of(Range(kind=int, low=1, high=1_000_000))]
"""A number of rounds or frames on a command line."""

Threads = Annotated[int, option_of(Range(kind=int, low=1, high=1024))]
"""A number of CPU threads, or of processes."""
