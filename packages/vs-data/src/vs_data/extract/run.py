"""Labelling all sequences of a place, one after the other, each as a whole."""

import time
from collections.abc import Callable, Mapping
from contextlib import closing
from itertools import chain
from typing import Any

import attrs

from vs_data.errors import DataError
from vs_data.extract.labelling import Labeller, Task
from vs_data.extract.options import ExtractKind, OutputOptions
from vs_data.extract.places import Place, frames_brought, frames_of, is_done, labels_folder, record, whole_folder
from vs_data.extract.written import Tally, add_to, check_options, write_label
from vs_data.layout import FrameFiles


@attrs.frozen(kw_only=True)
class Extraction:
    """The labels that were made.

    Attributes:
        sequences: How many were labelled now.
        there: How many were labelled before.
        labels: How many were made now.
        seconds: That it took.
        tally: Of all that are in the folder.
    """

    sequences: int
    there: int
    labels: int
    seconds: float
    tally: Tally


@attrs.frozen(kw_only=True)
class Wanted:
    """The labels that are to be made.

    Attributes:
        kind: Of them.
        folder: Their folder, beside the images.
        options: What the numbers mean that a network gives.
        made_by: What makes them, as JSON; only what was made in the same way is gone on with.
    """

    kind: ExtractKind
    folder: str
    options: OutputOptions
    made_by: Mapping[str, Any]


def extract_labels(
    place: Place, labeller: Labeller, wanted: Wanted, progress: Callable[[int, int], None] | None = None
) -> Extraction:
    """Label the sequences of a place that have no labels yet. One that is interrupted leaves nothing of itself.

    Args:
        place: What is labelled.
        labeller: What labels it.
        wanted: Which labels.
        progress: Called with (labels made, labels in all), those that were there before among them.

    Raises:
        DataError: A frame, the network or the program is bad; or the folder holds labels made otherwise.
    """
    check_options(wanted.kind, wanted.options)
    folder = place.root / wanted.folder
    counts = [len(_labelled(sequence, wanted.kind)) for sequence in place.sequences]
    began, done, there, made = time.monotonic(), 0, 0, 0
    with labels_folder(folder, wanted.made_by) as tally:
        for sequence, count in zip(place.sequences, counts, strict=True):
            if is_done(folder / sequence.name, _labelled(sequence, wanted.kind)):
                there += 1
            else:
                report = None if progress is None else _shifted(progress, done, sum(counts))
                tally = _extract_sequence(place, sequence, labeller, wanted, tally, report)
                record(folder, wanted.made_by, tally)
                made += count
            done += count
            if progress is not None:
                progress(done, sum(counts))
    seconds = time.monotonic() - began
    sequences = len(place.sequences) - there
    return Extraction(sequences=sequences, there=there, labels=made, seconds=seconds, tally=tally)


def _shifted(progress: Callable[[int, int], None], before: int, total: int) -> Callable[[int], None]:
    return lambda done: progress(before + done, total)


def _labelled(sequence: FrameFiles, kind: ExtractKind) -> tuple[str, ...]:
    """Return the names of the frames that get a label: the first has no flow."""
    return sequence.frames[1:] if kind == "flow" else sequence.frames


def _extract_sequence(
    place: Place,
    sequence: FrameFiles,
    labeller: Labeller,
    wanted: Wanted,
    tally: Tally,
    progress: Callable[[int], None] | None,
) -> Tally:
    """Label a sequence, and return the tally with it."""
    target = place.root / wanted.folder / sequence.name
    names = _labelled(sequence, wanted.kind)
    frames = frames_of(sequence)
    first = next(frames)
    task = Task(kind=wanted.kind, sequence=sequence.name, size=(first.shape[0], first.shape[1]), count=len(names))
    with (
        whole_folder(target) as draft,
        frames_brought(place, sequence, chain([first], frames)) as passing,
        closing(labeller(passing, task)) as labels,
    ):
        for done, (name, label) in enumerate(zip(names, labels, strict=True), 1):
            try:
                write_label(draft, name, label, wanted.kind, wanted.options)
            except DataError as error:
                raise DataError(error.what, file=str(target), fix=error.fix) from None
            tally = add_to(tally, label, wanted.kind, wanted.options)
            if progress is not None:
                progress(done)
    return tally
