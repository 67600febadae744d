"""What `numerics` does: check the input, run the step in two precisions, write what was found, show it."""

import contextlib
import datetime
from collections.abc import Callable, Iterator
from pathlib import Path

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from vs_config import shown
from vs_training.errors import PresetError

from vs_eval.command import INPUT_ERRORS
from vs_eval.numerics.audit import audit
from vs_eval.numerics.opening import MARKER, NumericsRequest, open_audit
from vs_eval.numerics.picture import draw_heat_map
from vs_eval.numerics.report import audit_json, audit_tables, proposal_lines, verdict
from vs_eval.opening import warn
from vs_eval.output import report_directory, write_json
from vs_eval.terminal import say, show_tables

NUMERICS_ERRORS = (*INPUT_ERRORS, PresetError)
"""What wrong input raises."""


def audit_numerics(request: NumericsRequest, console: Console) -> Path:
    """Do what the command line asks for; returns the directory of what was found."""
    opened = open_audit(request, now=datetime.datetime.now())
    warn(opened.notices)
    say(console, opened.title)
    with report_directory(opened.out, MARKER) as draft:
        with _progress(console) as tell:
            found = audit(
                opened.workload,
                opened.form,
                reference=opened.reference,
                scales=opened.scales,
                start_scale=opened.start_scale,
                say=tell,
            )
            tell("drawing")
            draw_heat_map(found.result, opened.form, opened.title, draft / "numerics.png")
            for effect in found.effects:
                title = f"{opened.title}, with {effect.proposal.title}"
                draw_heat_map(effect.result, opened.form, title, draft / f"numerics-{effect.proposal.kind}.png")
        document = {**audit_json(found, opened.facts), "notices": list(opened.notices)}
        write_json(draft / MARKER, document)
    show_tables(audit_tables(found), console)
    for line in verdict(found):
        say(console, line)
    for effect in found.effects:
        for line in proposal_lines(effect):
            say(console, line)
    say(console, f"audit: {opened.out / MARKER}, picture: {opened.out / 'numerics.png'}")
    return opened.out


@contextlib.contextmanager
def _progress(console: Console) -> Iterator[Callable[[str], None]]:
    """A function that is told what is being done: a line with a clock, or in a pipe a plain line for each."""
    if not console.is_terminal:
        yield lambda text: say(console, text)
        return
    with Progress(
        SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn(), console=console
    ) as progress:
        tasks: list[object] = []

        def tell(text: str) -> None:
            for task in progress.tasks:
                progress.update(task.id, completed=1, total=1)
            tasks.append(progress.add_task(shown(text), total=None))

        yield tell
        for task in progress.tasks:
            progress.update(task.id, completed=1, total=1)
