"""Measure the talk "Mixed Precision Training for Video Synthesis", row by row, beside its own numbers.

Usage: hatch run bench:tables [ROW ...] [--minutes N] [--device cuda] [--threads N] [--emulated] [--store]

Rows, all of them unless some are named:

{rows}

On a CPU the networks and frames are smaller than the talk's; on CUDA they are the published ones. The minutes are
shared out among the rows; no case is cut in the middle, and what there was no time for is named, as is what does not
fit into the memory or cannot be measured on the device. O1 on a CPU without instructions for bfloat16 is several times
slower than float32, says nothing about mixed precision, and is left out unless `--emulated` asks for it.

Writes runs/bench/talk-ROW-DEVICE.json for each row, and a picture where it is a curve; with `--store` docs/benchmarks/
instead, from where `hatch run figures` makes docs/the-talk.md.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Literal

import attrs
import cyclopts
from rich.table import Table
from vs_config import Range
from vs_config.commands import option_of
from vs_config.errors import refuse_choice
from vs_config.progress import Progress, show_progress
from vs_runtime import choose_device

from vs_bench.errors import VsBenchError
from vs_bench.options import Threads
from vs_bench.results import Begun, begin, command_of, folder_of, save_records
from vs_bench.tables import wide_console
from vs_bench.talk.outcome import Outcome, as_content, interval, written
from vs_bench.talk.picture import draw
from vs_bench.talk.rows import ROWS
from vs_bench.talk.scale import published, scaled
from vs_bench.talk.setting import Budget, Row, Setting, share_of

Minutes = Annotated[float, option_of(Range(kind=float, low=0, high=1440, open_low=True))]

app = cyclopts.App(
    name="bench:tables",
    help=(__doc__ or "").format(rows="\n".join(f"- `{row.name}`: {row.title}" for row in ROWS)),
    suppress_keyboard_interrupt=False,
)


def chosen(names: Sequence[str]) -> list[Row]:
    """Return the rows of these names in the order of the talk, all if there are none.

    Raises:
        VsBenchError: there is no such row.
    """
    known = [row.name for row in ROWS]
    if unknown := [name for name in names if name not in known]:
        raise VsBenchError(str(refuse_choice("ROW", known, unknown[0])))
    return [row for row in ROWS if not names or row.name in names]


def measure_rows(
    rows: Sequence[Row],
    setting: Setting,
    progress: Progress,
    done: Callable[[Row, Outcome], None],
) -> None:
    """Measure rows one after the other within the budget of `setting`, and hand on what came of each."""
    for index, row in enumerate(rows):

        def say(what: str, index: int = index, row: Row = row) -> None:
            progress.update(index, len(rows), what=row.name, figures=what)

        say(row.title)
        budget = setting.budget.part(share_of([row.share for row in rows], index))
        done(row, row.measure(attrs.evolve(setting, budget=budget, say=say)))
    progress.update(len(rows), len(rows))


def table_of(outcome: Outcome) -> Table:
    """Return the table of a row: the talk's figures beside ours."""
    table = Table()
    for heading in ("", "the talk", "here", "interval", "holds?", "note"):
        table.add_column(heading, justify="right" if heading in ("the talk", "here") else "left")
    for line in outcome.lines:
        table.add_row(line.what, line.talk, written(line.value, line.unit), interval(line), line.verdict, line.note)
    return table


def print_outcome(row: Row, outcome: Outcome) -> None:
    """Print what came of a row: what was measured, the table, and what there is to say of it."""
    console = wide_console()
    console.print(row.title, style="bold", highlight=False, markup=False)
    if outcome.setting:
        console.print(outcome.setting, highlight=False, markup=False)
    if outcome.lines:
        console.print(table_of(outcome))
    for remark in (*outcome.findings, *outcome.left_out):
        console.print(f"- {remark}", highlight=False, markup=False)


def is_worth_keeping(outcome: Outcome) -> bool:
    """Return whether something was measured, or found without measuring. Pure."""
    return any(line.value is not None for line in outcome.lines) or bool(outcome.findings and not outcome.lines)


def save(row: Row, outcome: Outcome, begun: Begun, folder: Path, device: str) -> Path | None:
    """Write what was measured, and the picture of it; None if there is nothing to keep."""
    if not is_worth_keeping(outcome):
        return None
    name = f"talk-{row.name}-{device}"
    command = command_of("bench:tables")
    path = save_records({"row": row.name, **as_content(outcome)}, name, command=command, folder=folder, begun=begun)
    if outcome.curve is not None:
        draw(outcome.curve, folder / f"{name}.png")
    return path


@app.default
def main(
    *rows: str,
    minutes: Minutes = 10.0,
    device: Literal["cpu", "cuda"] = "cpu",
    threads: Threads = 2,
    emulated: bool = False,
    store: bool = False,
) -> None:
    """Measure rows of the talk.

    Args:
        rows: Names of rows; all by default.
        minutes: How long it may take in all.
        device: Where to compute, and so at which sizes.
        threads: CPU threads.
        emulated: Measure O1 also where its arithmetic is emulated.
        store: Write to docs/benchmarks.
    """
    selected = chosen(rows)
    place = choose_device(device)
    console = wide_console()
    setting = Setting(
        device=place,
        threads=threads,
        scale=published() if place.type == "cuda" else scaled(),
        budget=Budget(seconds=60 * minutes),
        emulated=emulated,
    )
    folder, begun = folder_of(store=store), begin()

    def done(row: Row, outcome: Outcome) -> None:
        print_outcome(row, outcome)
        path = save(row, outcome, begun, folder, place.type)
        if path is not None:
            console.print(f"written to {path}", highlight=False, markup=False)
        console.print()

    with show_progress("measuring", unit="rows") as progress:
        measure_rows(selected, setting, progress, done)
