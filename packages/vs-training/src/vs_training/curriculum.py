"""The curriculum: how long the clips of each training step are, and which sequences are too short for them."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import ClassVar, Literal

import attrs
from vs_config import Check, Problem, check_fields, choice, real, shown, whole
from vs_data import SequenceInfo

MAX_STEPS = 10**8 - 1
"""Steps of the longest training: names of checkpoints have eight digits."""

LONGEST_CLIP = 3_000
"""Frames that are held in memory at once; the procedural sequences have no more."""

_NAMED = 3  # sequences in a message
_SHOWN_CHARACTERS = 40  # of a sequence's name, at most


def _check_initial_length(config: "CurriculumConfig") -> Iterator[Problem]:
    if config.initial_length > config.max_length:
        yield Problem("initial_length", expected=f"at most max_length, {config.max_length}", got=config.initial_length)


@attrs.frozen(kw_only=True)
class CurriculumConfig:
    """Length of the training clips by training step, one frame, then clips that double; and the past within them."""

    flow_steps: int = whole(
        0, "steps that train nothing but the flow network, before all others", low=0, high=MAX_STEPS
    )
    flow_length: int = whole(
        1,
        "length of their clips; flow from the past is learnt of frames that have generator.frames - 1 before them",
        low=1,
        high=LONGEST_CLIP,
        unit="frames",
    )
    single_frame_steps: int = whole(0, "steps on single frames, before those on clips", low=0, high=MAX_STEPS)
    initial_length: int = whole(4, "length of the clips after that", low=1, high=LONGEST_CLIP, unit="frames")
    double_every: int = whole(1000, "steps between doublings", low=1, high=MAX_STEPS)
    max_length: int = whole(16, "length of the longest clips", low=1, high=LONGEST_CLIP, unit="frames")
    past_noise: float = real(
        0.0,
        "against drift: deviation of noise on the past frames that the generator is shown",
        low=0.0,
        high=255.0,
        unit="levels of 255",
    )
    past_frames: Literal["generator", "average"] = choice(
        "generator",
        "against drift: whose frames they are, the generator's or, as in use, those of its average (EMA)",
        ("generator", "average"),
    )

    CHECKS: ClassVar[tuple[Check, ...]] = (Check(("initial_length", "max_length"), _check_initial_length),)

    def __attrs_post_init__(self) -> None:
        check_fields(self)


def clip_length(config: CurriculumConfig, step: int) -> int:
    """Return how many frames the clips of training step `step` (counted from 0) have. Pure."""
    if step < config.flow_steps:
        return config.flow_length
    step -= config.flow_steps + config.single_frame_steps
    if step < 0:
        return 1
    doublings = step // config.double_every
    return min(config.max_length, config.initial_length << min(doublings, 32))


def longest_clip(config: CurriculumConfig) -> int:
    """Return how many frames the longest clips have that may be read. Pure."""
    return max(config.max_length, config.flow_length if config.flow_steps else 1)


@attrs.frozen(kw_only=True)
class Stage:
    """Steps from `start` to before `stop`, all on clips of a length; `flow_alone`: only the flow network learns."""

    start: int
    stop: int
    length: int
    flow_alone: bool = False


def stages(config: CurriculumConfig, steps: int) -> tuple[Stage, ...]:
    """Return the stages of a run of so many steps, in their order. Pure."""
    edges = sorted({min(edge, steps) for edge in (0, *_changes(config))} - {steps})
    alike = itertools.groupby(edges, key=lambda start: (clip_length(config, start), start < config.flow_steps))
    begun = [(next(starts), length, flow_alone) for (length, flow_alone), starts in alike]
    return tuple(
        Stage(start=start, stop=stop, length=length, flow_alone=flow_alone)
        for (start, length, flow_alone), (stop, *_) in itertools.pairwise([*begun, (steps, 0, False)])
    )


def images_between(config: CurriculumConfig, start: int, stop: int) -> int:
    """Return how many frames one clip of each step from `start` to before `stop` has, in all; quick for many steps."""
    edges = (start, stop, *_changes(config))
    inside = sorted({min(max(edge, start), max(start, stop)) for edge in edges})
    return sum((upper - lower) * clip_length(config, lower) for lower, upper in itertools.pairwise(inside))


def _changes(config: CurriculumConfig) -> list[int]:
    """Return the steps between which the length is constant: it doubles at most a dozen times."""
    grown = config.flow_steps + config.single_frame_steps
    doublings = (config.max_length // config.initial_length).bit_length() + 1
    return [config.flow_steps, *(grown + n * config.double_every for n in range(doublings))]


def tell_left_out(
    say: Callable[[str], None], curriculum: CurriculumConfig, sequences: Sequence[SequenceInfo], step: int, first: int
) -> None:
    """Say before a training step what it leaves out that those before it did not; see `left_out_at`."""
    message = left_out_at(curriculum, sequences, step, first)
    if message is not None:
        say(message)


def left_out_at(curriculum: CurriculumConfig, sequences: Sequence[SequenceInfo], step: int, first: int) -> str | None:
    """Return what to say before a training step: that more sequences are left out from it on, or None. Pure.

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
    """Return what to say at the start: how many sequences the longest clips leave out, if more than the first ones do.

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
    references: int, curriculum: CurriculumConfig, sequences: Sequence[SequenceInfo], steps: int
) -> str | None:
    """Return what to say at the start of sequences that have too few frames for so many references beside the clips."""
    lengths = {clip_length(curriculum, step) for step in [0, *_changes(curriculum)] if step < steps}
    short = [info for info in sequences if any(length <= info.frames < length + references for length in lengths)]
    if not short:
        return None
    return (
        f"{_some_of(short, sequences)} too short for {references} references beside the clip (references.max): some "
        "of them will be frames of the clip itself"
    )


def _shorter(sequences: Sequence[SequenceInfo], length: int) -> list[SequenceInfo]:
    return [info for info in sequences if info.frames < length]


def _some_of(short: Sequence[SequenceInfo], sequences: Sequence[SequenceInfo]) -> str:
    return f"{len(short)} of {len(sequences)} sequences ({_names(short)}) {'are' if len(short) > 1 else 'is'}"


def _names(short: Sequence[SequenceInfo]) -> str:
    names = ", ".join(shown(info.name, _SHOWN_CHARACTERS) for info in short[:_NAMED])
    return names if len(short) <= _NAMED else f"{names}, ..."
