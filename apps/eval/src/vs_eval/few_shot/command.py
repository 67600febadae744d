"""What `few-shot` does: generate unseen subjects from their references, and each in the next one's motion."""

from collections.abc import Sequence
from pathlib import Path
from typing import assert_never

import attrs
from rich.console import Console
from torch import Tensor
from vs_data import (
    Clip,
    ClipRequest,
    ClipSource,
    DancersConfig,
    FacesConfig,
    SourceConfig,
    StoredConfig,
    StreetConfig,
    open_source,
)
from vs_nets import FewShotGeneratorConfig
from vs_runtime.ranks import ONE, Ranks
from vs_training.quality.features import advice_on
from vs_training.quality.rolling import ClipPlan, plan_clips, reference_frames

from vs_eval.command import Task, announce, evaluation_spec, with_reader, write_evaluation
from vs_eval.facts import Facts, with_notices
from vs_eval.few_shot.driving import MATRIX, Drive, draw_matrix, plan_driven, plan_drives, plan_matrix
from vs_eval.few_shot.references import check_counts
from vs_eval.few_shot.report import SubjectPart, driving_part, evaluated_subjects, subjects_part
from vs_eval.few_shot.subjects import plan_subjects, training_region_colours
from vs_eval.few_shot.tables import CLAIMS, DRIVING_CLAIMS
from vs_eval.opening import Opened, Request, open_evaluation
from vs_eval.parts import Evaluation
from vs_eval.sharing import agreed, shared
from vs_eval.terminal import Advance, say
from vs_eval.videos import Rolled, Setting, reported, score_video

NO_ATTENTION = "the model has no attention over references: for each frame the reference with the nearest label is used"


@attrs.frozen(kw_only=True)
class FewShotRequest:
    """A request of the command line for a few-shot evaluation.

    Attributes:
        references: how many references each subject is generated from; a section of the report for each number.
        drive: whether subjects are also shown in each other's motion.
    """

    common: Request
    references: tuple[int, ...] = (1, 3)
    drive: bool = True


@attrs.frozen(kw_only=True)
class Plan:
    """A plan of what is rolled out: whole sequences for each number of references, drives, rows of the matrix."""

    counts: tuple[int, ...]
    clips: tuple[ClipPlan, ...]
    drives: tuple[Drive, ...] = ()
    matrix: tuple[Drive, ...] = ()

    @property
    def videos(self) -> int:
        """How many sequences are rolled out in all."""
        return len(self.counts) * len(self.clips) + len(self.drives) + len(self.matrix)

    @property
    def frames(self) -> tuple[int, ...]:
        """How many frames each piece of work generates: a sequence, a drive, and the matrix as a whole."""
        each = [clip.frames for clip in self.clips] * len(self.counts)
        drives, matrix = ([drive.driver.frames for drive in some] for some in (self.drives, self.matrix))
        return (*each, *drives, *([sum(matrix)] if matrix else []))


def evaluate_few_shot(request: FewShotRequest, console: Console, ranks: Ranks = ONE) -> Path:
    """Do what the command line asks for, and return the report's directory; several processes share the sequences."""
    # All input is checked first: what is wrong with it costs no written file.
    opened, task = agreed(ranks, lambda: _open(request, console))
    return write_evaluation(opened, task, console, ranks)


def _open(request: FewShotRequest, console: Console) -> tuple[Opened[FewShotGeneratorConfig], Task]:
    opened = open_evaluation(request.common, FewShotGeneratorConfig)
    plan = plan_evaluation(request, opened.source, people_of(opened.trained.data, opened.source))
    opened = attrs.evolve(opened, facts=_facts(opened, plan, drive=request.drive))
    # Data differ in what they know: what cannot be measured is said, and not even tried.
    example = opened.source.read(ClipRequest(sequence=0, start=0, length=1, references=(0,)))
    remarks = remarks_on(example)
    scored = most_scored(plan, opened.source)
    opened, reader = with_reader(opened, agreement=request.common.agreement, frames=scored)
    announce(opened, console)
    training, seen = None, opened.trained.seen
    if example.regions is not None and seen is not None:
        say(console, "baseline: mean colour of each region in training frames")
        training = training_region_colours(open_source(seen, "train"))

    def roll_out(setting: Setting, advance: Advance) -> Evaluation:
        found = evaluated_subjects(run_plan(setting, plan, training, remarks, advance), remarks)
        return attrs.evolve(found, advice=" ".join(advice_on(setting.networks)))

    task = Task(
        spec=evaluation_spec(opened.model),
        videos=plan.videos,
        frames=plan.frames,
        roll_out=roll_out,
        reader=reader,
    )
    return opened, task


