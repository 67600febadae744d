"""Evaluate a generator on clips of a source, writing what people look at: videos, strips, tables, a page."""

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
from vs_data import ClipSource, iterate_sequence, spread_frames
from vs_metrics import (
    ClassColours,
    ClipFrame,
    VideoWriter,
    class_mean_colours,
    clip_picture,
    strip_frames,
    video_frame,
    write_png,
)
from vs_nets import ClassMap, LabelSpec, class_ids
from vs_nets.synthesis import GenerateFrame

from vs_eval.measures import MEASURES
from vs_eval.output import MARKER, write_json
from vs_eval.page import ClipFiles, Section, render_page
from vs_eval.pictures import clip_frame, palette_of
from vs_eval.report import Report, clip_table, summarise, tables, to_json
from vs_eval.scoring import EvaluationSpec, FrameView, evaluate_pieces
from vs_eval.terminal import Advance

COLOUR_FRAMES = 64
"""How many frames of the training split the mean colours of the classes are taken from."""

Draw = Callable[[ClipFrame], None]


@attrs.frozen(kw_only=True)
class Facts:
    """Facts on what a report was made from, which go into report.json as they are.

    Paths begin at the working directory, or with the name of the run where that is elsewhere: a report can be given
    away.

    Attributes:
        command: what repeats the evaluation.
        measured: when that was, ISO 8601.
        run: the run directory.
        config: its configuration file.
        checkpoint: the checkpoint's directory.
        step: the checkpoint's training step.
        device: what the generator ran on.
        weights: which weights were evaluated.
        data: the kind of the data source.
        fps: frames a second of the videos.
        environment: versions, revision and machine of the evaluation.
        training: when the run was begun and resumed, each with versions, revision and machine.
        notices: what went otherwise than asked for.
    """

    run: str
    config: str
    checkpoint: str
    step: int
    device: str
    weights: str
    data: str
    fps: float = 10.0
    command: str = ""
    measured: str = ""
    environment: Mapping[str, Any] = attrs.field(factory=dict)
    training: Mapping[str, Any] = attrs.field(factory=dict)
    notices: tuple[str, ...] = ()


def training_colours(source: ClipSource, kind: ClassMap, *, frames: int = COLOUR_FRAMES) -> ClassColours:
    """Return the mean colour of each class over frames that are spread evenly over all frames of a source."""
    return class_mean_colours(
        ((clip.frames, class_ids(clip.labels, kind)) for clip in spread_frames(source, frames)),
        num_classes=kind.classes,
    )


@attrs.frozen(kw_only=True)
class ClipPlan:
    """A sequence to roll out from its first frame on: its index in the source, and how many frames of it."""

    sequence: int
    frames: int


def plan_clips(source: ClipSource, *, clips: int | None, frames: int | None) -> list[ClipPlan]:
    """Plan whole sequences: the first `clips` of them, cut to `frames` frames each."""
    chosen = source.sequences if clips is None else source.sequences[:clips]
    return [
        ClipPlan(sequence=index, frames=info.frames if frames is None else min(frames, info.frames))
        for index, info in enumerate(chosen)
    ]


def evaluate_source(
    generator: GenerateFrame,
    source: ClipSource,
    plans: Sequence[ClipPlan],
    spec: EvaluationSpec,
    directory: Path,
    advance: Advance,
    *,
    fps: float = 10.0,
) -> tuple[Report, list[ClipFiles]]:
    """Roll the generator over clips; write `clip-000-NAME.mp4` and `clip-000-NAME.png` of each into a directory.

    Args:
        generator: see `evaluate_clip`.
        source: held-out clips.
        plans: which of them.
        spec: what else there is to know.
        directory: where to; it exists.
        advance: told of every frame that is done.
        fps: frames a second of the videos.
    """
    scores, files = [], []
    for index, plan in enumerate(plans):
        name = source.sequences[plan.sequence].name
        stem = f"clip-{index:03d}-{file_name(name)}"
        pieces = iterate_sequence(source, plan.sequence, max_frames=plan.frames)
        with drawing(directory / stem, spec.labels, drawn=strip_frames(plan.frames), fps=fps) as draw:

            def watch(view: FrameView, *, draw: Draw = draw, name: str = name, index: int = index) -> None:
                draw(clip_frame(spec.labels, view))
                advance(name, index)

            scores.append(evaluate_pieces(generator, pieces, spec, name=name, watch=watch))
        files.append(ClipFiles(name=name, video=f"{stem}.mp4", strip=f"{stem}.png"))
    return summarise(scores), files


