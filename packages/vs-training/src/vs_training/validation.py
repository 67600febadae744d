"""The clip of held-out data that a run is looked at by."""

from collections.abc import Sequence

from vs_data import Clip, ClipRequest, ClipSource, SequenceInfo


def longest_sequences(sequences: Sequence[SequenceInfo]) -> list[int]:
    """Return the indices of all sequences, the longest first, and of equals the first one."""
    return sorted(range(len(sequences)), key=lambda index: -sequences[index].frames)  # which keeps the order of equals


def read_validation_clip(source: ClipSource, *, frames: int, references: int) -> Clip:
    """Read the beginning of the longest sequence, without a batch.

    Args:
        source: held-out data.
        frames: how many frames at most.
        references: how many references, spread over the sequence from its far end on, so that the first frames of the
            clip are not the references themselves.
    """
    longest = longest_sequences(source.sequences)[0]
    there = source.sequences[longest].frames
    shown = tuple(there - 1 - k * there // references for k in range(references))
    request = ClipRequest(sequence=longest, start=0, length=min(frames, there), seed=0, references=shown)
    return source.read(request)
