"""How many frames of a sequence can be shown to the generator as references."""

from collections.abc import Sequence

from vs_data import SequenceInfo
from vs_training.quality.rolling import reference_frames

from vs_eval.errors import OptionError


def check_counts(
    counts: Sequence[int], sequences: Sequence[SequenceInfo], frames: int | None = None
) -> tuple[int, ...]:
    """Return the numbers of references, each once, in order.

    Args:
        counts: as they are asked for.
        sequences: those that are generated.
        frames: at most so many frames of each are, from the first on; None: all.

    Raises:
        OptionError: one is below 1, or leaves a sequence without a frame that could be scored.
    """
    if not counts:
        raise OptionError("--references", "no number is given; 1 for one reference, 1 3 for a section each")
    if min(counts) < 1:
        raise OptionError("--references", f"expected a whole number >= 1, got {min(counts)}")
    shortest = min(sequences, key=lambda info: info.frames, default=None)
    if shortest is not None:
        _check_shortest(max(counts), shortest)
    if frames is not None:
        for count in counts:
            _check_scored(count, sequences, frames)
    return tuple(dict.fromkeys(counts))


def _check_shortest(count: int, shortest: SequenceInfo) -> None:
    if shortest.frames == 1:
        what = f"sequence '{shortest.name}' has 1 frame: with it as the reference none is left to be generated"
        raise OptionError("--references", f"{what}; remove the sequence or add frames to it")
    if count >= shortest.frames:
        raise OptionError(
            "--references",
            f"{count} asked for, but sequence '{shortest.name}' has {shortest.frames} frames, and one must be left "
            f"to be generated: at most {shortest.frames - 1}",
        )


def _check_scored(count: int, sequences: Sequence[SequenceInfo], frames: int) -> None:
    """See that one of the generated frames is no reference: those do not count."""
    for info in sequences:
        if set(range(min(frames, info.frames))) <= set(reference_frames(info.frames, count)):
            what = f"{frames} asked for, all of them among the {count} references of sequence '{info.name}'"
            raise OptionError("--frames", f"{what}, which are not scored; give more frames or fewer references")
