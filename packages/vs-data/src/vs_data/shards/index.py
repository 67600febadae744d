"""The index of a pack: which shards there are, and where in them every frame of every sequence is."""

import json
from collections.abc import Mapping
from typing import Any

import attrs

from vs_data.errors import DataError

INDEX = "index.json"
"""The file beside the shards."""

VERSION = 1

_FORMAT = "vs-shards"
_FIX = "pack the folder again, or copy its index again"


@attrs.frozen(kw_only=True)
class Shard:
    """One archive: its file name, its bytes and the SHA-256 of all of them."""

    name: str
    size: int
    sha256: str


@attrs.frozen
class Span:
    """A file in a shard: number of the shard, where it begins, its bytes, their CRC-32, and how its name ends."""

    shard: int
    offset: int
    size: int
    crc32: int
    ending: str


@attrs.frozen(kw_only=True)
class PackedFolder:
    """The data of a sequence of one kind.

    Attributes:
        frames: The file of each frame; None: there is none. Of a video nothing.
        video: The file that holds all frames; None: each has one of its own.
    """

    frames: tuple[Span | None, ...] = ()
    video: Span | None = None


@attrs.frozen(kw_only=True)
class PackedSequence:
    """A sequence: its name, those of its frames, and where its data are, by folder."""

    name: str
    frames: tuple[str, ...]
    folders: Mapping[str, PackedFolder]


@attrs.frozen(kw_only=True)
class Index:
    """All of a pack."""

    shards: tuple[Shard, ...]
    sequences: tuple[PackedSequence, ...]


def member_name(sequence: str, frame: int | None, folder: str, ending: str) -> str:
    """Return what a file is called in a shard: the same up to the first dot for all that belongs to one frame."""
    return f"{sequence}/{'video' if frame is None else f'{frame:06d}'}.{folder}{ending}"


def to_json(index: Index) -> str:
    """Write an index as JSON."""
    document = {
        "format": _FORMAT,
        "version": VERSION,
        "shards": [attrs.asdict(shard) for shard in index.shards],
        "sequences": [
            {
                "name": sequence.name,
                "frames": sequence.frames,
                "folders": {name: _written(folder) for name, folder in sequence.folders.items()},
            }
            for sequence in index.sequences
        ],
    }
    return json.dumps(document, separators=(",", ":"))  # ASCII: names may be no text


def _written(folder: PackedFolder) -> dict[str, Any]:
    if folder.video is not None:
        return {"video": attrs.astuple(folder.video)}
    return {"frames": [None if span is None else attrs.astuple(span) for span in folder.frames]}


def from_json(data: bytes, place: str) -> Index:
    """Read an index.

    Raises:
        DataError: it is none, of another version, or does not agree with itself.
    """
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        raise DataError("is not JSON", file=place, fix=_FIX) from None
    match document:
        case {"format": "vs-shards", "version": int(version)} if version != VERSION:
            what = f"is of version {version}, this program reads version {VERSION}"
            raise DataError(what, file=place, fix="pack the folder again")
        case {"format": "vs-shards", "shards": [*shards], "sequences": [*sequences]}:
            pass
        case _:
            raise DataError("is no index of shards", file=place, fix=_FIX)
    try:
        known = tuple(_shard(each) for each in shards)
        found = tuple(_sequence(each, known) for each in sequences)
        if len({sequence.name for sequence in found}) < len(found):
            raise ValueError("two sequences have one name")
        return Index(shards=known, sequences=found)
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise DataError(f"does not agree with itself: {error}", file=place, fix=_FIX) from None


def _shard(entry: Any) -> Shard:
    match entry:
        case {"name": str(name), "size": int(size), "sha256": str(digest)} if _is_plain(name):
            return Shard(name=name, size=size, sha256=digest)
        case _:
            raise ValueError("a shard is not described by name, size and sha256")


def _is_plain(name: str) -> bool:
    return name.isprintable() and name not in ("", ".", "..") and not set("/\\") & set(name)


def _is_name(name: str) -> bool:
    """Tell whether a file or folder could have a name: what is written by it stays where it belongs."""
    return name not in ("", ".", "..") and not set("/\0") & set(name)


def _sequence(entry: Any, shards: tuple[Shard, ...]) -> PackedSequence:
    match entry:
        case {"name": str(name), "frames": [*frames], "folders": {**folders}} if {type(each) for each in frames} <= {
            str
        }:
            if not all(_is_name(each) for each in (name, *frames, *folders)):
                raise ValueError("a sequence, a frame or a folder has the name of none")
            packed = {str(folder): _folder(each, shards, len(frames)) for folder, each in folders.items()}
            return PackedSequence(name=name, frames=tuple(frames), folders=packed)
        case _:
            raise ValueError("a sequence is not described by name, frames and folders")


def _folder(entry: Any, shards: tuple[Shard, ...], count: int) -> PackedFolder:
    match entry:
        case {"video": span}:
            return PackedFolder(video=_span(span, shards))
        case {"frames": [*spans]} if len(spans) == count:
            return PackedFolder(frames=tuple(None if each is None else _span(each, shards) for each in spans))
        case _:
            raise ValueError(f"a folder does not have {count} frames")


def _span(entry: Any, shards: tuple[Shard, ...]) -> Span:
    match entry:
        case [int(shard), int(offset), int(size), int(crc), str(ending)] if 0 <= shard < len(shards):
            if offset < 0 or size < 0 or offset + size > shards[shard].size:
                raise ValueError(f"a file ends beyond its shard {shards[shard].name}")
            return Span(shard, offset, size, crc, ending)
        case _:
            raise ValueError("a file is not described by shard, offset, size and checksum")
