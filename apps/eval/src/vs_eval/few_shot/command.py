"""What `few-shot` does: check the input, generate unseen subjects from their references, score, write the report."""

from collections.abc import Sequence
from pathlib import Path

from attrs import evolve, frozen
from rich.console import Console
from vs_data import Clip, ClipRequest, ClipSource, FacesConfig, open_source
from vs_nets import FewShotGeneratorConfig, build_ema
from vs_training.config import TrainConfig

from vs_eval.evaluation import ClipPlan, plan_clips
from vs_eval.few_shot.driving import Drive, draw_matrix, evaluate_drives, plan_drives, plan_matrix
from vs_eval.few_shot.evaluation import Setting, evaluate_subjects, training_region_colours
from vs_eval.few_shot.references import bind_generator, check_counts
from vs_eval.few_shot.report import Part, driving_part, subjects_part, write_few_shot_report
from vs_eval.few_shot.tables import subject_tables
from vs_eval.opening import Request, open_evaluation, warn
from vs_eval.output import report_directory
from vs_eval.report import broken_frames
from vs_eval.runs import load_ema
from vs_eval.scoring import EvaluationSpec
from vs_eval.terminal import Advance, say, show_progress, show_tables

NO_ATTENTION = "the model has no attention over references: for each frame the reference with the nearest label is used"


@frozen(kw_only=True)
class FewShotRequest:
    """What the command line asks for beside what every command takes.

    Attributes:
        references: how many references each subject is generated from; a section of the report for each number.
        drive: whether subjects are also shown in each other's motion.
    """

    common: Request
    references: tuple[int, ...]
    drive: bool


@frozen(kw_only=True)
class Plan:
    """What is rolled out: whole sequences for each number of references, drives, and the rows of the matrix."""

    counts: tuple[int, ...]
    clips: tuple[ClipPlan, ...]
    drives: tuple[Drive, ...] = ()
    matrix: tuple[Drive, ...] = ()

    @property
    def videos(self) -> int:
        """How many sequences are rolled out in all."""
        return len(self.counts) * len(self.clips) + len(self.drives) + len(self.matrix)

    @property
    def frames(self) -> int:
        """How many frames are generated in all."""
        once = sum(clip.frames for clip in self.clips)
        return len(self.counts) * once + sum(drive.driver.frames for drive in (*self.drives, *self.matrix))


def evaluate_few_shot(request: FewShotRequest, console: Console) -> Path:
    """Do what the command line asks for; returns the report's directory. All input is checked before it is written."""
    opened = open_evaluation(request.common, FewShotGeneratorConfig)
    plan = plan_evaluation(request, opened.source, people_of(opened.config, opened.source))
    average = build_ema(opened.generator, label_channels=opened.labels.channels)
    generator = load_ema(average, opened.checkpoint, opened.device)
    facts = evolve(
        opened.facts,
        command=f"{opened.facts.command} {options_of(plan.counts, drive=request.drive)}",
        notices=(*opened.facts.notices, *notices_on(opened.generator, plan.counts)),
    )
    example = opened.source.read(ClipRequest(sequence=0, start=0, length=1, references=(0,)))
    remarks = remarks_on(example)
    warn(facts.notices)
    say(console, f"{opened.run.path}, step {opened.checkpoint.step}, on {opened.device}")
    training = None
    if example.regions is not None:
        say(console, "baseline: mean colour of each region in training frames")
        training = training_region_colours(open_source(opened.config.data, "train"))
    with report_directory(opened.out) as draft:
        setting = Setting(
            bind=bind_generator(generator),
            source=opened.source,
            spec=EvaluationSpec(labels=opened.labels, past=opened.generator.frames - 1, device=opened.device),
            training=training,
            directory=draft,
            fps=facts.fps,
        )
        with show_progress(console, clips=plan.videos, frames=plan.frames) as advance:
            parts = run_plan(setting, plan, remarks, advance)
        broken = broken_frames(part.report for part in parts)
        write_few_shot_report(parts, evolve(facts, notices=(*facts.notices, *broken)), draft)
    _show(parts, remarks, console)
    warn(broken)
    say(console, f"report: {opened.out / 'report.html'}")
    return opened.out


def options_of(counts: Sequence[int], *, drive: bool) -> str:
    """The options that a few-shot evaluation has beside the common ones."""
    return " ".join(["--references", *map(str, counts), *([] if drive else ["--no-drive"])])


def notices_on(config: FewShotGeneratorConfig, counts: Sequence[int]) -> tuple[str, ...]:
    """What a generator does otherwise than asked for with so many references."""
    return () if config.weights.attention is not None or max(counts) == 1 else (NO_ATTENTION,)


def plan_evaluation(request: FewShotRequest, source: ClipSource, people: Sequence[int]) -> Plan:
    """What is to be rolled out.

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


def people_of(config: TrainConfig, source: ClipSource) -> tuple[int, ...]:
    """For each sequence a number for the person in it: faces have several sequences of each, folders count one each."""
    each = config.data.motions if isinstance(config.data, FacesConfig) else 1
    return tuple(index // each for index in range(len(source.sequences)))


def run_plan(setting: Setting, plan: Plan, remarks: Sequence[str], advance: Advance) -> list[Part]:
    """Roll out, score and draw everything."""
    parts, begun = [], 0
    for count in plan.counts:
        report, files = evaluate_subjects(setting, plan.clips, count, _after(advance, begun))
        parts.append(subjects_part(report, files, count, remarks))
        begun += len(plan.clips)
    if plan.drives:
        count = plan.counts[0]
        report, files = evaluate_drives(setting, plan.drives, count, _after(advance, begun))
        picture = draw_matrix(setting, plan.matrix, count, _after(advance, begun + len(plan.drives)))
        parts.append(driving_part(report, files, picture, count))
    return parts


def remarks_on(clip: Clip) -> tuple[str, ...]:
    """What cannot be measured on data that are like a clip, and why."""
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


def _show(parts: Sequence[Part], remarks: Sequence[str], console: Console) -> None:
    for part in parts:
        say(console, "")
        say(console, part.title)
        show_tables(subject_tables(part.report), console)
    for remark in remarks:
        say(console, remark)


def _after(advance: Advance, begun: int) -> Advance:
    """Count clips on from those that other parts have begun."""
    return lambda name, index: advance(name, begun + index)
