"""Which frames of which sequences are rolled out, and from which references."""

import itertools
from collections.abc import Callable, Iterator

import attrs
import torch
from vs_data import Clip, ClipSource, collate, cut, iterate_sequence, move
from vs_nets import References
from vs_nets.synthesis import GenerateFrame

from vs_training.inputs import encode_references
from vs_training.quality.scoring import EvaluationSpec, FrameView, roll_out, single_frames

BindReferences = Callable[[References | None], GenerateFrame]
"""References of a clip, if it has any -> what generates its frames."""


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


def reference_frames(frames: int, count: int) -> tuple[int, ...]:
    """Return the references of a sequence of so many frames: the middle of each of `count` equal parts of it."""
    return tuple((2 * part + 1) * frames // (2 * count) for part in range(count))


def roll_sequence(
    bind: BindReferences,
    source: ClipSource,
    plan: ClipPlan,
    spec: EvaluationSpec,
    *,
    references: tuple[int, ...] = (),
    subject: int | None = None,
) -> Iterator[FrameView]:
    """Yield the frames of a sequence; its references are encoded once, however many pieces it is read in.

    Args:
        bind: the generator.
        source: of the sequence.
        plan: which it is.
        spec: how labels enter the generator, and where it is.
        references: which frames are shown to the generator as references.
        subject: the sequence that these are of, shown in the motion of the other; None: nobody is driven.
    """
    pieces = iterate_sequence(
        source,
        plan.sequence,
        max_frames=plan.frames,
        references=references,
        reference_sequence=subject if subject != plan.sequence else None,
    )
    first = next(pieces)
    driving = (
        None if subject is None else single_frames(iterate_sequence(source, plan.sequence, max_frames=plan.frames))
    )
    yield from roll_out(bound(bind, first, spec), itertools.chain([first], pieces), spec, driving)


def bound(bind: BindReferences, clip: Clip, spec: EvaluationSpec) -> GenerateFrame:
    """Return what generates the frames of a clip, from the references that it comes with."""
    batch = move(collate([cut(clip, 0, 1)]), spec.device)
    with torch.inference_mode():
        return bind(encode_references(batch, spec.labels, channels_last=True))
