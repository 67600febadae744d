"""What the terminal shows: progress as a bar or, in a pipe, as plain lines; and the tables of a report."""

import contextlib
from collections.abc import Callable, Iterator, Sequence

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.table import Table as RichTable
from rich.text import Text
from vs_config import shown

from vs_eval.report import Report, Table, tables

Advance = Callable[[str, int], None]


@contextlib.contextmanager
def show_progress(console: Console, *, clips: int, frames: int) -> Iterator[Advance]:
    """Yield a function (clip's name, clips begun before it) to be called for every frame that is done.

    Args:
        console: where to; a bar with rate and estimate if it is a terminal, else one line per clip.
        clips: how many clips there will be.
        frames: how many frames there will be in all.
    """
    if not console.is_terminal:
        yield _plain_lines(console, clips)
        return
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TextColumn("frames"))
    with Progress(*columns, _Rate(), TimeRemainingColumn(), console=console, transient=True) as progress:
        task = progress.add_task("evaluating", total=frames)

        def advance(name: str, index: int) -> None:
            progress.update(task, advance=1, description=shown(f"clip {index + 1} of {clips}: {name}"))

        yield advance


class _Rate(ProgressColumn):
    """Frames per second."""

    def render(self, task: Task) -> Text:
        return Text("" if task.speed is None else f"{task.speed:.1f}/s")


def _plain_lines(console: Console, clips: int) -> Advance:
    begun: set[int] = set()

    def advance(name: str, index: int) -> None:
        if index not in begun:
            begun.add(index)
            say(console, f"clip {index + 1} of {clips}: {name}")

    return advance


def open_console() -> Console:
    """Return the terminal, or a pipe with lines long enough for the tables."""
    console = Console()
    return console if console.is_terminal else Console(width=140)


def say(console: Console, line: str) -> None:
    """Print a line of plain text, neither wrapped nor interpreted; what would not be seen as itself is escaped."""
    console.print(shown(line), markup=False, highlight=False, soft_wrap=True)


def show_report(report: Report, console: Console) -> None:
    """Print the tables of a report."""
    show_tables(tables(report), console)


def show_tables(shown: Sequence[Table], console: Console) -> None:
    """Print some tables with their notes."""
    for table in shown:
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
