"""What `vid2vid` does: roll the generator over held-out clips from their labels and its own past frames."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import attrs
from rich.console import Console
from vs_data import ClassIds, ClipSource, SourceConfig, open_source
from vs_metrics import ClassColours
from vs_nets import ClassMap, GeneratorConfig, class_kind
from vs_runtime.ranks import ONE, Ranks
from vs_training.quality.features import advice_on
from vs_training.quality.measures import FIRST_FRAME_MEASURES, MEASURES
from vs_training.quality.rolling import plan_clips
from vs_training.quality.scoring import score_frame
from vs_training.quality.summary import Report

from vs_eval.command import Task, announce, evaluation_spec, with_reader, write_evaluation
from vs_eval.facts import with_notices
from vs_eval.files import ClipFiles
from vs_eval.opening import Opened, Request, open_evaluation
from vs_eval.parts import Evaluation, Part, looks_json, measures_in
from vs_eval.report import class_table, clip_table, tables, to_json
from vs_eval.sharing import agreed
from vs_eval.terminal import Advance, say
from vs_eval.videos import Setting, evaluate_videos, plan_videos, training_colours

UNSEEN = "a model does not come with the frames that it was trained on: there is no baseline of class colours"
"""What is said where mean colours of training frames cannot be had."""


def evaluate_vid2vid(request: Request, console: Console, ranks: Ranks = ONE) -> Path:
    """Do what the command line asks for, and return the report's directory; several processes share the clips."""
    # All input is checked first: what is wrong with it costs no written file.
    opened, task = agreed(ranks, lambda: _open(request, console))
    return write_evaluation(opened, task, console, ranks)


def _open(request: Request, console: Console) -> tuple[Opened[GeneratorConfig], Task]:
    opened = open_evaluation(request, GeneratorConfig)
    plans = plan_clips(opened.source, clips=request.clips, frames=request.frames)
    kind, seen = class_kind(opened.model.labels), opened.trained.seen
    videos = plan_videos(opened.source, plans, partial(score_frame, classes=kind))
    if kind is not None and seen is None:
        opened = attrs.evolve(opened, facts=with_notices(opened.facts, UNSEEN))
    frames = sum(plan.frames for plan in plans)
    opened, reader = with_reader(opened, agreement=request.agreement, frames=frames)
    announce(opened, console)
    colours = None if kind is None or seen is None else _class_colours(seen, kind, console)

    names = class_names(opened.source, kind)

    def roll_out(setting: Setting, advance: Advance) -> Evaluation:
        found = evaluated_clips(*evaluate_videos(setting, videos, advance), names)
        return attrs.evolve(found, advice=" ".join(advice_on(setting.networks)))

    task = Task(
        spec=evaluation_spec(opened.model, colours),
        videos=len(videos),
        frames=tuple(plan.frames for plan in plans),
        roll_out=roll_out,
        reader=reader,
    )
    return opened, task


def class_names(source: ClipSource, kind: ClassMap | None) -> tuple[str, ...]:
    """Return what the classes of a kind of label are called in a source, as far as it says."""
    match None if kind is None else source.label_kinds.get(kind.name):
        case ClassIds(names=names):
            return names
        case _:
            return ()


def evaluated_clips(report: Report, files: Sequence[ClipFiles], names: Sequence[str] = ()) -> Evaluation:
    """Return what the scores of clips say of a generator.

    Args:
        report: the scores.
        files: of the clips.
        names: of the classes of their labels.
    """
    part = Part(
        report=report,
        tables=tables(report),
        clip_tables=tuple(table for table in (class_table(report, names), clip_table(report)) if table.rows),
        files=tuple(files),
        caption="Label, real and generated frame, and what was taken from the generated frame before; black is what a "
        "first frame cannot have.",
    )
    frames = sum(clip.frames for clip in report.clips)
    return Evaluation(
        parts=(part,),
        summary=f"{len(report.clips)} held-out clips, {frames} frames, each clip generated from its own past frames.",
        measures=tuple(m for m in measures_in([report], MEASURES) if m not in FIRST_FRAME_MEASURES),
        document=to_json(report, looks_json(part)),
    )


def _class_colours(seen: SourceConfig, kind: ClassMap, console: Console) -> ClassColours:
    say(console, f"baseline: mean colour of each of {kind.classes} classes in training frames")
    return training_colours(open_source(seen, "train"), kind)
