"""The frames of one subject: some to learn from, and the last ones held out to judge by."""

from collections.abc import Mapping

import attrs
from vs_data import Clip, ClipRequest, ClipSource, LabelInfo, SequenceInfo
from vs_training.errors import VsTrainingError

MIN_FRAMES = 4
"""Frames of a subject at least: a target, two references, and one that is held out."""

HELD_OUT = 5
"""One frame of so many is held out, at the end, so that none of those is a neighbour of what was learned from."""

MAX_HELD_OUT = 16


@attrs.frozen(kw_only=True)
class Part:
    """The first frames of one sequence of a source, as a source of that sequence alone. Follows `ClipSource`."""

    source: ClipSource
    sequence: int
    frames: int

    @property
    def sequences(self) -> tuple[SequenceInfo, ...]:
        """The one sequence."""
        return (SequenceInfo(name=self.source.sequences[self.sequence].name, frames=self.frames),)

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of every clip, pixels."""
        return self.source.size

    @property
    def label_kinds(self) -> Mapping[str, LabelInfo]:
        """Kinds of labels, as in the whole source."""
        return self.source.label_kinds

    def read(self, request: ClipRequest) -> Clip:
        """Read the clip, without N axis; its references are of the same frames."""
        return self.source.read(attrs.evolve(request, sequence=self.sequence))


@attrs.frozen(kw_only=True, eq=False)
class Subject:
    """One subject.

    Attributes:
        training: the frames to learn from.
        held_out: unbatched clips of the others, with references from those to learn from.
        name: of the sequence.
        photos: the frames do not follow one another.
    """

    training: Part
    held_out: tuple[Clip, ...]
    name: str
    photos: bool


def open_subject(source: ClipSource, *, sequence: int, references: int, photos: bool) -> Subject:
    """Divide the frames of a sequence, and read those that are held out.

    Args:
        source: where the subject is.
        sequence: which of its sequences.
        references: how many references the held-out frames are generated from, at most.
        photos: the frames do not follow one another: each is generated for itself.

    Raises:
        VsTrainingError: there are too few frames.
    """
    info = source.sequences[sequence]
    if info.frames < MIN_FRAMES:
        raise VsTrainingError(
            f"--references: sequence '{info.name}' has {info.frames} frames: at least {MIN_FRAMES} are needed"
        )
    count = min(MAX_HELD_OUT, max(1, info.frames // HELD_OUT))
    learned = info.frames - count
    shown = min(references, learned)
    request = ClipRequest(
        sequence=sequence,
        start=learned,
        length=count,
        references=tuple((2 * i + 1) * learned // (2 * shown) for i in range(shown)),
    )
    alone = (attrs.evolve(request, start=learned + i, length=1) for i in range(count))
    requests = tuple(alone) if photos else (request,)
    return Subject(
        training=Part(source=source, sequence=sequence, frames=learned),
        held_out=tuple(source.read(each) for each in requests),
        name=info.name,
        photos=photos,
    )
