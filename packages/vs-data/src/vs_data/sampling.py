"""Which clips make up which batch: pure functions of the seed and the batch's number."""

from collections.abc import Iterator, Sequence

import numpy as np

from vs_data.clips import Clip, ClipRequest, ClipSource, SequenceInfo, cut
from vs_data.errors import VsDataError

_ORDER, _ITEM, _REFERENCES = 1, 2, 3  # separate streams of random numbers


def eligible(sequences: Sequence[SequenceInfo], length: int) -> tuple[int, ...]:
    """Return the indices of the sequences that hold a clip of this length.

    Raises:
        VsDataError: there is none; it names the longest.
    """
    if length < 1:
        raise VsDataError(f"clips of length {length} asked for, allowed: at least 1")
    found = tuple(index for index, sequence in enumerate(sequences) if sequence.frames >= length)
    if found:
        return found
    if not sequences:
        raise VsDataError("the source has no sequences")
    longest = max(sequences, key=lambda sequence: sequence.frames)
    raise VsDataError(
        f"clips of {length} frames asked for, but the longest sequence, '{longest.name}', has {longest.frames}; "
        f"lower the clip length to at most {longest.frames}, or add longer sequences"
    )


def check_lengths(source: ClipSource, length: int) -> int:
    """Return how many sequences hold a clip of `length` frames; ask before training, with the longest to come.

    Raises:
        VsDataError: there is none; it names the longest and what to lower.
    """
    return len(eligible(source.sequences, length))


def plan_batch(
    sequences: Sequence[SequenceInfo],
    *,
    seed: int,
    batch: int,
    batch_size: int,
    length: int,
    shard: tuple[int, int] = (0, 1),
    references: int = 0,
) -> tuple[ClipRequest, ...]:
    """Return the requests of one batch.

    Clips are numbered through: batch b of size B holds clips b*B to b*B + B - 1 (with `shard = (rank, ranks)`, those of
    batch b*ranks + rank). An epoch is every sequence that has at least `length` frames once, in an order drawn anew for
    each epoch; the clip starts anywhere in its sequence where it fits. Shorter sequences are left out. When `length`
    changes and with it the sequences that are long enough, the epoch under way changes too: what has been seen in it
    is not remembered.

    References are frames of the clip's own sequence at random times: outside of the clip as far as there are enough,
    none twice unless the whole sequence has too few. They are drawn for themselves: how many are asked for changes
    nothing else.

    Args:
        sequences: Those of the source.
        seed: Of the whole run, at least 0.
        batch: Number of the batch, from 0.
        batch_size: Clips per batch.
        length: Frames per clip.
        shard: Which of how many processes asks; every clip is seen by one of them.
        references: Reference frames per clip, at least 0.

    Raises:
        VsDataError: no sequence is long enough, or `references` is negative.
    """
    if references < 0:
        raise VsDataError(f"{references} references asked for, allowed: at least 0")
    rank, ranks = shard
    candidates = eligible(sequences, length)
    first = (batch * ranks + rank) * batch_size
    return tuple(
        _plan_clip(sequences, candidates, seed, item, length, references) for item in range(first, first + batch_size)
    )


def _plan_clip(
    sequences: Sequence[SequenceInfo],
    candidates: tuple[int, ...],
    seed: int,
    item: int,
    length: int,
    references: int,
) -> ClipRequest:
    epoch, position = divmod(item, len(candidates))
    order = np.random.default_rng((seed, _ORDER, epoch)).permutation(len(candidates))
    sequence = candidates[int(order[position])]
    rng = np.random.default_rng((seed, _ITEM, item))
    frames = sequences[sequence].frames
    start = int(rng.integers(frames - length + 1))
    return ClipRequest(
        sequence=sequence,
        start=start,
        length=length,
        seed=int(rng.integers(2**63)),
        references=_plan_references(seed, item, frames, range(start, start + length), references),
    )


def _plan_references(seed: int, item: int, frames: int, clip: range, count: int) -> tuple[int, ...]:
    """Return which frames are a clip's references: those outside of it first, then its own, then all again."""
    rng = np.random.default_rng((seed, _REFERENCES, item))
    outside = rng.permutation([frame for frame in range(frames) if frame not in clip])
    order = [*outside.tolist(), *rng.permutation(list(clip)).tolist()]
    return tuple(int(order[index % frames]) for index in range(count))


def iterate_sequence(
    source: ClipSource,
    sequence: int,
    *,
    chunk: int = 16,
    max_frames: int | None = None,
    references: tuple[int, ...] = (),
    reference_sequence: int | None = None,
) -> Iterator[Clip]:
    """Yield a whole sequence in order, as clips of at most `chunk` frames, for sequences too long for the memory.

    Flow goes on across the pieces: except at the very first frame it is never zeroed. Every piece has the references,
    which may be of another sequence (see `ClipRequest`).
    """
    if chunk < 1:
        raise VsDataError(f"chunk is {chunk}, allowed: at least 1")
    frames = _frames(source, sequence, max_frames)
    for start in range(0, frames, chunk):
        before = min(start, 1)  # read one frame more in front, for the flow of the first
        length = min(chunk, frames - start)
        request = ClipRequest(
            sequence=sequence,
            start=start - before,
            length=length + before,
            references=references,
            reference_sequence=reference_sequence,
        )
        clip = source.read(request)
        yield cut(clip, before, before + length)


def spread_frames(source: ClipSource, count: int) -> Iterator[Clip]:
    """Yield `count` single frames, or all of fewer, evenly spread over all frames of all sequences, in order."""
    total = sum(info.frames for info in source.sequences)
    wanted = sorted({index * total // count for index in range(min(count, total))} if total > count else range(total))
    first = 0
    for number, info in enumerate(source.sequences):
        for index in wanted:
            if first <= index < first + info.frames:
                yield source.read(ClipRequest(sequence=number, start=index - first, length=1, seed=index))
        first += info.frames


def _frames(source: ClipSource, sequence: int, max_frames: int | None) -> int:
    if not 0 <= sequence < len(source.sequences):
        raise VsDataError(f"sequence {sequence} asked for, there are {len(source.sequences)} (counted from 0)")
    if max_frames is not None and max_frames < 1:
        raise VsDataError(f"max_frames is {max_frames}, allowed: at least 1, or none")
    frames = source.sequences[sequence].frames
    return frames if max_frames is None else min(frames, max_frames)
