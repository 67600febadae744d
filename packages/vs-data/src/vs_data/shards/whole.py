"""All that a data folder holds, whatever it is called, so that it can be packed without a configuration."""

from collections.abc import Callable, Iterator
from pathlib import Path

from vs_data.errors import DataError
from vs_data.flows import FLOW_ALONE, FLOW_EXTENSIONS
from vs_data.layout import IMAGES, Folder, Layout, Reading, scan_layout, scan_videos
from vs_data.names import Order, is_left_behind, same, sort_key
from vs_data.pictures import IMAGE_EXTENSIONS
from vs_data.videos import VIDEO_EXTENSIONS, index_all

_IMAGES = Folder(name=IMAGES, extensions=IMAGE_EXTENSIONS, videos=True)


def whole_layout(root: Path, order: Order = "name") -> Layout:
    """List a data folder, a video or a folder of videos, with everything that lies beside the pictures.

    Args:
        root: What is listed.
        order: How sequences and frames sort, by which files belong to the frames of videos.

    Raises:
        DataError: there is no such folder, or names do not agree: the first such finding.
    """
    layout = scan_whole(root, order)
    errors = [finding for finding in layout.findings if finding.severity == "error"]
    if errors:
        more = f" (and {len(errors) - 1} more: look at them with vs-data check)" if len(errors) > 1 else ""
        raise DataError(errors[0].what, file=errors[0].file, fix=errors[0].fix + more)
    return layout


def scan_whole(root: Path, order: Order = "name") -> Layout:
    """List what `whole_layout` does, with everything that names say is wrong among its findings.

    Raises:
        DataError: there is no such folder.
    """
    how = Reading(min_frames=1, order=order)
    if not root.exists():
        fix = "expected a data folder, a video or a folder of videos"
        raise DataError("there is no such file or folder", file=str(root), fix=fix)
    if (root / IMAGES).is_dir():
        return scan_layout(root, _IMAGES, list(_others(root, None, order)), how)
    videos = {path.stem for path in _videos(root)}
    alone = {root.stem if root.is_file() else root.name}  # a video, or a folder of its frames
    place, names = (root, videos) if videos else (root.parent, alone)
    return scan_videos(root, _IMAGES, list(_others(place, names, order)), how)


def index_whole(root: Path, progress: Callable[[int, int], None]) -> None:
    """Read the videos that `scan_whole` lists from end to end, which it does if this has not.

    Args:
        root: What is to be listed.
        progress: Called with (videos done, videos in all).
    """
    base = root.parent if root.is_file() else root
    sequences = [root] if root.is_file() else _within(base / IMAGES if (base / IMAGES).is_dir() else base)
    names = {path.stem for path in sequences}
    beside = [path for folder in _within(base) for path in _within(folder) if path.stem in names]
    index_all(dict.fromkeys([*sequences, *beside]), progress)


def _within(place: Path) -> list[Path]:
    """Return what is in a folder; nothing where nobody may look, and of what is none."""
    try:
        return sorted(place.iterdir())
    except OSError:
        return []


def _videos(root: Path) -> Iterator[Path]:
    return (path for path in _within(root) if path.suffix.lower() in VIDEO_EXTENSIONS)


def _others(root: Path, names: set[str] | None, order: Order) -> Iterator[Folder]:
    """Yield the folders beside pictures, those alone that hold something of the named sequences; None: all."""
    for place in _within(root):
        if place.name == IMAGES or is_left_behind(place.name) or not place.is_dir():
            continue
        if names is not None and not any(path.stem in names for path in _within(place)):
            continue
        endings = {path.suffix.lower() for path in place.glob("*/*") if not is_left_behind(path.name)}
        may_lack = _lacking(root / IMAGES, place, order) if endings and endings <= set(FLOW_EXTENSIONS) else ()
        yield Folder(name=place.name, extensions=tuple(sorted(endings)), may_lack=may_lack, videos=True)


def _lacking(images: Path, place: Path, order: Order) -> tuple[int, ...]:
    """Return which frame has no file in a folder that may be of flow, or of its masks: the first or the last.

    It is the one that no sequence has. Where nothing tells, as beside videos, it is the first of files of flow alone.
    """
    lacking = {0, -1}
    for sequence in images.glob("*/"):
        stems = (path.stem for path in sequence.iterdir() if not is_left_behind(path.name))
        frames = sorted(stems, key=sort_key(order))
        there = {same(path.stem) for path in (place / sequence.name).glob("*")}
        if len(frames) > 1:
            lacking = {index for index in lacking if same(frames[index]) not in there}
    if len(lacking) == 1:
        return tuple(lacking)
    return (0,) if all(path.suffix.lower() in FLOW_ALONE for path in place.glob("*/*")) else ()
