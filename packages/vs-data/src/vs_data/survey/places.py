"""How data is stored at a place that somebody named, and where the part of it is that is held out."""

import shlex
from collections.abc import Iterator
from pathlib import Path

import attrs

from vs_data.errors import DataError
from vs_data.layout import IMAGES, expanded, no_folder
from vs_data.names import is_left_behind
from vs_data.pictures import IMAGE_EXTENSIONS
from vs_data.ranges import is_remote
from vs_data.shards import INDEX
from vs_data.stored import FolderConfig, ShardsConfig, StoredConfig, VideoConfig
from vs_data.videos import VIDEO_EXTENSIONS

_TRAIN = ("train", "training")
_HELD_OUT = ("val", "valid", "validation", "test")


@attrs.frozen(kw_only=True)
class Place:
    """A place where data is.

    Attributes:
        stored: How it is stored: the class of the configuration that reads it.
        root: The folder, video or address, as it was named.
        val_root: The same for what is held out; None: nothing is beside it.
    """

    stored: type[StoredConfig]
    root: str
    val_root: str | None = None


def stored_at(root: str) -> type[StoredConfig]:
    """Return how clips are stored in a place: as a pack, videos, or a data folder."""
    place = expanded(root)
    if is_remote(root) or (place / INDEX).is_file():
        return ShardsConfig
    if no_folder(place / IMAGES) is None:
        return FolderConfig
    files = [place] if place.is_file() else place.glob("*")
    known = {*VIDEO_EXTENSIONS, *(() if place.is_file() else IMAGE_EXTENSIONS)}
    return VideoConfig if any(path.suffix.lower() in known for path in files) else FolderConfig


def place_at(root: str) -> Place:
    """Find data in a place: there, or in folders `train` and `val` in it.

    Raises:
        DataError: there is none, or it is laid out in a way that nothing reads; the message says how to change that.
    """
    if is_remote(root):
        return Place(stored=ShardsConfig, root=root)
    place = expanded(root)
    if not place.exists():
        raise DataError("there is no such file or folder", file=root, fix="name a data folder, a video or a pack")
    if place.name == IMAGES and _is_data(place.parent):
        root, place = str(Path(root).parent), place.parent
    inside = [Path(root) / name for name in _TRAIN if _is_data(place / name)]
    if inside and (any(_pictures(place)) or not _is_data(place)):  # pictures beside such a folder are no frames
        return Place(stored=stored_at(str(inside[0])), root=str(inside[0]), val_root=_beside(inside[0]))
    if _is_data(place):
        return Place(stored=stored_at(root), root=root, val_root=_beside(Path(root)))
    raise _unread(place)


def _is_data(place: Path) -> bool:
    stored = stored_at(str(place))
    return stored is not FolderConfig or no_folder(place / IMAGES) is None


def _beside(root: Path) -> str | None:
    """Return the folder of held-out data beside one that is called `train`, if it is stored alike."""
    if root.name not in _TRAIN:
        return None
    others = (root.parent / name for name in _HELD_OUT)
    there = (str(other) for other in others if no_folder(expanded(other)) is None and _is_data(expanded(other)))
    return next((other for other in there if stored_at(other) is stored_at(str(root))), None)


def _unread(place: Path) -> DataError:
    """Say what to do about a place that holds no data in any layout that is read."""
    expected = f"expected {IMAGES}/SEQUENCE/FRAME.png in it, videos, or an {INDEX} of data:pack"
    if place.is_file():
        return DataError("is no video", file=str(place), fix=f"videos end in {', '.join(VIDEO_EXTENSIONS)}")
    parent, images = (shlex.quote(f"{place.name}-data{below}") for below in ("", f"/{IMAGES}"))
    if any(any(_pictures(below)) for below in sorted(place.iterdir()) if below.is_dir()):
        fix = f"`mkdir -p {parent} && ln -s {shlex.quote(str(place.absolute()))} {images}`, then name {parent}"
        return DataError("holds folders of frames, but they are in no folder images", file=str(place), fix=fix)
    return DataError("holds no data", file=str(place), fix=expected)


def _pictures(place: Path) -> Iterator[Path]:
    found = (path for path in place.iterdir() if not is_left_behind(path.name))
    return (path for path in found if path.suffix.lower() in IMAGE_EXTENSIONS and path.is_file())
