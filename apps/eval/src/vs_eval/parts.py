"""What an evaluation has found, part by part, and the page and the JSON that are written of it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
from vs_training.quality.measures import Measure, measure_of
from vs_training.quality.summary import Report

from vs_eval.facts import Facts, json_facts
from vs_eval.files import ClipFiles, Picture
from vs_eval.output import MARKER, write_json
from vs_eval.pages.evaluation_page import write_evaluation_page
from vs_eval.report import Table


@attrs.frozen(kw_only=True)
class Part:
    """A part of an evaluation, which is a section of its page.

    Attributes:
        report: the scores.
        tables: of the scores.
        clip_tables: of the scores of each clip, for the page alone.
        files: videos and strips.
        caption: what these show.
        title: its heading; none where there is a single part.
        texts: what was measured, in words.
        pictures: what is of no single clip.
    """

    report: Report
    tables: tuple[Table, ...]
    clip_tables: tuple[Table, ...]
    files: tuple[ClipFiles, ...]
    caption: str
    title: str = ""
    texts: tuple[str, ...] = ()
    pictures: tuple[Picture, ...] = ()


@attrs.frozen(kw_only=True)
class Evaluation:
    """An evaluation: what has been found, part by part.

    Attributes:
        parts: in the order in which they are shown.
        summary: what was evaluated, in one line.
        measures: those that the page explains.
        document: the scores for the JSON.
        remarks: what could not be measured, and why.
        advice: how more would be measured; empty: nothing more is known of.
    """

    parts: tuple[Part, ...]
    summary: str
    measures: tuple[Measure, ...]
    document: Mapping[str, Any]
    remarks: tuple[str, ...] = ()
    advice: str = ""


def measures_in(reports: Sequence[Report], known: Sequence[Measure]) -> tuple[Measure, ...]:
    """Return those of the known measures of which there are any scores."""
    present = {measure_of(name).name for report in reports for name in report.totals}
    return tuple(measure for measure in known if measure.name in present)


def write_report(evaluation: Evaluation, facts: Facts, directory: Path) -> None:
    """Write `report.html`, and last `report.json`, which it is made of and which marks the directory as a report."""
    said = {"summary": evaluation.summary, "advice": evaluation.advice}
    document = {**json_facts(facts), **said, **evaluation.document}
    write_evaluation_page(document, directory)
    write_json(directory / MARKER, document)


def looks_json(part: Part) -> dict[str, Any]:
    """Return for the JSON what people look at of a part: what was measured in words, its tables as text, its files."""
    return {
        "texts": list(part.texts),
        "caption": part.caption,
        "tables": [attrs.asdict(table) for table in (*part.tables, *part.clip_tables)],
        "files": [_file_json(files) for files in part.files],
        "pictures": [attrs.asdict(picture) for picture in part.pictures],
    }


def _file_json(files: ClipFiles) -> dict[str, Any]:
    """Return the files of a clip for the JSON."""
    values = attrs.asdict(files)
    return {"clip": values.pop("name"), **values}
