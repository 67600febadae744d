"""One subject in somebody else's motion: labels of one sequence, references of another."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

import attrs
from torch import Tensor
from vs_data import Clip, iterate_sequence
from vs_metrics import Average, ClipFrame, matrix_picture, strip_frames, write_png
from vs_nets import LabelSpec

from vs_eval.evaluation import ClipPlan, drawing, file_name
from vs_eval.few_shot.evaluation import Setting, begin_video
from vs_eval.few_shot.references import reference_frames
from vs_eval.few_shot.scoring import score_driven_frame
from vs_eval.few_shot.tables import DRIVING_CLAIMS
from vs_eval.page import ClipFiles, Picture
from vs_eval.pictures import clip_frame
from vs_eval.report import Report, summarise
from vs_eval.scoring import FrameView, clip_scores, is_broken, roll_out, single_frames
from vs_eval.terminal import Advance

MATRIX_SIZE = 6
"""Most rows and columns of the matrix of subjects and motions."""

MATRIX_FILE = "identities.png"


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


def evaluate_drives(
    setting: Setting, drives: Sequence[Drive], count: int, advance: Advance
) -> tuple[Report, list[ClipFiles]]:
    """Roll the generator over driven sequences; write `drive-000-A-by-B.mp4` and `.png`.

    Only sources that can draw a subject in any motion, and then know its regions, give scores.
    """
    scores, files = [], []
    for index, drive in enumerate(drives):
        subject, driver = (setting.source.sequences[each].name for each in (drive.subject, drive.driver.sequence))
        name = f"{subject} by {driver}"
        stem = f"drive-{index:03d}-{file_name(subject)}-by-{file_name(driver)}"
        rows: list[Mapping[str, Average]] = []
        broken: list[int] = []
        before: FrameView | None = None
        drawn = strip_frames(drive.driver.frames)
        with drawing(setting.directory / stem, setting.spec.labels, drawn=drawn, fps=setting.fps) as draw:
            for view, driving in _roll_out(setting, drive, count):
                rows.append(score_driven_frame(view, before, driving))
                if is_broken(view):
                    broken.append(view.index)
                draw(driven_frame(setting.spec.labels, view, driving))
                advance(name, index)
                before = view
        scores.append(clip_scores(name, rows, broken))
        files.append(ClipFiles(name=name, video=f"{stem}.mp4", strip=f"{stem}.png"))
    return summarise(scores, DRIVING_CLAIMS), files


def draw_matrix(setting: Setting, drives: Sequence[Drive], count: int, advance: Advance) -> Picture:
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
        for view, driver in _roll_out(setting, drive, count):
            if view.index in columns:
                row.append(view.synthesis.frame[0])
                driving.append(driver.frames[0])
            if view.index == 0 and view.references is not None:
                references.append(view.references.frames[count // 2])
            advance(f"identities: {setting.source.sequences[drive.subject].name}", index)
        generated.append(row)
    write_png(setting.directory / MATRIX_FILE, matrix_picture(references, driving, generated))
    return Picture(title="Every subject in one motion", file=MATRIX_FILE)


def driven_frame(labels: LabelSpec, view: FrameView, driving: Clip) -> ClipFrame:
    """Return what is drawn of a driven frame: the driving one too, the true one only where the source can draw it."""
    frame = attrs.evolve(clip_frame(labels, view), driving=driving.frames[0])
    return frame if view.regions is not None else attrs.evolve(frame, real=None, teacher_flow=None)


def _roll_out(setting: Setting, drive: Drive, count: int) -> Iterator[tuple[FrameView, Clip]]:
    """Yield every frame of a driven sequence, beside the driving one."""
    source, driver = setting.source, drive.driver
    alone = iterate_sequence(source, driver.sequence, max_frames=driver.frames)
    driven = iterate_sequence(
        source,
        driver.sequence,
        max_frames=driver.frames,
        references=reference_frames(source.sequences[drive.subject].frames, count),
        reference_sequence=drive.subject if drive.subject != driver.sequence else None,
    )
    generator, pieces = begin_video(setting, driven)
    yield from zip(roll_out(generator, pieces, setting.spec), single_frames(alone), strict=True)
