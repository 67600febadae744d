"""The page of a run: how it was trained, what came out, and with which settings."""

import shlex
from collections.abc import Iterator, Mapping

import attrs
from vs_runtime import best_step

from vs_eval.facts import step_title
from vs_eval.files import Picture
from vs_eval.opening import COMMANDS
from vs_eval.pages.clips import MEGABYTE, Room, pictures_of
from vs_eval.pages.content import Figure, Folded, Page, Remark, Section
from vs_eval.pages.curves import draw
from vs_eval.pages.evaluation_page import meanings_section, measured_section, moment, part_sections, summary_of
from vs_eval.pages.found import GENERATED, Found
from vs_eval.pages.history import (
    History,
    marks_of,
    measured,
    remarks_on,
    training_figures,
    validation_names,
    validation_series,
)
from vs_eval.pages.runs import RunView
from vs_eval.pages.scores import FIRST
from vs_eval.pages.settings import Origin, difference_table, nearest_preset
from vs_eval.report import Table

UNKNOWN = "hatch run eval:vid2vid"


def run_page(view: RunView, *, max_mb: float) -> Page:
    """Return the page of a run, whose videos and pictures take `max_mb` megabytes at most."""
    room, found = Room(max_mb), view.newest
    sections = [
        summary_section(view, room),
        *(() if found is None else part_sections(found, room)),
        *(
            section
            for number, drift in enumerate(view.drifts)
            for section in part_sections(drift, room, f"drift{number}-")
        ),
        *_training_sections(view),
        *_audit_sections(view, room),
        *_older_evaluations(view),
        *_settings_sections(view),
        *_closing_sections(view),
        _environment_section(view, max_mb - room.left / MEGABYTE, max_mb),
    ]
    title = step_title(view.name, view.history.last or None)
    evaluated = [*(() if found is None else (found,)), *view.drifts]
    notices = dict.fromkeys((*view.notices, *(notice for each in evaluated for notice in each.notices)))
    return Page(title=title, kind="Run", lines=tuple(lines_on(view)), notices=tuple(notices), sections=sections)


def _closing_sections(view: RunView) -> Iterator[Section]:
    """Yield what the numbers mean, those of roll-outs too, and how the newest evaluation was made."""
    found = [*view.evaluations[-1:], *view.drifts]
    if found:
        yield meanings_section(found)
    if view.newest is not None:
        yield measured_section(view.newest)


def lines_on(view: RunView) -> Iterator[str]:
    """Yield what there is to say of a run at once."""
    begun = moment(view.marker.get("started"))
    yield ", ".join(filter(None, (begun and f"begun {begun}", view.state, view.took)))
    if view.config is not None:
        config = view.config
        yield f"{config.generator.kind} on {config.data.kind}, precision {config.precision.level}, seed {config.seed}"


def summary_section(view: RunView, room: Room) -> Section:
    """Return what came out, or what has to be done before anything can be said of it."""
    if view.newest is not None:
        return summary_of(view.newest)
    samples = sorted((view.path / "samples").glob("step-*.png"))[-1:]
    shown = [Picture(title=f"Sample of training, {path.stem}", file=path.name) for path in samples]
    if not view.checkpoints:
        return Section(ident="summary", title="Summary", texts=("There is no checkpoint yet that could be evaluated.",))
    return Section(
        ident="summary",
        title="Summary",
        texts=("This run has not been evaluated: there are no scores and no videos of held-out clips yet.",),
        commands=(("Evaluate it, then write this page again", evaluate_command(view)),),
        pictures=pictures_of(shown, view.path / "samples", room),
    )


def evaluate_command(view: RunView) -> str:
    """Return what evaluates a run."""
    command = UNKNOWN if view.config is None else COMMANDS[view.config.generator.kind]
    return f"{command} {shlex.quote(str(view.path))}"


def _training_sections(view: RunView) -> Iterator[Section]:
    history = view.history
    if not history.steps:
        yield Section(ident="training", title="Training", texts=("metrics.jsonl has no steps yet.",))
        return
    marks = marks_of(history, view.checkpoints, view.resumed)
    best = best_step(view.path / "checkpoints")
    kept = () if best is None else (Remark(text=f"The checkpoint that is kept as the best is of step {best}."),)
    validation = tuple(validation_figures(history))
    if validation:
        yield Section(ident="validation", title="Quality while training", remarks=kept, figures=validation)
    resumed = (Remark(text=f"Resumed at step {', '.join(map(str, view.resumed))}."),) if view.resumed else ()
    yield Section(
        ident="training",
        title="Training",
        remarks=(*remarks_on(history), *resumed),
        figures=training_figures(history, marks),
    )


