"""Sequences of label files: a folder of them, a folder of such folders, or a data folder as training reads it."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import attrs
import numpy as np
from torch import Tensor

from vs_data.content import Contents, FolderOfFiles
from vs_data.errors import DataError
from vs_data.face_crop import sequence_window
from vs_data.flow import FLOW_EXTENSIONS
from vs_data.geometry import Geometry, Window, plan_geometry, same_size
from vs_data.labels import LabelKind, LooseFiles, handler_of, landmarks_among, source_of
from vs_data.landmark_files import read_landmarks
from vs_data.layout import IMAGES, FrameFiles
from vs_data.names import is_left_behind, same, sort_key
from vs_data.pictures import IMAGE_EXTENSIONS, read_rgb
from vs_data.seen import Size, size_of
from vs_data.sequences.frames import LabelFrame, LabelRequest, LabelSequence
from vs_data.sequences.motion import FlowAndConfidence, read_motion, refuse_motion
from vs_data.views import View

ReadSome = Callable[[Sequence[int]], Tensor]
"""Numbers of frames -> their labels of one kind."""

ReadMotion = Callable[[int], FlowAndConfidence]
"""Number of a frame -> its motion."""


@attrs.frozen(kw_only=True)
class Listed:
    """The files of one sequence: its name, and of each kind the source (see `source_of`) with the files in order.

    `motion` are the flow files of its frames, where they are wanted.
    """

    name: str
    places: dict[str, Path]
    files: dict[str, tuple[str, ...]]
    motion: tuple[Path | None, ...] = ()


def open_folder_labels(root: Path, how: LabelRequest) -> tuple[LabelSequence, ...]:
    """Open the sequences of a folder of label files; names alone are read, and the first file of each for its size.

    Args:
        root: a data folder with a folder for each kind in it (`seg_maps/SEQ/FRAME.png`), a folder of sequences, or a
            folder of files, which is one sequence. The last two have labels of one kind, or pictures that labels of
            any number of kinds are computed from, and no motion.
        how: what they are, and how they are to be read.

    Raises:
        DataError: there are no such files, kinds do not agree in their frames, or a first file is bad.
    """
    return tuple(_sequence(listed, how) for listed in list_sequences(root, how))


def list_sequences(root: Path, how: LabelRequest) -> tuple[Listed, ...]:
    """List the sequences below a folder; see `open_folder_labels`."""
    by_kind = {folder: root / folder for folder in map(source_of, how.kinds)}
    if all(place.is_dir() for place in by_kind.values()):
        return _from_data_folder(root, by_kind, how)
    if len(by_kind) > 1:
        missing = next(name for name, place in by_kind.items() if not place.is_dir())
        names = ", ".join(f"{name}/" for name in by_kind)
        raise DataError("has no such folder", file=str(root / missing), fix=f"the model takes several kinds: {names}")
    kind = how.kinds[0]
    refuse_motion(how, str(root), "a folder of labels alone")
    return _from_plain_folder(root, kind, how)


def view_of(listed: Listed, geometry: Geometry) -> View:
    """Return the files of a sequence through a geometry; those of pictures are among them if they were listed."""
    first = next(iter(listed.files.values()), ())  # none: labels of given pictures are computed
    files = FrameFiles(
        name=listed.name,
        frames=tuple(Path(name).stem for name in first),
        files={folder: contents_in(listed, folder) for folder in listed.files},
    )
    return View(files=files, geometry=geometry)


def contents_in(listed: Listed, folder: str) -> Contents:
    """Return the files of a sequence in one folder."""
    return FolderOfFiles(place=str(listed.places[folder]), names=listed.files[folder])


def face_geometry(listed: Listed, picture: tuple[int, int], how: LabelRequest) -> Geometry:
    """Return the geometry that pictures of a size, or landmarks in them, go through to the size of the frames."""
    return plan_geometry(picture, how.size, how.augment, None, _window(listed, picture, how))


def _window(listed: Listed, picture: tuple[int, int], how: LabelRequest) -> Window | None:
    kind = landmarks_among(how.kinds)
    if how.face_crop is None or kind is None:
        return None
    return sequence_window(contents_in(listed, kind.folder), picture, how.size, how.face_crop)


def _from_data_folder(root: Path, by_kind: dict[str, Path], how: LabelRequest) -> tuple[Listed, ...]:
    first = next(iter(by_kind))
    found = []
    for sequence in _folders(by_kind[first], how):
        places = {name: place / sequence for name, place in by_kind.items()}
        if IMAGES not in places and (root / IMAGES / sequence).is_dir():
            places[IMAGES] = root / IMAGES / sequence
        files = {name: _files(place, _extensions(name, how), how) for name, place in places.items()}
        for other in places:
            _check_same(places, files, first, other)
        motion = () if how.motion is None else _motion_files(root / how.motion.folder / sequence, files[first])
        found.append(Listed(name=sequence, places=places, files=files, motion=motion))
    return _some(found, by_kind[first])


def _from_plain_folder(root: Path, kind: LabelKind, how: LabelRequest) -> tuple[Listed, ...]:
    extensions = handler_of(kind).extensions
    here = _files(root, extensions, how)
    places = {root.resolve().name: root} if here else {name: root / name for name in _folders(root, how)}
    listed = [
        Listed(name=name, places={source_of(kind): place}, files={source_of(kind): files})
        for name, place in places.items()
        if (files := _files(place, extensions, how))
    ]
    if not listed:
        what = f"holds no labels: expected files ending in {', '.join(extensions)}, or folders of such files"
        raise DataError(what, file=str(root), fix=f"the model takes {kind.kind}")
    return tuple(listed)


def _some(found: Sequence[Listed], place: Path) -> tuple[Listed, ...]:
    with_files = tuple(listed for listed in found if all(listed.files.values()))
    if not with_files:
        raise DataError("holds no sequences", file=str(place), fix="put label files into folders in it, one a sequence")
    return with_files


def _check_same(places: dict[str, Path], files: dict[str, tuple[str, ...]], first: str, other: str) -> None:
    """See that two folders of a sequence have files of the same names."""
    wanted, there = ({same(Path(name).stem) for name in files[each]} for each in (first, other))
    for stem in sorted(wanted ^ there):
        lacking = other if stem in wanted else first
        raise DataError(f"has no file of frame {stem}", file=str(places[lacking]), fix="add it, or remove the others")


def _motion_files(place: Path, frames: Sequence[str]) -> tuple[Path | None, ...]:
    """Return the flow file of each frame but the first, which has no motion."""
    there = {same(path.stem): path for path in entries_of(place) if path.suffix.lower() in FLOW_EXTENSIONS}
    stems = [Path(name).stem for name in frames[1:]]
    missing = next((stem for stem in stems if same(stem) not in there), None)
    if missing is not None:
        fix = "the model estimates no motion: write that of every frame but the first"
        raise DataError(f"has no file of frame {missing}", file=str(place), fix=fix)
    return (None, *(there[same(stem)] for stem in stems))


def _extensions(name: str, how: LabelRequest) -> tuple[str, ...]:
    if name == IMAGES:
        return IMAGE_EXTENSIONS
    return next(handler_of(kind).extensions for kind in how.kinds if source_of(kind) == name)


def _folders(place: Path, how: LabelRequest) -> list[str]:
    names = [path.name for path in entries_of(place) if path.is_dir()]
    return sorted(names, key=sort_key(how.order))


def _files(place: Path, extensions: Sequence[str], how: LabelRequest) -> tuple[str, ...]:
    names = [path.name for path in entries_of(place) if path.suffix.lower() in extensions and not path.is_dir()]
    return tuple(sorted(names, key=sort_key(how.order)))


def entries_of(place: Path) -> list[Path]:
    """List what is in a folder, without what systems leave behind; `DataError` when it cannot be listed."""
    try:
        return [path for path in place.iterdir() if not is_left_behind(path.name)]
    except OSError as failure:
        problem = f"cannot be listed: {failure.strerror}"
        raise DataError(problem, file=str(place), fix="check its name and permissions") from None


def _sequence(listed: Listed, how: LabelRequest) -> LabelSequence:
    opened = {kind.folder: handler_of(kind).open_loose(_loose(kind, listed, how)) for kind in how.kinds}
    first, size = next((source_of(kind), opened[kind.folder][0]) for kind in how.kinds)
    for kind in how.kinds:
        other, _ = opened[kind.folder]
        if other != size:
            what = f"labels are {other[1]}x{other[0]} pixels, those of {first} {size[1]}x{size[0]}"
            raise DataError(what, file=str(listed.places[source_of(kind)]), fix="bring all kinds to one size")
    count = how.limit(len(listed.files[first]))
    readers = {folder: read for folder, (_, read) in opened.items()}
    motion = _motion(listed, size, how)
    read = partial(_read, listed, first, readers, motion, count)
    return LabelSequence(name=listed.name, frames=count, size=size, read=read)


def _motion(listed: Listed, size: Size, how: LabelRequest) -> ReadMotion | None:
    """Return what reads the motion of a frame as its labels are read; the first file is looked at now."""
    if how.motion is None:
        return None
    geometry = face_geometry(listed, _picture_size(listed, how), how) if _framed(how) else same_size(size)
    for path in listed.motion[1:2]:
        read_motion(path, geometry)
    return lambda index: read_motion(listed.motion[index], geometry)


def _read(
    listed: Listed, first: str, readers: Mapping[str, ReadSome], motion: ReadMotion | None, count: int
) -> Iterator[LabelFrame]:
    for index in range(count):
        name = listed.files[first][index]
        labels = {folder: read([index])[0] for folder, read in readers.items()}
        yield LabelFrame(
            labels=labels,
            name=Path(name).stem,
            where=str(listed.places[first] / name),
            motion=None if motion is None else motion(index),
        )


def _loose(kind: LabelKind, listed: Listed, how: LabelRequest) -> LooseFiles:
    return LooseFiles(
        first=_first(kind, listed),
        view=partial(view_of, listed),
        geometry=lambda: face_geometry(listed, _picture_size(listed, how), how),
        framed=_framed(how),
        target=None if how.subject is None else how.subject.targets.get(kind.folder),
    )


def _framed(how: LabelRequest) -> bool:
    return any(handler_of(each).framed for each in how.kinds)


def _first(kind: LabelKind, listed: Listed) -> Path:
    source = source_of(kind)
    return listed.places[source] / listed.files[source][0]


def _picture_size(listed: Listed, how: LabelRequest) -> Size:
    """Return (H, W) of the pictures that landmarks are pixels of: as pictures, maps or the caller say, or a guess."""
    if IMAGES in listed.files:
        return size_of(read_rgb(listed.places[IMAGES] / listed.files[IMAGES][0]))
    own = (handler_of(kind).look(_first(kind, listed), None).size for kind in how.kinds)
    return next((size for size in own if size is not None), how.picture) or _guessed_size(listed, how)


def _guessed_size(listed: Listed, how: LabelRequest) -> Size:
    """Guess (H, W) of the pictures of landmarks: that of the frames, unless the face is cut out of them.

    Then the place of the face does not matter, and the picture has space on its right and below it for its whole way.
    """
    kind = landmarks_among(how.kinds)
    if kind is None or how.face_crop is None:
        return how.size
    place = listed.places[kind.folder]
    track = np.stack([read_landmarks(place / name) for name in listed.files[kind.folder]])
    low, high = track.min(axis=(0, 1)), track.max(axis=(0, 1))
    width, height = (math.ceil(end + (end - start)) for start, end in zip(low, high, strict=True))
    return max(height, how.size[0]), max(width, how.size[1])
