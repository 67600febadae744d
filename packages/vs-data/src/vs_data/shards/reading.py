"""Packs as layouts, so that clips are read from them as from folders; whether their shards are what was written."""

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence

import attrs
import numpy as np

from vs_data.content import Contents, FramesOfVideo, Member, MembersOfShards
from vs_data.errors import DataError
from vs_data.findings import Finding, error
from vs_data.layout import IMAGES, Folder, FrameFiles, Layout, Reading, file_of, folder_frames
from vs_data.names import sort_key
from vs_data.pictures import read_rgb
from vs_data.ranges import Patience, joined, parts_of, read_whole
from vs_data.shards.index import INDEX, Index, PackedFolder, PackedSequence, Span, from_json, member_name

_AGAIN = "copy the shard again, or pack the folder again"


@attrs.frozen(kw_only=True)
class _Pack:
    """An index, and where it was found."""

    root: str
    index: Index
    how: Reading
    patience: Patience


def scan_shards(root: str, images: Folder, others: Sequence[Folder], how: Reading, patience: Patience) -> Layout:
    """List the sequences of a pack by its index; no shard is opened.

    Args:
        root: The folder of the pack, a path or an address.
        images: What the pictures are called.
        others: The folders of labels and flow that are read.
        how: How all of it is read.
        patience: How shards are read.

    Raises:
        DataError: there is no index, or it is damaged.
    """
    place = joined(root, INDEX)
    index = from_json(read_whole(place, patience), place)
    key = sort_key(how.order)
    index = attrs.evolve(index, sequences=tuple(sorted(index.sequences, key=lambda sequence: key(sequence.name))))
    pack = _Pack(root=root, index=index, how=how, patience=patience)
    findings = [finding for sequence in pack.index.sequences for finding in _check(sequence, images, others, pack)]
    if not pack.index.sequences:
        findings.append(error(root, "has no sequences", "pack a folder that has some"))
    wanted = (images.name, *(folder.name for folder in others))
    sequences = tuple(_files(sequence, wanted, pack) for sequence in pack.index.sequences)
    return Layout(root=root, sequences=sequences, findings=tuple(findings))


def _check(sequence: PackedSequence, images: Folder, others: Sequence[Folder], pack: _Pack) -> Iterator[Finding]:
    place = f"{pack.root}: {sequence.name}"
    if len(sequence.frames) < pack.how.min_frames:
        what = f"the sequence has {len(sequence.frames)} frames, at least {pack.how.min_frames} are needed"
        yield error(place, what, "lower min_frames, or pack the folder without it")
    for folder in (images, *others):
        there = sequence.folders.get(folder.name)
        if there is None:
            fix = f"packed are {', '.join(sequence.folders)}; pack the folder with it"
            yield error(place, f"{folder.name} was not packed", fix)
        elif there.video is None:
            pairs = list(zip(sequence.frames, there.frames, strict=True))
            lacking = next((name for name, span in folder_frames(folder, pairs) if span is None), None)
            if lacking is not None:
                yield error(place, f"frame {lacking} has no {folder.name}", "add it, and pack the folder again")


def _files(sequence: PackedSequence, wanted: Sequence[str], pack: _Pack) -> FrameFiles:
    nothing = PackedFolder(frames=(None,) * len(sequence.frames))
    there = {name: sequence.folders.get(name, nothing) for name in wanted}
    order = _order(sequence, pack.how)
    contents = {name: _contents(sequence, name, folder, order, pack) for name, folder in there.items()}
    return FrameFiles(name=sequence.name, frames=tuple(sequence.frames[number] for number in order), files=contents)


def _order(sequence: PackedSequence, how: Reading) -> list[int]:
    """Return the frames, by their numbers in the pack, in the order of their names, which those of a video have not."""
    numbers = list(range(len(sequence.frames)))
    if any(folder.video is not None for folder in sequence.folders.values()):
        return numbers
    key = sort_key(how.order)
    return sorted(numbers, key=lambda number: key(sequence.frames[number]))


