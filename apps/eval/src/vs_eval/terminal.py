"""What the terminal shows: how far an evaluation has come, its tables, and lines of text."""

import contextlib
import itertools
from collections.abc import Callable, Iterator, Sequence

from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text
from vs_config import progress, shown

from vs_eval.report import Table

Advance = Callable[[str, int], None]


@contextlib.contextmanager
def show_progress(console: Console, *, clips: int, frames: int) -> Iterator[Advance]:
    """Yield a function (clip's name, clips begun before it) to be called for every frame that is done.

    Args:
        console: where to; a bar with rate and estimate if it is a terminal, else a line for each clip.
        clips: how many clips there will be.
        frames: how many frames there will be in all.
    """
    count = itertools.count(1)
    with progress.show_progress("evaluating", unit="frames", stream=console.file) as shown_progress:

        def advance(name: str, index: int) -> None:
            shown_progress.update(next(count), frames, what=f"clip {index + 1} of {clips}: {name}")

        yield advance


@contextlib.contextmanager
def show_stages(console: Console) -> Iterator[Callable[[str], None]]:
    """Yield a function that is told what is being done: shown with a clock, or in a pipe a plain line for each."""
    count = itertools.count()
    with progress.show_progress("beginning", stream=console.file) as shown_progress:
        yield lambda what: shown_progress.update(next(count), what=what)


def open_console() -> Console:
    """Return the terminal, or a pipe with lines long enough for the tables."""
    console = Console()
    return console if console.is_terminal else Console(width=140)


def say(console: Console, line: str) -> None:
    """Print a line of plain text, neither wrapped nor interpreted; what would not be seen as itself is escaped."""
    console.print(shown(line), markup=False, highlight=False, soft_wrap=True)


def show_tables(tables: Sequence[Table], console: Console) -> None:
    """Print some tables with their notes."""
    for table in tables:
        console.print(_rich(table))
        if table.note:
            say(console, table.note)


def _rich(table: Table) -> RichTable:
    made = RichTable(title=Text(shown(table.title)), title_justify="left")
    for index, head in enumerate(table.heads):
        made.add_column(Text(shown(head)), justify="right" if index else "left", no_wrap=not index)
    for row in table.rows:
        made.add_row(*(Text(shown(cell)) for cell in row))
    return made