@contextlib.contextmanager
def drawing(stem: Path, labels: LabelSpec, *, drawn: Sequence[int], fps: float) -> Iterator[Draw]:
    """Yield a function that puts every frame into `STEM.mp4`, and the `drawn` ones into `STEM.png` at the end."""
    palette = palette_of(labels)
    rows: list[ClipFrame] = []
    with VideoWriter(stem.with_name(f"{stem.name}.mp4"), fps=fps) as video:

        def draw(frame: ClipFrame) -> None:
            video.add(video_frame(frame, palette))
            if frame.index in drawn:
                rows.append(frame)

        yield draw
    write_png(stem.with_name(f"{stem.name}.png"), clip_picture(rows, palette))


def write_report(report: Report, files: Sequence[ClipFiles], facts: Facts, directory: Path) -> None:
    """Write `report.html`, and last `report.json`, which marks the directory as a report."""
    frames = sum(clip.frames for clip in report.clips)
    section = Section(
        tables=(*tables(report), clip_table(report)),
        clips=tuple(files),
        caption="Videos: label, real, generated. Strips: some frames of each clip, one a row.",
    )
    present = {name.partition("/")[0] for name in report.totals}
    page = render_page(
        [section],
        title=page_title(facts),
        summary=f"{len(report.clips)} held-out clips, {frames} frames, each clip generated from its own past frames.",
        measures=[measure for measure in MEASURES if measure.name in present and not measure.name.startswith("first_")],
        facts=page_facts(facts),
        notices=facts.notices,
    )
    write_documents(page, to_json(report, {**json_facts(facts), "files": json_files(files)}), directory)


def write_documents(page: str, document: Mapping[str, Any], directory: Path) -> None:
    """Write `report.html`, and last `report.json`, which marks the directory as a report."""
    (directory / "report.html").write_text(page, "utf-8")
    write_json(directory / MARKER, document)


def page_title(facts: Facts) -> str:
    """Return the run's name and the checkpoint's step."""
    return f"{Path(facts.run).name}, step {facts.step}"


def page_facts(facts: Facts) -> dict[str, str]:
    """Return what the page says at its end of how it was made."""
    return {
        "command": facts.command,
        "run": facts.run,
        "configuration": facts.config,
        "checkpoint": facts.checkpoint,
        "weights": facts.weights,
        "data": facts.data,
        "device": facts.device,
        **{f"version of {name}": str(version) for name, version in facts.environment.get("packages", {}).items()},
    }


def json_facts(facts: Facts) -> dict[str, Any]:
    """Return the facts as the JSON says them."""
    return {
        "command": facts.command,
        "measured": facts.measured,
        "run": facts.run,
        "config": facts.config,
        "checkpoint": {"path": facts.checkpoint, "step": facts.step},
        "weights": facts.weights,
        "data": facts.data,
        "device": facts.device,
        "notices": list(facts.notices),
        "environment": dict(facts.environment),
        "training": dict(facts.training),
    }


def json_files(files: Sequence[ClipFiles]) -> list[dict[str, str]]:
    """Return the files of each clip."""
    return [{"clip": item.name, "video": item.video, "strip": item.strip} for item in files]


def file_name(name: str) -> str:
    """Return a sequence's name as part of a file name."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", name).strip("._") or "clip"
