"""Packing a data folder into shards."""

import hashlib
import tarfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import IO, assert_never

import attrs

from vs_data.content import (
    Content,
    Contents,
    FrameOfVideo,
    FramesOfVideo,
    Member,
    all_in,
    bytes_of,
    content_in,
    require_whole,
)
from vs_data.files import whole_or_not_at_all
from vs_data.layout import IMAGES, FrameFiles, Layout
from vs_data.pictures import read_rgb
from vs_data.ranges import PATIENT, parts_of
from vs_data.shards.frames import ENDINGS, Frames, encoded, encoded_video
from vs_data.shards.index import INDEX, Index, PackedFolder, PackedSequence, Shard, Span, member_name, to_json
from vs_data.shards.reading import ReadSpeed, read_back
from vs_data.videos import Video

_AT_ONCE = 32
"""Files that are read, and encoded, before they are written."""


@attrs.frozen(kw_only=True)
class PackOptions:
    """The way in which a folder is packed.

    Attributes:
        frames: How pictures are stored; labels and flow are copied as they are.
        quality: Of pictures that are encoded anew, 1 to 100.
        group: Frames of a video from one that decoding can begin at to the next.
        shard_bytes: A shard that is as large is the last of its size; the next file begins another.
        threads: Pictures that are encoded at once.
        read_back: Whether some pictures are read again before the pack is called done.
    """

    frames: Frames = "copy"
    quality: int = 95
    group: int = 8
    shard_bytes: int = 256 * 2**20
    threads: int = 4
    read_back: bool = False


@attrs.frozen(kw_only=True)
class Packed:
    """The outcome of packing: frames, shards, bytes of each folder's files before and after, speed of reading back."""

    frames: int
    shards: int
    before: dict[str, int]
    after: dict[str, int]
    speed: ReadSpeed | None = None


@attrs.define(kw_only=True)
class _Writer:
    """The shards while they are written: one is open at a time."""

    root: Path
    limit: int
    shards: list[Shard] = attrs.field(factory=list)
    before: dict[str, int] = attrs.field(factory=dict)
    after: dict[str, int] = attrs.field(factory=dict)
    file: IO[bytes] | None = None
    at: int = 0
    digest: "hashlib._Hash" = attrs.field(factory=hashlib.sha256)


def pack_folder(
    layout: Layout, root: Path, options: PackOptions, progress: Callable[[int, int], None] | None = None
) -> Packed:
    """Write the sequences of a layout as shards and an index; when it fails or is interrupted, nothing of it is left.

    Shards are tar archives as the WebDataset library reads them: what belongs to a frame stands together, under one
    name up to the first dot.

    Args:
        layout: What is packed; it has no errors.
        root: Folder to write to; made if missing, must be empty.
        options: How.
        progress: Called with (frames done, frames in all).

    Raises:
        DataError: a file is bad, or the folder is not empty or cannot be written.
    """
    total = sum(len(files.frames) for files in layout.sequences)
    done = 0

    def tell(frames: int) -> None:
        nonlocal done
        done += frames
        if progress is not None:
            progress(done, total)

    with whole_or_not_at_all(root) as draft, ThreadPoolExecutor(options.threads) as pool:
        writer = _Writer(root=draft, limit=options.shard_bytes)
        try:
            sequences = tuple(_pack_sequence(writer, files, options, pool, tell) for files in layout.sequences)
        finally:
            _close(writer)
        (draft / INDEX).write_text(to_json(Index(shards=tuple(writer.shards), sequences=sequences)), encoding="utf-8")
        speed = read_back(str(draft), layout) if options.read_back else None
    return Packed(frames=total, shards=len(writer.shards), before=writer.before, after=writer.after, speed=speed)


def _pack_sequence(
    writer: _Writer, files: FrameFiles, options: PackOptions, pool: ThreadPoolExecutor, tell: Callable[[int], None]
) -> PackedSequence:
    for folder, contents in files.files.items():
        writer.before[folder] = writer.before.get(folder, 0) + _bytes_before(contents)
    packed = {
        folder: PackedFolder(video=_write_video(writer, files, folder, options))
        for folder, contents in files.files.items()
        if _is_one_file(contents, folder, options)
    }
    single = [folder for folder in files.files if folder not in packed]
    spans: dict[str, list[Span | None]] = {folder: [] for folder in single}
    count = len(files.frames)
    for start in range(0, count, _AT_ONCE):
        frames = range(start, min(start + _AT_ONCE, count))
        jobs = [(folder, frame) for frame in frames for folder in single]
        stored = pool.map(lambda job: _stored(files, job[0], job[1], options), jobs)
        for (folder, frame), found in zip(jobs, stored, strict=True):
            spans[folder].append(None if found is None else _write(writer, files.name, frame, folder, *found))
        tell(len(frames))
    packed |= {folder: PackedFolder(frames=tuple(spans[folder])) for folder in single}
    return PackedSequence(name=files.name, frames=files.frames, folders={name: packed[name] for name in files.files})


