"""A look at what a training has come to: a few held-out clips, rolled out by the average from their own frames.

It is the evaluation, of fewer frames: the same clips get the same scores there.
"""

import contextlib
from collections.abc import Iterator
from functools import partial

import attrs
import torch
import vs_nets as nets
import vs_runtime as runtime
from vs_data import ClipSource

from vs_training.quality.few_shot import score_subject_frame
from vs_training.quality.rolling import ClipPlan, plan_clips, reference_frames, roll_sequence
from vs_training.quality.scoring import ClipScores, EvaluationSpec, ScoreFrame, score_frame, score_views
from vs_training.quality.summary import Report, summarise


@attrs.frozen(kw_only=True, eq=False)
class HeldOut:
    """The held-out clips of a validation.

    Attributes:
        source: of the sequences.
        clips: how many of them, the first ones.
        frames: how many frames of each, at most.
        references: how many references each subject is generated from; 0: none, of a vid2vid generator.
    """

    source: ClipSource
    clips: int
    frames: int
    references: int = 0


def validate(average: nets.AnyGenerator, held_out: HeldOut, labels: nets.LabelSpec, device: torch.device) -> Report:
    """Roll the average over the clips, and score every frame; neither it nor any random state is changed.

    Args:
        average: the generator of averaged weights, in evaluation mode.
        held_out: the clips.
        labels: how labels enter it.
        device: where it is.
    """
    with _untouched(), torch.no_grad():
        generator = nets.prepare_for_inference(average)
        spec = EvaluationSpec(labels=labels, past=average.config.frames - 1, device=device)
        plans = plan_clips(held_out.source, clips=held_out.clips, frames=held_out.frames)
        return summarise([_scores(generator, held_out, plan, spec) for plan in plans], claims=())


def _scores(generator: nets.AnyGenerator, held_out: HeldOut, plan: ClipPlan, spec: EvaluationSpec) -> ClipScores:
    info = held_out.source.sequences[plan.sequence]
    # One frame at least is none of them: references are not scored.
    count = min(held_out.references, info.frames - 1, plan.frames - 1)
    references = reference_frames(info.frames, count) if count > 0 else ()
    score: ScoreFrame = partial(score_subject_frame, references=references) if held_out.references else score_frame
    views = roll_sequence(generator.bind, held_out.source, plan, spec, references=references)
    return score_views(views, name=info.name, score=score)


@contextlib.contextmanager
def _untouched() -> Iterator[None]:
    """Leave the random state as it is, whatever a source or an operator draws."""
    before = runtime.random_state()
    try:
        yield
    finally:
        runtime.restore_random_state(before)
