"""The clip of held-out data that a run is looked at by."""

from collections.abc import Sequence

from vs_data import Clip, ClipRequest, ClipSource, SequenceInfo


def longest_sequence(sequences: Sequence[SequenceInfo]) -> int:
    """Return the index of the longest sequence, the first of several."""
    return max(range(len(sequences)), key=lambda i: (sequences[i].frames, -i))


def read_validation_clip(source: ClipSource, *, frames: int, references: int) -> Clip:
    """Read the beginning of the longest sequence, without a batch.

    Args:
        source: held-out data.
        frames: how many frames at most.
        references: how many references, spread over the sequence from its far end on, so that the first frames of the
            clip are not the references themselves.
    """
    longest = longest_sequence(source.sequences)
    there = source.sequences[longest].frames
    shown = tuple(there - 1 - k * there // references for k in range(references))
    request = ClipRequest(sequence=longest, start=0, length=min(frames, there), seed=0, references=shown)
    return source.read(request)
