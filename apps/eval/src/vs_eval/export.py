"""What `export` does: a model as programs that run without us, and the table of how far they stray."""

import itertools
from pathlib import Path

from rich.console import Console
from vs_config import progress
from vs_synthesis import Which, find_run, load_model
from vs_synthesis.export import TOLERANCE, Drift, ExportRequest, Format, check_export, export_model, summary

from vs_eval.opening import say_warning, warn
from vs_eval.output import results_of
from vs_eval.report import Table
from vs_eval.synthesize.opening import parse_size
from vs_eval.terminal import say, show_tables


def export_to(
    path: Path | None,
    out: Path | None,
    form: Format,
    console: Console,
    *,
    sizes: tuple[str, ...],
    references: int,
    frames: int,
    step: Which,
) -> None:
    """Export a model, and show how far the export strays from it.

    Raises:
        ExportError: it cannot be exported as asked, or the programs do not do what the model does.
        OptionError: a size cannot be (and whatever opening a model raises).
    """
    where = find_run(say_warning).path if path is None else path
    request = ExportRequest(
        form=form,
        sizes=tuple(size for text in sizes if (size := parse_size("--size", text))),
        references=references,
        frames=frames,
    )
    model = load_model(where, device="cpu", checkpoint=step)
    target = results_of(model.contents, f"export-{form}") if out is None else out
    check_export(target, request)
    warn(model.contents.notices)
    say(console, f"{where} as {form}, tried on {frames} frames")
    count = itertools.count()
    with progress.show_progress("exporting", stream=console.file) as shown:
        made = export_model(model, target, request, lambda what, total: shown.update(next(count), total, what=what))
    show_tables([_table(drift) for drift in made.drifts], console)
    say(console, f"export: {made.path}")


def _table(drift: Drift) -> Table:
    height, width = drift.size
    note = ""
    if drift.closed < len(drift.exported.largest):
        note = (
            f"rounding alone makes other clips of this model from frame {drift.closed + 1} on; from there each "
            "frame was compared with the one that the model makes from the same past"
        )
    return Table(
        title=f"difference of frames of {height}x{width} from -1 to 1: allowed is {TOLERANCE:.2g}",
        heads=("frame", "export to float32: largest", "mean", "float32 to float64: largest", "mean"),
        rows=tuple((str(number), *(f"{x:.2e}" for x in differences)) for number, differences in summary(drift)),
        note=note,
    )
