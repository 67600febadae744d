"""What `numerics` does: check the input, run the step in two precisions, write what was found, show it."""

import datetime
from pathlib import Path

import attrs
from rich.console import Console

from vs_eval.numerics.audit import audit
from vs_eval.numerics.opening import MARKER, NumericsRequest, open_audit
from vs_eval.numerics.picture import draw_heat_map
from vs_eval.numerics.report import audit_json, audit_tables, conclusions, proposal_lines
from vs_eval.opening import warn
from vs_eval.output import report_directory, write_json
from vs_eval.terminal import say, show_stages, show_tables


def audit_numerics(request: NumericsRequest, console: Console) -> Path:
    """Do what the command line asks for, and return the directory of what was found."""
    opened = open_audit(request, now=datetime.datetime.now())
    warn(opened.notices)
    say(console, opened.title)
    with report_directory(opened.out, MARKER) as draft:
        with show_stages(console) as tell:
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
        lines = [*conclusions(found), *(line for effect in found.effects for line in proposal_lines(effect))]
        said = {"tables": [attrs.asdict(table) for table in audit_tables(found)], "conclusions": lines}
        document = {**audit_json(found, opened.facts), **said, "notices": list(opened.notices)}
        write_json(draft / MARKER, document)
    show_tables(audit_tables(found), console)
    for line in lines:
        say(console, line)
    say(console, f"audit: {opened.out / MARKER}, picture: {opened.out / 'numerics.png'}")
    return opened.out
