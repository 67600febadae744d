"""What a few-shot evaluation has found: a part for each number of references, and one for driving."""

from collections.abc import Sequence
from typing import Any

import attrs
from vs_training.quality.measures import FEW_SHOT_MEASURES
from vs_training.quality.summary import Report

from vs_eval.few_shot.tables import subject_clip_table, subject_tables
from vs_eval.files import ClipFiles, Picture
from vs_eval.parts import Evaluation, Part, looks_json, measures_in
from vs_eval.report import Table, measures_json, report_json


@attrs.frozen(kw_only=True)
class SubjectPart:
    """A part on subjects that were generated from so many references each, by the name that it has in the JSON."""

    name: str
    references: int
    part: Part


def subjects_part(report: Report, files: Sequence[ClipFiles], count: int, remarks: Sequence[str]) -> SubjectPart:
    """Return the part on subjects in their own motion, from `count` references."""
    which = "the frame in its middle" if count == 1 else f"the middles of {count} equal parts of it"
    part = Part(
        title=f"From {_references(count)}",
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
        tables=subject_tables(report),
        clip_tables=_clip_tables(report),
        files=tuple(files),
        caption="Reference, label, real and generated frame, and what was taken from the previous frame and from the "
        "reference.",
    )
    return SubjectPart(name=f"references-{count}", references=count, part=part)


def driving_part(report: Report, files: Sequence[ClipFiles], picture: Picture, count: int) -> SubjectPart:
    """Return the part on subjects in other people's motion."""
    truth = (
        "The data can draw each subject in any motion: that is the true frame which the scores are against."
        if report.totals
        else "Nobody knows how these subjects look in this motion: there are pictures and no scores."
    )
    part = Part(
        title="Driven by somebody else",
        texts=(
            f"Each subject, from {_references(count)} of its own, in the motion of the next one: labels come from the "
            f"driving sequence, brought to the subject's proportions where the data can do that. {truth}",
            "In the picture below every row should show one person and every column one pose.",
        ),
        report=report,
        tables=subject_tables(report),
        clip_tables=_clip_tables(report),
        files=tuple(files),
        pictures=(picture,),
        caption="Reference, label, driving frame, the real one where it is known, and what was generated.",
    )
    return SubjectPart(name="driving", references=count, part=part)


def evaluated_subjects(parts: Sequence[SubjectPart], remarks: Sequence[str]) -> Evaluation:
    """Return what the parts say of a generator in all; `remarks`: what could not be measured."""
    reports = [each.part.report for each in parts]
    clips, measures = reports[0].clips, measures_in(reports, FEW_SHOT_MEASURES)
    return Evaluation(
        parts=tuple(each.part for each in parts),
        summary=f"{len(clips)} held-out sequences, {sum(clip.frames for clip in clips)} frames, each sequence "
        "generated from references of its subject and its own past frames.",
        measures=measures,
        document={"measures": measures_json(measures), "sections": [_json(each) for each in parts]},
        remarks=tuple(remarks),
    )


def _clip_tables(report: Report) -> tuple[Table, ...]:
    return (subject_clip_table(report),) if report.totals else ()


def _json(each: SubjectPart) -> dict[str, Any]:
    part = each.part
    return {
        "name": each.name,
        "title": part.title,
        "references": each.references,
        "texts": list(part.texts),
        **report_json(part.report),
        **looks_json(part),
    }


def _references(count: int) -> str:
    return "one reference" if count == 1 else f"{count} references"
