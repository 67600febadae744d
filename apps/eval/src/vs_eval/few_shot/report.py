"""The page and the JSON of a few-shot evaluation: a section for each number of references, and one for driving."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs

from vs_eval.evaluation import Facts, json_facts, json_files, page_facts, page_title, write_documents
from vs_eval.few_shot.tables import subject_clip_table, subject_tables
from vs_eval.measures import FEW_SHOT_MEASURES
from vs_eval.page import ClipFiles, Picture, Section, render_page
from vs_eval.report import Report, measures_json, report_json


@attrs.frozen(kw_only=True)
class Part:
    """A section of the report.

    Attributes:
        name: what it is called in the JSON.
        title: its heading.
        references: how many references each subject was generated from.
        texts: what was measured, in words.
        report: the scores.
        files: videos and strips.
        pictures: what is of no single clip.
        caption: what the videos and strips show.
    """

    name: str
    title: str
    references: int
    texts: tuple[str, ...]
    report: Report
    files: tuple[ClipFiles, ...]
    pictures: tuple[Picture, ...] = ()
    caption: str


def subjects_part(report: Report, files: Sequence[ClipFiles], count: int, remarks: Sequence[str]) -> Part:
    """Return the section on subjects in their own motion, from `count` references."""
    which = "the frame in its middle" if count == 1 else f"the middles of {count} equal parts of it"
    return Part(
        name=f"references-{count}",
        title=f"From {_references(count)}",
        references=count,
        texts=(
            f"The generator is given {_references(count)} of each held-out sequence, {which}, encodes the subject "
            "once, and then generates the whole sequence, each frame from its label and the frames that it generated "
            "before. Frames that are references are not counted.",
            "The baselines get the reference that the generator chose for the frame: repeated as it is, or moved by "
            "the teacher's flow, which no generator knows. A generator that has understood motion is above the former "
            "where the head has moved; the latter lacks whatever the reference does not show.",
            *remarks,
        ),
        report=report,
        files=tuple(files),
        caption="Videos: reference, label, real, generated. Strips: some frames of each clip, one a row, with what "
        "was taken from the previous frame and from the reference.",
    )


def driving_part(report: Report, files: Sequence[ClipFiles], picture: Picture, count: int) -> Part:
    """Return the section on subjects in other people's motion."""
    truth = (
        "The data can draw each subject in any motion: that is the true frame which the scores are against."
        if report.totals
        else "Nobody knows how these subjects look in this motion: there are pictures and no scores."
    )
    return Part(
        name="driving",
        title="Driven by somebody else",
        references=count,
        texts=(
            f"Each subject, from {_references(count)} of its own, in the motion of the next one: labels come from the "
            f"driving sequence, brought to the subject's proportions where the data can do that. {truth}",
            "In the picture below every row should show one person and every column one pose.",
        ),
        report=report,
        files=tuple(files),
        pictures=(picture,),
        caption="Videos: reference, label, driving frame, real where it is known, generated.",
    )


def write_few_shot_report(parts: Sequence[Part], facts: Facts, directory: Path) -> None:
    """Write `report.html`, and last `report.json`, which marks the directory as a report."""
    present = {name.partition("/")[0] for part in parts for name in part.report.totals}
    measures = [measure for measure in FEW_SHOT_MEASURES if measure.name in present]
    clips = parts[0].report.clips
    page = render_page(
        [_section(part) for part in parts],
        title=page_title(facts),
        summary=f"{len(clips)} held-out sequences, {sum(clip.frames for clip in clips)} frames, each sequence "
        "generated from references of its subject and its own past frames.",
        measures=measures,
        facts=page_facts(facts),
        notices=facts.notices,
    )
    document = {**json_facts(facts), "measures": measures_json(measures), "sections": [_json(part) for part in parts]}
    write_documents(page, document, directory)


def _section(part: Part) -> Section:
    return Section(
        title=part.title,
        texts=part.texts,
        tables=(*subject_tables(part.report), *([subject_clip_table(part.report)] if part.report.totals else [])),
        pictures=part.pictures,
        clips=part.files,
        caption=part.caption,
    )


def _json(part: Part) -> dict[str, Any]:
    return {
        "name": part.name,
        "title": part.title,
        "references": part.references,
        "texts": list(part.texts),
        **report_json(part.report),
        "files": json_files(part.files),
        "pictures": [{"title": picture.title, "file": picture.file} for picture in part.pictures],
    }


def _references(count: int) -> str:
    return "one reference" if count == 1 else f"{count} references"