def _facts(opened: Opened[FewShotGeneratorConfig], plan: Plan, *, drive: bool) -> Facts:
    facts = opened.facts
    command = f"{facts.command} {options_of(plan.counts, drive=drive)}"
    return with_notices(attrs.evolve(facts, command=command), *notices_on(opened.generator, plan.counts))


def options_of(counts: Sequence[int], *, drive: bool) -> str:
    """Return the options that a few-shot evaluation has beside the common ones."""
    return " ".join(["--references", *map(str, counts), *([] if drive else ["--no-drive"])])


def notices_on(config: FewShotGeneratorConfig, counts: Sequence[int]) -> tuple[str, ...]:
    """Say what a generator does otherwise than asked for with so many references."""
    return () if config.weights.attention is not None or max(counts) == 1 else (NO_ATTENTION,)


def plan_evaluation(request: FewShotRequest, source: ClipSource, people: Sequence[int]) -> Plan:
    """Plan what is to be rolled out.

    Raises:
        OptionError: the numbers of references cannot be.
    """
    clips = plan_clips(source, clips=request.common.clips, frames=request.common.frames)
    sequences = [source.sequences[clip.sequence] for clip in clips]
    counts = check_counts(request.references, sequences, request.common.frames)
    return Plan(
        counts=counts,
        clips=tuple(clips),
        drives=tuple(plan_drives(clips, people)) if request.drive else (),
        matrix=tuple(plan_matrix(clips, people)) if request.drive else (),
    )


def most_scored(plan: Plan, source: ClipSource) -> int:
    """Return how many frames are scored in the section that has most: references do not count."""
    sections = [sum(drive.driver.frames for drive in plan.drives)]
    for count in plan.counts:
        taken = [reference_frames(source.sequences[clip.sequence].frames, count) for clip in plan.clips]
        pairs = zip(plan.clips, taken, strict=True)
        sections.append(sum(len(set(range(clip.frames)) - set(references)) for clip, references in pairs))
    return max(sections)


def people_of(data: SourceConfig, source: ClipSource) -> tuple[int, ...]:
    """Return a number for the person in each sequence: worlds of people have several of each, folders one each."""
    match data:
        case DancersConfig(person=int()):
            each = len(source.sequences)
        case FacesConfig(motions=motions) | DancersConfig(motions=motions):
            each = motions
        case StreetConfig() | StoredConfig():
            each = 1
        case other:
            assert_never(other)
    return tuple(index // each for index in range(len(source.sequences)))


def run_plan(
    setting: Setting, plan: Plan, training: Tensor | None, remarks: Sequence[str], advance: Advance
) -> list[SubjectPart]:
    """Roll out, score and draw everything.

    Args:
        setting: generator, data, place.
        plan: what to roll out.
        training: (regions, 3) mean colour of each region in the training split, or None where nobody knows regions.
        remarks: what cannot be measured, and why.
        advance: told of every frame that is done.
    """
    source, driven_from = setting.source, plan.counts[0]
    subjects = [plan_subjects(source, plan.clips, count, training) for count in plan.counts]
    driven = plan_driven(source, plan.drives, driven_from)
    videos = [video for some in (*subjects, driven) for video in some]

    def work(piece: int) -> Rolled | None:
        if piece < len(videos):
            return score_video(setting, videos[piece], piece, advance)
        draw_matrix(setting, plan.matrix, driven_from, lambda name, row: advance(name, len(videos) + row))
        return None

    made: list[Rolled | None] = shared(setting.ranks, plan.frames, work, Rolled | None)
    rolled = iter([each for each in made if each is not None])
    parts: list[SubjectPart] = []
    for count, some in zip(plan.counts, subjects, strict=True):
        own = [next(rolled) for _ in some]
        report = reported(setting, some, own, CLAIMS)
        parts.append(subjects_part(report, [each.files for each in own], count, remarks))
    if driven:
        own = list(rolled)
        report = reported(setting, driven, own, DRIVING_CLAIMS)
        parts.append(driving_part(report, [each.files for each in own], MATRIX, driven_from))
    return parts


def remarks_on(clip: Clip) -> tuple[str, ...]:
    """Say what cannot be measured on data that are like a clip, and why."""
    remarks = []
    if clip.regions is None:
        remarks.append(
            "The data do not say which pixels are skin, hair, clothes and background: there are no scores in the head "
            "and no colours of regions, and driven subjects, whose truth nobody knows, are only shown."
        )
    if clip.references is None or clip.references.flow is None:
        remarks.append(
            "The data have no teacher's flow to references: there is no warped reference and no error of the flow to "
            "it, and where the head has moved is not known."
        )
    return tuple(remarks)