def _is_one_file(contents: Contents, folder: str, options: PackOptions) -> bool:
    """Tell whether all frames are stored as one video."""
    if folder == IMAGES and options.frames != "copy":
        return options.frames == "video"
    match contents:
        case FramesOfVideo():
            return True
        case _:
            return False


def _write_video(writer: _Writer, files: FrameFiles, folder: str, options: PackOptions) -> Span:
    """Append a video of all frames."""
    contents = files.files[folder]
    match contents:
        case FramesOfVideo(video=video) if folder != IMAGES or options.frames == "copy":
            name = member_name(files.name, None, folder, _ending(video))
            return _write_parts(writer, name, folder, _parts_of(video), (_size(video), _ending(video)))
        case _:
            pictures = (read_rgb(content) for content in all_in(contents))
            data = encoded_video(pictures, options.quality, options.group)
            return _write(writer, files.name, None, folder, data, ENDINGS["video"])


def _parts_of(video: Video) -> Iterator[bytes]:
    """Yield the bytes of a video, which may be larger than memory."""
    match video:
        case Path():
            yield from parts_of(str(video), 0, _size(video), PATIENT)
        case Member(shard=shard, offset=offset, size=size, patience=patience, name=name):
            require_whole(video)
            yield from parts_of(shard, offset, size, patience, name)
        case _:
            assert_never(video)


def _stored(files: FrameFiles, folder: str, frame: int, options: PackOptions) -> tuple[bytes, str] | None:
    """Return the bytes of a frame's file, and how its name ends; None: it has none."""
    content = content_in(files.files[folder], frame)
    if content is None:
        return None
    if folder == IMAGES and options.frames in ("png", "webp", "jpeg"):
        return encoded(read_rgb(content), options.frames, options.quality), ENDINGS[options.frames]
    return bytes_of(content), _ending(content)


def _ending(content: Content) -> str:
    match content:
        case Path():
            return content.suffix.lower()
        case Member(name=name):
            return PurePosixPath(name).suffix
        case FrameOfVideo(video=video):
            return _ending(video)
        case _:
            assert_never(content)


def _bytes_before(contents: Contents) -> int:
    match contents:
        case FramesOfVideo(video=video):
            return _size(video)
        case _:
            return sum(map(_size, all_in(contents)))


def _size(content: Content) -> int:
    match content:
        case Path():
            return content.stat().st_size if content.is_file() else 0  # it is found to be missing when it is read
        case Member(size=size):
            return size
        case FrameOfVideo(video=video):
            return _size(video)
        case _:
            assert_never(content)


def _write(writer: _Writer, sequence: str, frame: int | None, folder: str, data: bytes, ending: str) -> Span:
    """Append a file to the shard that is open."""
    name = member_name(sequence, frame, folder, ending)
    return _write_parts(writer, name, folder, [data], (len(data), ending))


def _write_parts(
    writer: _Writer, name: str, folder: str, parts: Iterable[bytes], size_and_ending: tuple[int, str]
) -> Span:
    """Append a file that comes in parts, which are as large as it is said to be."""
    size, ending = size_and_ending
    if writer.file is not None and writer.at >= writer.limit:
        _close(writer)
    if writer.file is None:
        writer.file, writer.at, writer.digest = (
            (writer.root / _name(len(writer.shards))).open("wb"),
            0,
            hashlib.sha256(),
        )
    info = tarfile.TarInfo(name)
    info.size = size
    _append(writer, info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape"))
    offset, checksum = writer.at, 0
    for part in parts:
        checksum = zlib.crc32(part, checksum)
        _append(writer, part)
    _append(writer, bytes(-size % tarfile.BLOCKSIZE))
    writer.after[folder] = writer.after.get(folder, 0) + size
    return Span(len(writer.shards), offset, size, checksum, ending)


def _append(writer: _Writer, data: bytes) -> None:
    assert writer.file is not None  # noqa: S101 - the caller has opened it
    writer.file.write(data)
    writer.digest.update(data)
    writer.at += len(data)


def _close(writer: _Writer) -> None:
    """Finish the shard that is open, if there is one: an archive ends with two empty blocks."""
    if writer.file is None:
        return
    with writer.file:
        _append(writer, bytes(2 * tarfile.BLOCKSIZE))
    name = _name(len(writer.shards))
    writer.shards.append(Shard(name=name, size=writer.at, sha256=writer.digest.hexdigest()))
    writer.file = None


def _name(number: int) -> str:
    return f"{number:06d}.tar"
