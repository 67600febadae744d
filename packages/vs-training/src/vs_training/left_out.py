"""Which sequences are too short for what the curriculum asks for, in words."""

from collections.abc import Callable, Sequence

from vs_config import shown
from vs_data import SequenceInfo

from vs_training.config import CurriculumConfig, ReferencesConfig, clip_length

NAMED = 3
"""So many sequences are named."""

SHOWN_CHARACTERS = 40
"""Most of a sequence's name."""


def tell_left_out(
    say: Callable[[str], None], curriculum: CurriculumConfig, sequences: Sequence[SequenceInfo], step: int, first: int
) -> None:
    """Say before a training step what it leaves out that those before it did not; see `left_out_at`."""
    message = left_out_at(curriculum, sequences, step, first)
    if message is not None:
        say(message)


def left_out_at(curriculum: CurriculumConfig, sequences: Sequence[SequenceInfo], step: int, first: int) -> str | None:
    """What to say before a training step: that more sequences are left out from it on, or None. Pure.

    Args:
        curriculum: Says how long clips are.
        sequences: Those of the training data.
        step: The step, counted from 0.
        first: The step that training goes on from: what is left out already is said there.
    """
    length = clip_length(curriculum, step)
    before = clip_length(curriculum, step - 1) if step > first else 0
    short = _shorter(sequences, length)
    if length == before or len(short) <= len(_shorter(sequences, before)):
        return None
    return f"from step {step} on, clips have {length} frames: {_some_of(short, sequences)} too short and left out"


def left_out_at_last(curriculum: CurriculumConfig, sequences: Sequence[SequenceInfo], steps: int) -> str | None:
    """What to say at the start: how many sequences the longest clips leave out, if that is more than the first ones do.

    Args:
        curriculum: Says how long clips are.
        sequences: Those of the training data.
        steps: Of the whole run.
    """
    longest = clip_length(curriculum, steps - 1)
    short = _shorter(sequences, longest)
    if len(short) <= len(_shorter(sequences, clip_length(curriculum, 0))):
        return None
    return f"{_some_of(short, sequences)} too short for the longest clips ({longest} frames), which will leave them out"


def references_inside(
    references: ReferencesConfig, curriculum: CurriculumConfig, sequences: Sequence[SequenceInfo], steps: int
) -> str | None:
    """What to say at the start of sequences that have too few frames for references beside the clips."""
    most, lengths = references.most, _lengths(curriculum, steps)
    short = [info for info in sequences if any(length <= info.frames < length + most for length in lengths)]
    if not short:
        return None
    return (
        f"{_some_of(short, sequences)} too short for {most} references beside the clip (references.most): some of them "
        "will be frames of the clip itself"
    )


def _lengths(curriculum: CurriculumConfig, steps: int) -> set[int]:
    """All lengths of clips in a run."""
    doublings = range(curriculum.max_length.bit_length() + 1)
    start = curriculum.flow_steps + curriculum.single_frame_steps
    stages = [0, *(start + curriculum.double_every * doubling for doubling in doublings)]
    return {clip_length(curriculum, step) for step in stages if step < steps}


def _shorter(sequences: Sequence[SequenceInfo], length: int) -> list[SequenceInfo]:
    return [info for info in sequences if info.frames < length]


def _some_of(short: Sequence[SequenceInfo], sequences: Sequence[SequenceInfo]) -> str:
    return f"{len(short)} of {len(sequences)} sequences ({_names(short)}) {'are' if len(short) > 1 else 'is'}"


def _names(short: Sequence[SequenceInfo]) -> str:
    names = ", ".join(shown(info.name, SHOWN_CHARACTERS) for info in short[:NAMED])
    return names if len(short) <= NAMED else f"{names}, ..."
