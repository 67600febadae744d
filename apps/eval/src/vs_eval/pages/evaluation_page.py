"""The page of an evaluation: what was measured, videos and scores; also as sections of a run's page."""

import datetime
from collections.abc import Iterable, Iterator, Mapping
from itertools import starmap
from pathlib import Path
from typing import Any

from vs_eval.facts import step_title
from vs_eval.pages.clips import Room, pictures_of, player_of
from vs_eval.pages.content import Page, Section
from vs_eval.pages.found import Found, FoundPart, Said, structured
from vs_eval.pages.render import render
from vs_eval.pages.roll_outs import roll_out_figures
from vs_eval.pages.scores import FIRST, cards_of, claims_of, drift_figures, extremes

MAX_MB = 64.0
"""Megabytes of a page at most, unless something else is asked for; what does not fit is left out, and said so."""

OLD = "The videos of this evaluation are of an older version, which did not say where their panels are: evaluate again."


def write_evaluation_page(document: Mapping[str, Any], directory: Path) -> None:
    """Write `report.html` of an evaluation into its directory, from its document and the files that lie there."""
    found = structured(document, directory)
    summary = (summary_of(found),) if found.parts[0].scores else ()
    page = Page(
        title=title_of(found),
        kind="Evaluation",
        lines=(found.text("summary"), *_line(found)),
        notices=found.notices,
        sections=(*summary, *part_sections(found, Room(MAX_MB)), meanings_section([found]), measured_section(found)),
    )
    (directory / "report.html").write_text(render(page), "utf-8")


def title_of(found: Found) -> str:
    """Return the name of the run or model, and the training step of its weights."""
    path = found.text("run") or found.text("model") or found.directory.name
    return step_title(Path(path).name, found.step)


def summary_of(found: Found) -> Section:
    """Return the figures of the first part, and what was claimed of it."""
    part = found.parts[0]
    return Section(ident="summary", title="Summary", cards=cards_of(found, part), remarks=tuple(claims_of(part)))


def part_sections(found: Found, room: Room, prefix: str = "") -> Iterator[Section]:
    """Yield videos and scores of each part; `prefix` sets names of sections apart from those of other evaluations."""
    for number, part in enumerate(found.parts):
        yield from _sections_of(found, part, room, number, prefix)


def measured_section(found: Found) -> Section:
    """Return how an evaluation was made."""
    return Section(
        ident="evaluation",
        title="How this was measured",
        commands=(("Measure it again", found.text("command")),) if found.text("command") else (),
        facts=tuple(_facts(found)),
    )


def _sections_of(found: Found, part: FoundPart, room: Room, number: int, prefix: str) -> Iterator[Section]:
    player = player_of(part.files, found.directory, room, f"{prefix}player{number}")
    old = (OLD,) if part.files and player is None else ()
    best = extremes(found, part, player)
    rolled = () if number else roll_out_figures(found, f"{prefix}roll-out")
    tables = () if best is None else (best,)
    yield Section(
        ident=f"{prefix}videos{number}",
        title=part.title or "Videos",
        texts=(*part.texts, *old),
        cards=cards_of(found, part) if number else (),
        player=player,
        caption=part.caption,
        tables=(*tables, *(part.tables if rolled else ())),
        pictures=pictures_of(part.pictures, found.directory, room),
    )
    if rolled:
        yield Section(ident=f"{prefix}curves{number}", title=f"{part.title}: each metric", figures=rolled)
        return
    yield Section(
        ident=f"{prefix}scores{number}",
        title=f"{part.title}: scores" if part.title else "Scores",
        remarks=tuple(claims_of(part)) if number else (),
        figures=drift_figures(found, part, f"{prefix}part{number}"),
        tables=part.tables,
    )


def moment(text: object) -> str:
    """Return a time in ISO 8601 for people, by the minute; what is none as it is."""
    try:
        time = datetime.datetime.fromisoformat(str(text))
    except ValueError:
        return "" if text is None else str(text)
    return f"{time.astimezone(datetime.UTC):%Y-%m-%d %H:%M} UTC"


def _line(found: Found) -> tuple[str, ...]:
    where = [found.text("weights"), found.text("data") and f"data: {found.text('data')}", found.text("device")]
    return (", ".join(filter(None, where)),)


def meanings_section(evaluations: Iterable[Found]) -> Section:
    """Return what measures are, each once: what they need, do not see, are from; and how there would be more of them.

    Args:
        evaluations: where several explain a measure, the first one's words are shown.
    """
    said: dict[str, Said] = {}
    advice: dict[str, None] = {}
    for found in evaluations:
        if found.text("advice"):
            advice[found.text("advice")] = None
        for name, words in found.measures.items():
            if not name.startswith(FIRST):
                said.setdefault(words.title or name, words)
        for metric in (metric for part in found.parts for metric in part.sets):
            said.setdefault(metric.title, metric.said)
    terms = tuple(starmap(_meaning, said.items()))
    return Section(ident="measures", title="What the numbers mean", texts=tuple(advice), terms=terms)


def _meaning(title: str, said: Said) -> tuple[str, str]:
    """Return the heading of a measure, and what is said of it."""
    facts = (("Needs", said.needs), ("Limits", said.limits), ("Source", said.source))
    marks = ", ".join(filter(None, (said.unit, said.better and f"{said.better} is better")))
    title = title.removesuffix(f", {said.unit}") if said.unit else title  # some have it in their title
    more = [f"{what}: {text.removesuffix('.')}." for what, text in facts if text]
    return f"{title} ({marks})" if marks else title, " ".join(filter(None, (said.explanation, *more)))


def _facts(found: Found) -> Iterator[tuple[str, str]]:
    if found.text("measured"):
        yield "measured", moment(found.text("measured"))
    for name in ("weights", "data", "device"):
        if found.text(name):
            yield name, found.text(name)
    match found.about.get("environment"):
        case {"packages": Mapping() as packages}:
            for name, version in packages.items():
                yield str(name), str(version)
