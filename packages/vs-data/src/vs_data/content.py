"""Where the data of one frame are: in a file of its own, in a video, or in a shard; and how their bytes are read."""

from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias, assert_never

import attrs

from vs_data.errors import DataError
from vs_data.files import MAX_FILE_BYTES, read_bytes
from vs_data.ranges import PATIENT, Patience, read_range, require_checksum


@attrs.frozen(kw_only=True)
class Member:
    """A file inside of a shard.

    Attributes:
        shard: Path or address of the shard.
        name: Name of the file in it.
        offset: Where its bytes begin.
        size: How many they are.
        crc32: Their checksum; None: nobody knows.
        patience: How a shard is read.
    """

    shard: str
    name: str
    offset: int
    size: int
    crc32: int | None = None
    patience: Patience = attrs.field(default=PATIENT, eq=False)

    def __str__(self) -> str:
        return f"{self.shard}: {self.name}"


@attrs.frozen(kw_only=True)
class FrameOfVideo:
    """A frame of a video.

    Attributes:
        video: A file, of its own or in a shard.
        frame: Number of the frame as it is shown, from 0.
        room: Bytes that decoded frames of videos may take in this process, for those that are asked for again.
    """

    video: Path | Member
    frame: int
    room: int = attrs.field(default=0, eq=False)

    def __str__(self) -> str:
        return f"{self.video} frame {self.frame}"


Content: TypeAlias = Path | FrameOfVideo | Member
"""The data of one frame of one kind; its text is what messages call it."""


@attrs.frozen(kw_only=True)
class FolderOfFiles:
    """The frames of a sequence as files of their own.

    Attributes:
        place: Their folder.
        names: Of the file of each frame; None: there is none.
    """

    place: str
    names: tuple[str | None, ...]

    @property
    def count(self) -> int:
        """How many frames there are."""
        return len(self.names)


@attrs.frozen(kw_only=True)
class FramesOfVideo:
    """The frames of a sequence as a video.

    Attributes:
        video: As in `FrameOfVideo`.
        count: How many of its frames are meant.
        first: The first of them.
        room: As in `FrameOfVideo`.
    """

    video: Path | Member
    count: int
    first: int = 0
    room: int = 0

    @property
    def place(self) -> str:
        """The video, for messages."""
        return str(self.video)


@attrs.frozen(kw_only=True)
class MembersOfShards:
    """The frames of a sequence as files inside of shards.

    Attributes:
        place: What messages call all of them.
        members: Of each frame; None: there is none.
    """

    place: str
    members: tuple[Member | None, ...]

    @property
    def count(self) -> int:
        """Frames that there are."""
        return len(self.members)


Contents: TypeAlias = FolderOfFiles | FramesOfVideo | MembersOfShards
"""The data of all frames of a sequence of one kind, as something that can be hashed; `place` is for messages."""


def content_in(contents: Contents, frame: int) -> Content | None:
    """Return the data of one frame, or None where it has none."""
    match contents:
        case FolderOfFiles():
            name = contents.names[frame]
            return None if name is None else Path(contents.place) / name
        case FramesOfVideo():
            return FrameOfVideo(video=contents.video, frame=contents.first + frame, room=contents.room)
        case MembersOfShards():
            return contents.members[frame]
        case _:
            assert_never(contents)


def all_in(contents: Contents) -> Iterator[Content]:
    """Yield the data of all frames that have any."""
    found = (content_in(contents, frame) for frame in range(contents.count))
    return (content for content in found if content is not None)


def part_of(contents: Contents, start: int, stop: int) -> Contents:
    """Return the data of frames `start` to `stop` - 1."""
    match contents:
        case FolderOfFiles():
            return attrs.evolve(contents, names=contents.names[start:stop])
        case FramesOfVideo():
            return attrs.evolve(contents, first=contents.first + start, count=stop - start)
        case MembersOfShards():
            return attrs.evolve(contents, members=contents.members[start:stop])
        case _:
            assert_never(contents)


def short_name(content: Content) -> str:
    """Return what tells the data of a frame from others of the same kind: its last folder and its name, say."""
    match content:
        case Path():
            return f"{content.parent.name}/{content.name}"
        case FrameOfVideo():
            return f"{short_name(content.video)} frame {content.frame}"
        case Member():
            return content.name
        case _:
            assert_never(content)


def bytes_of(content: Content, limit: int = MAX_FILE_BYTES) -> bytes:
    """Return the bytes of what is a file, be it one of its own or inside of a shard; see `read_bytes`.

    Raises:
        DataError: they cannot be read, or it is no file but a frame of a video, which has pixels alone.
    """
    match content:
        case Path():
            return read_bytes(content, limit)
        case Member():
            return _of_member(content, limit)
        case FrameOfVideo():
            what = "is a frame of a video, a file is needed"
            raise DataError(what, file=str(content), fix="put a folder with a file for each frame in its place")
        case _:
            assert_never(content)


def require_whole(member: Member) -> None:
    """See that a file inside of a shard is what was packed, however large; its bytes are not kept.

    Raises:
        DataError: it is not, or cannot be read.
    """
    if member.crc32 is not None:
        require_checksum(member.shard, member.offset, member.size, member.patience, member.crc32, member.name)


def _of_member(member: Member, limit: int) -> bytes:
    if not 0 < member.size <= limit:
        what = f"is {member.size} bytes large, at least one and at most {limit} are read"
        raise DataError(what, file=str(member), fix="pack the folder again")
    how = member.patience
    return read_range(member.shard, member.offset, member.size, how, crc32=member.crc32, name=member.name)


def version_of(content: Path | Member) -> tuple[int, int]:
    """Return what changes when a file does: when it was written, and its bytes.

    Raises:
        OSError: there is none.
    """
    match content:
        case Member(size=size):
            return 0, size
        case Path():
            there = content.stat()
            return there.st_mtime_ns, there.st_size
        case _:
            assert_never(content)
