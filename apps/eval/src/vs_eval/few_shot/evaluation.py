"""Generate every held-out subject from so many references, score it, and draw it."""

import itertools
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import attrs
from torch import Tensor
from vs_data import REGIONS, Clip, ClipSource, iterate_sequence, spread_frames
from vs_metrics import class_mean_colours, strip_frames
from vs_nets.synthesis import GenerateFrame

from vs_eval.evaluation import COLOUR_FRAMES, ClipPlan, Draw, drawing, file_name
from vs_eval.few_shot.references import BindReferences, encode_references, reference_frames
from vs_eval.few_shot.scoring import score_subject_frame
from vs_eval.few_shot.tables import CLAIMS
from vs_eval.page import ClipFiles
from vs_eval.pictures import clip_frame
from vs_eval.report import Report, summarise
from vs_eval.scoring import EvaluationSpec, FrameView, evaluate_pieces
from vs_eval.terminal import Advance


@attrs.frozen(kw_only=True, eq=False)
class Setting:
    """A setting that the parts of an evaluation have in common.

    Attributes:
        bind: the generator, see `bind_generator`.
        source: held-out sequences.
        spec: how labels enter the generator, and where it is.
        training: (regions, 3) mean colour of each region in the training split, or None where nobody knows regions.
        directory: where videos and pictures go; it exists.
        fps: frames a second of the videos.
    """

    bind: BindReferences
    source: ClipSource
    spec: EvaluationSpec
    training: Tensor | None
    directory: Path
    fps: float = 10.0


def training_region_colours(source: ClipSource, *, frames: int = COLOUR_FRAMES) -> Tensor | None:
    """Return mean colours (regions, 3) of `REGIONS` over frames that are spread evenly over a source; None without."""
    known = [(clip.frames, clip.regions) for clip in spread_frames(source, frames) if clip.regions is not None]
    return class_mean_colours(known, num_classes=len(REGIONS)).colours if known else None


def evaluate_subjects(
    setting: Setting, plans: Sequence[ClipPlan], count: int, advance: Advance
) -> tuple[Report, list[ClipFiles]]:
    """Roll the generator over sequences from `count` references of each; write `clip-000-NAME-kCOUNT.mp4` and `.png`.

    Args:
        setting: generator, data, place.
        plans: which sequences.
        count: references of each, see `reference_frames`.
        advance: told of every frame that is done.
    """
    scores, files = [], []
    for index, plan in enumerate(plans):
        info = setting.source.sequences[plan.sequence]
        references = reference_frames(info.frames, count)
        stem = f"clip-{index:03d}-{file_name(info.name)}-k{count}"
        pieces = iterate_sequence(setting.source, plan.sequence, max_frames=plan.frames, references=references)
        generator, pieces = begin_video(setting, pieces)
        drawn = strip_frames(plan.frames)
        with drawing(setting.directory / stem, setting.spec.labels, drawn=drawn, fps=setting.fps) as draw:

            def watch(view: FrameView, *, draw: Draw = draw, name: str = info.name, index: int = index) -> None:
                draw(clip_frame(setting.spec.labels, view))
                advance(name, index)

            score = partial(score_subject_frame, references=references, training=setting.training)
            scores.append(evaluate_pieces(generator, pieces, setting.spec, name=info.name, watch=watch, score=score))
        files.append(ClipFiles(name=info.name, video=f"{stem}.mp4", strip=f"{stem}.png"))
    return summarise(scores, CLAIMS), files


def begin_video(setting: Setting, pieces: Iterator[Clip]) -> tuple[GenerateFrame, Iterator[Clip]]:
    """Encode the references that a sequence's first piece comes with; the pieces are given back whole.

    Raises:
        ValueError: the pieces have no references: they were read without asking for any.
    """
    first = next(pieces)
    if first.references is None:
        raise ValueError(f"{first.name} was read without references")
    generator = setting.bind(encode_references(first.references, setting.spec))
    return generator, itertools.chain([first], pieces)
