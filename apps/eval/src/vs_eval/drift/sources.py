"""Sequences that are as long as asked for: worlds go on, stored sequences are shown forwards and backwards in turn."""

import itertools
from collections.abc import Iterator
from typing import assert_never

import attrs
from vs_data import (
    Clip,
    ClipRequest,
    ClipSource,
    DancersConfig,
    FacesConfig,
    SourceConfig,
    StoredConfig,
    StreetConfig,
    iterate_sequence,
)
from vs_training.quality.scoring import single_frames
from vs_training.validation import longest_sequences


def lengthened(data: SourceConfig, frames: int) -> SourceConfig:
    """Return the source with sequences of so many frames, where that is a matter of asking."""
    match data:
        case StreetConfig() | FacesConfig() | DancersConfig():
            return attrs.evolve(data, sequence_length=max(frames, data.sequence_length))
        case StoredConfig():
            return data
        case _:
            assert_never(data)


def moving_sequences(source: ClipSource, count: int) -> list[int]:
    """Return the longest sequences, as far as they have two frames."""
    return [index for index in longest_sequences(source.sequences) if source.sequences[index].frames > 1][:count]


def back_and_forth(source: ClipSource, sequence: int, frames: int, references: tuple[int, ...] = ()) -> Iterator[Clip]:
    """Yield so many frames of a sequence as clips of one frame; at its ends it is turned, as often as needed.

    Where it runs backwards nobody knows how it moves: the teacher's flow has no confidence there.
    """
    return itertools.islice(_endless(source, sequence, references), frames)


def _endless(source: ClipSource, sequence: int, references: tuple[int, ...]) -> Iterator[Clip]:
    length = source.sequences[sequence].frames
    yield from single_frames(iterate_sequence(source, sequence, references=references))
    while True:
        for start in range(length - 2, -1, -1):
            yield source.read(ClipRequest(sequence=sequence, start=start, length=1, references=references))
        yield from itertools.islice(single_frames(iterate_sequence(source, sequence, references=references)), 1, None)
