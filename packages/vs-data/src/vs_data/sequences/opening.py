"""All sources of labels, behind one function."""

from typing import BinaryIO

from vs_data.errors import DataError
from vs_data.layout import expanded
from vs_data.sequences.files import open_folder_labels
from vs_data.sequences.frames import LabelRequest, LabelSequence
from vs_data.sequences.raw import open_raw_labels
from vs_data.sequences.video import open_video_labels
from vs_data.sequences.worlds import WORLDS, open_world_labels, world_of

STDIN = "-"


def open_labels(source: str, how: LabelRequest, *, stdin: BinaryIO | None = None) -> tuple[LabelSequence, ...]:
    """Open labels that no pictures need to be beside.

    Args:
        source: a folder of label files (see `open_folder_labels`), a video whose frames are labels
            (`open_video_labels`), `-` for raw bytes on standard input (`open_raw_labels`), or a world with a seed,
            `street:SEED`, `faces:SEED` or `dancers:SEED`.
        how: what labels they are, and how they are to be read.
        stdin: what `-` stands for.

    Raises:
        DataError: it is none of these, or cannot be read.
    """
    if source == STDIN and stdin is not None:
        return (open_raw_labels(stdin, how),)
    world = world_of(source)
    if world is not None:
        return (open_world_labels(*world, how),)
    path = expanded(source)
    if path.is_dir():
        return open_folder_labels(path, how)
    if path.is_file():
        return (open_video_labels(path, how),)
    worlds = ", ".join(f"{name}:SEED" for name in WORLDS)
    fix = f"expected a folder of label files, a video, - for raw bytes, or a world: {worlds}"
    raise DataError("there is no such file or folder", file=source, fix=fix)
