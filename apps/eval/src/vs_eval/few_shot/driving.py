"""One subject in somebody else's motion: labels of one sequence, references of another."""

from collections.abc import Sequence
from itertools import pairwise

import attrs
from torch import Tensor
from vs_data import ClipSource
from vs_metrics import matrix_picture, strip_frames, write_png
from vs_training.quality.few_shot import score_driven_frame
from vs_training.quality.rolling import ClipPlan, reference_frames

from vs_eval.files import Picture
from vs_eval.terminal import Advance
from vs_eval.videos import Setting, Video, file_name, roll_video

MATRIX_SIZE = 6
"""Rows and columns at most of the matrix of subjects and motions."""

MATRIX = Picture(title="Every subject in one motion", file="identities.png")
"""The picture that `draw_matrix` writes."""


@attrs.frozen(kw_only=True)
class Drive:
    """A sequence whose subject is shown, and another whose motion it is shown in."""

    subject: int
    driver: ClipPlan


def plan_drives(plans: Sequence[ClipPlan], people: Sequence[int]) -> list[Drive]:
    """Drive each person, in the first of its sequences, by the next person's first one; a single person by none.

    Args:
        plans: the sequences that are evaluated.
        people: for each sequence of the source, a number for the person in it.
    """
    first = _first_of_each(plans, people)
    if len(first) < 2:
        return []
    return [Drive(subject=a.sequence, driver=b) for a, b in pairwise([*first, first[0]])]


def plan_matrix(plans: Sequence[ClipPlan], people: Sequence[int]) -> list[Drive]:
    """Return the first few people in the motion of the first of them."""
    first = _first_of_each(plans, people)[:MATRIX_SIZE]
    return [Drive(subject=plan.sequence, driver=first[0]) for plan in first] if len(first) > 1 else []


def _first_of_each(plans: Sequence[ClipPlan], people: Sequence[int]) -> list[ClipPlan]:
    found: dict[int, ClipPlan] = {}
    for plan in plans:
        found.setdefault(people[plan.sequence], plan)
    return list(found.values())


def plan_driven(source: ClipSource, drives: Sequence[Drive], count: int) -> list[Video]:
    """Plan a video `drive-000-A-by-B` of each drive, from `count` references of the subject.

    Only sources that can draw a subject in any motion, and then know its regions, give scores.
    """
    return [_plan_driven(source, index, drive, count) for index, drive in enumerate(drives)]


def _plan_driven(source: ClipSource, index: int, drive: Drive, count: int) -> Video:
    subject, driver = source.sequences[drive.subject], source.sequences[drive.driver.sequence]
    return Video(
        name=f"{subject.name} by {driver.name}",
        stem=f"drive-{index:03d}-{file_name(subject.name)}-by-{file_name(driver.name)}",
        plan=drive.driver,
        score=score_driven_frame,
        references=reference_frames(subject.frames, count),
        subject=drive.subject,
    )


def draw_matrix(setting: Setting, drives: Sequence[Drive], count: int, advance: Advance) -> None:
    """Write `identities.png`: a row for each subject, a column for some frames of the one sequence that drives all.

    Args:
        setting: generator, data, place.
        drives: see `plan_matrix`; all have the same driver.
        count: references of each subject; the one in the middle is shown.
        advance: told of every frame that is done.
    """
    columns = strip_frames(drives[0].driver.frames, MATRIX_SIZE)
    references, generated = [], []
    driving: list[Tensor] = []
    for index, drive in enumerate(drives):
        row, driving = [], []
        for view in roll_video(setting, _plan_driven(setting.source, index, drive, count)):
            if view.index in columns and view.driving is not None:
                row.append(view.synthesis.frame[0])
                driving.append(view.driving.frames[0])
            if view.index == 0 and view.truth.references is not None:
                references.append(view.truth.references.frames[count // 2])
            advance(f"identities: {setting.source.sequences[drive.subject].name}", index)
        generated.append(row)
    write_png(setting.directory / MATRIX.file, matrix_picture(references, driving, generated))
