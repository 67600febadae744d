"""What `vid2vid` does: roll the generator over held-out clips from their labels and its own past frames."""

from collections.abc import Sequence
from pathlib import Path

import attrs
from rich.console import Console
from vs_data import SourceConfig, open_source
from vs_metrics import ClassColours
from vs_nets import ClassMap, GeneratorConfig, class_kind
from vs_runtime.ranks import ONE, Ranks
from vs_training.quality.measures import FIRST_FRAME_MEASURES, MEASURES
from vs_training.quality.rolling import plan_clips
from vs_training.quality.summary import Report

from vs_eval.command import Task, announce, evaluation_spec, write_evaluation
from vs_eval.facts import with_notices
from vs_eval.files import ClipFiles
from vs_eval.opening import Opened, Request, open_evaluation
from vs_eval.parts import Evaluation, Part, looks_json, measures_in
from vs_eval.report import clip_table, tables, to_json
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
    videos = plan_videos(opened.source, plans)
    kind, seen = class_kind(opened.model.labels), opened.trained.seen
    if kind is not None and seen is None:
        opened = attrs.evolve(opened, facts=with_notices(opened.facts, UNSEEN))
    announce(opened, console)
    colours = None if kind is None or seen is None else _class_colours(seen, kind, console)

    def roll_out(setting: Setting, advance: Advance) -> Evaluation:
        return evaluated_clips(*evaluate_videos(setting, videos, advance))

    task = Task(
        spec=evaluation_spec(opened.model, colours),
        videos=len(videos),
        frames=tuple(plan.frames for plan in plans),
        roll_out=roll_out,
    )
    return opened, task


def evaluated_clips(report: Report, files: Sequence[ClipFiles]) -> Evaluation:
    """Return what the scores of clips say of a generator."""
    part = Part(
        report=report,
        tables=tables(report),
        clip_tables=(clip_table(report),),
        files=tuple(files),
        caption="Label, real and generated frame, and what was taken from the generated frame before.",
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
