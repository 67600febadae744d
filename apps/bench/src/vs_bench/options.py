"""Numbers on the command lines of the benchmarks."""

from typing import Annotated

from vs_config import Range
from vs_config.commands import option_of

Count = Annotated[int, option_of(Range(kind=int, low=1, high=1_000_000))]
"""A number of rounds or frames on a command line."""

Threads = Annotated[int, option_of(Range(kind=int, low=1, high=1024))]
"""A number of CPU threads, or of processes."""