def _contents(sequence: PackedSequence, name: str, folder: PackedFolder, order: Sequence[int], pack: _Pack) -> Contents:
    def member(span: Span, frame: int | None) -> Member:
        return Member(
            shard=joined(pack.root, pack.index.shards[span.shard].name),
            name=member_name(sequence.name, frame, name, span.ending),
            offset=span.offset,
            size=span.size,
            crc32=span.crc32,
            patience=pack.patience,
        )

    if folder.video is not None:
        return FramesOfVideo(video=member(folder.video, None), count=len(sequence.frames), room=pack.how.room)
    spans = ((number, folder.frames[number]) for number in order)
    members = tuple(None if span is None else member(span, number) for number, span in spans)
    return MembersOfShards(place=f"{pack.root}: {name}/{sequence.name}", members=members)


def folders_in(root: str) -> tuple[str, ...]:
    """Return the folders of a pack, in the order of their names.

    Raises:
        DataError: there is no index, or it is damaged.
    """
    place = joined(root, INDEX)
    index = from_json(read_whole(place, Patience()), place)
    return tuple(sorted({folder for sequence in index.sequences for folder in sequence.folders}))


@attrs.frozen(kw_only=True)
class ReadSpeed:
    """The rate at which frames of a pack are read and decoded at random, by one thread."""

    frames_per_second: float
    mb_per_second: float


def read_back(root: str, packed: Layout, *, most: int = 200, seconds: float = 3.0) -> ReadSpeed:
    """Read pictures of a pack at random, and say how quickly that went.

    Args:
        root: The folder of the pack.
        packed: What it was made of.
        most: Pictures to read.
        seconds: Time after which no more are read.

    Raises:
        DataError: one of them cannot be read; it is called as it was in what was packed, from which that comes.
    """
    made_of = {files.name: files for files in packed.sequences}
    how = Reading(min_frames=1)
    images = Folder(name=IMAGES, extensions=())
    sequences = scan_shards(root, images, [], how, Patience()).sequences
    places = [(files, frame) for files in sequences for frame in range(len(files.frames))]
    order = np.random.default_rng(0).permutation(len(places))[:most]
    begin, count, size = time.perf_counter(), 0, 0
    for count, index in enumerate(order, 1):  # noqa: B007 - it is used below
        files, frame = places[int(index)]
        content = file_of(IMAGES, files, frame)
        try:
            size += 0 if content is None else read_rgb(content).nbytes
        except DataError as failure:
            source = file_of(IMAGES, made_of[files.name], frame)
            raise DataError(failure.what, file=str(source), fix=failure.fix) from None
        if time.perf_counter() - begin > seconds:
            break
    passed = max(time.perf_counter() - begin, 1e-9)
    return ReadSpeed(frames_per_second=count / passed, mb_per_second=size / passed / 1e6)


def check_shards(
    root: str, patience: Patience, progress: Callable[[int, int], None] = lambda _done, _all: None
) -> tuple[Finding, ...]:
    """Read every shard and hold its bytes against the index.

    Args:
        root: The folder of the pack, a path or an address.
        patience: How shards are read.
        progress: Called with (bytes read, bytes in all).

    Raises:
        DataError: there is no index, or it is damaged.
    """
    place = joined(root, INDEX)
    index = from_json(read_whole(place, patience), place)
    findings = []
    done, total = 0, sum(shard.size for shard in index.shards)
    for shard in index.shards:
        digest, where = hashlib.sha256(), joined(root, shard.name)
        try:
            for part in parts_of(where, 0, shard.size, patience):
                digest.update(part)
                done += len(part)
                progress(done, total)
        except DataError as failure:
            findings.append(error(where, failure.what, failure.fix))
            continue
        if digest.hexdigest() != shard.sha256:
            findings.append(error(where, "does not hold what was packed: its SHA-256 is another", _AGAIN))
    return tuple(findings)
