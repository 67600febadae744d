"""Where the data of one frame are: in a file of its own, in a video, or in a shard; and how their bytes are read."""

from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias, assert_never

import attrs

from vs_data.errors import DataError
from vs_data.files import MAX_FILE_BYTES, read_bytes


@attrs.frozen(kw_only=True)
class FrameOfVideo:
    """A frame of a video.

    Attributes:
        path: The video.
        frame: Number of the frame as it is shown, from 0.
    """

    path: Path
    frame: int

    def __str__(self) -> str:
        return f"{self.path} frame {self.frame}"


@attrs.frozen(kw_only=True)
class Member:
    """A file inside of a shard.

    Attributes:
        shard: Path of the shard.
        name: Name of the file in it.
        offset: Where its bytes begin.
        size: How many they are.
    """

    shard: str
    name: str
    offset: int
    size: int

    def __str__(self) -> str:
        return f"{self.shard}: {self.name}"


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


Contents: TypeAlias = FolderOfFiles
"""The data of all frames of a sequence of one kind, as something that can be hashed; `place` is for messages."""


def content_in(contents: Contents, frame: int) -> Content | None:
    """Return the data of one frame, or None where it has none."""
    name = contents.names[frame]
    return None if name is None else Path(contents.place) / name


def all_in(contents: Contents) -> Iterator[Content]:
    """Yield the data of all frames that have any."""
    found = (content_in(contents, frame) for frame in range(len(contents.names)))
    return (content for content in found if content is not None)


def short_name(content: Content) -> str:
    """Return what tells the data of a frame from others of the same kind: its last folder and its name, say."""
    match content:
        case Path():
            return f"{content.parent.name}/{content.name}"
        case FrameOfVideo():
            return f"{content.path.name} frame {content.frame}"
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


def _of_member(member: Member, limit: int) -> bytes:
    if not 0 < member.size <= limit:
        what = f"is {member.size} bytes large, at least one and at most {limit} are read"
        raise DataError(what, file=str(member), fix="pack the folder again")
    try:
        with Path(member.shard).open("rb") as shard:
            shard.seek(member.offset)
            data = shard.read(member.size)
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", file=str(member)) from None
    if len(data) < member.size:
        raise DataError("the shard ends inside of it", file=str(member), fix="copy the shard again")
    return data