def validation_figures(history: History) -> Iterator[Figure]:
    """Yield the curves of the validations, one figure for each measure."""
    names = validation_names(history)
    for position, measure in enumerate(dict.fromkeys(name.partition("/")[0] for name in names)):
        of_measure = [name for name in names if name.partition("/")[0] == measure]
        series = [
            validation_series(history, name, name.partition("/")[2].replace("_", " ") or name) for name in of_measure
        ]
        figure = draw(measured(measure), series, x_name="step", ident=f"validation{position}")
        if figure is not None:
            yield figure


def _audit_sections(view: RunView, room: Room) -> Iterator[Section]:
    for position, audit in enumerate(view.audits):
        yield Section(
            ident=f"numerics{position}",
            title=f"Numerics: {audit.directory.name.removeprefix('numerics-')}",
            remarks=tuple(Remark(text=line) for line in audit.conclusions if line.strip()),
            tables=audit.tables,
            pictures=tuple(
                attrs.evolve(shown, sheet=True)
                for shown in pictures_of(
                    [Picture(title="Magnitudes of each layer", file="numerics.png")], audit.directory, room
                )
            ),
        )


def _older_evaluations(view: RunView) -> Iterator[Section]:
    if len(view.evaluations) < 2:
        return
    newest = view.evaluations[-1]
    names = [n for n in newest.parts[0].scores if n.endswith(GENERATED) and not n.startswith(FIRST)]
    rows = tuple((f"step {found.step}", *(_score(found, name) for name in names)) for found in view.evaluations)
    heads = ("checkpoint", *(newest.said_of(name).title for name in names))
    yield Section(
        ident="evaluations",
        title="Evaluations",
        tables=(Table(title="Evaluations", heads=heads, rows=rows, note="The videos above are of the last one."),),
    )


def _score(found: Found, name: str) -> str:
    score = found.parts[0].scores.get(name)
    return "–" if score is None else f"{score.value:.{found.said_of(name).digits}f}"


def _settings_sections(view: RunView) -> Iterator[Section]:
    origin = None if view.config is None else nearest_preset(view.config)
    files = (Folded(title="The whole configuration", text=view.text),) if view.text else ()
    path = shlex.quote(str(view.path / "config.toml"))
    kind = "vid2vid" if view.config is None else view.config.generator.kind
    commands = [("Train the same again", f"hatch run train:{kind} --config {path}")]
    if origin is not None and view.config is not None and (command := origin.command_for(view.config)) is not None:
        commands.append(("The same, from the preset", command))
    yield Section(
        ident="configuration",
        title="Configuration",
        texts=() if origin is None else (_in_words(origin),),
        tables=_tables_of(origin),
        commands=tuple(commands),
        folded=files,
    )


def _in_words(origin: Origin) -> str:
    count = len(origin.differences)
    what = "as it is" if not count else f"with {count} setting{'s' * (count > 1)} changed"
    return f"The nearest preset is {origin.preset.name}, {what}."


def _tables_of(origin: Origin | None) -> tuple[Table, ...]:
    if origin is None or not origin.differences:
        return ()
    title = f"Otherwise than {origin.preset.name}"
    return (difference_table(origin.differences, title, origin.preset.name, "this run"),)


def _environment_section(view: RunView, used: float, most: float) -> Section:
    machine = view.marker.get("environment", {})
    resumed = [moment(item.get("time")) for item in view.marker.get("resumed", ())]
    facts = [("begun", moment(view.marker.get("started"))), *(("resumed", time) for time in resumed)]
    return Section(
        ident="environment",
        title="Environment",
        texts=(f"Videos and pictures take {used:.1f} MB of this file, of {most:g} MB at most.",),
        facts=(*facts, *_facts(machine)),
    )


def _facts(machine: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    for name, value in machine.items():
        match value:
            case Mapping():
                yield from ((str(below), str(text)) for below, text in value.items() if text is not None)
            case None | []:
                continue
            case _:
                yield name.replace("_", " "), f"{value:,}" if type(value) is int else str(value)
