"""Sequences of labels: files in a folder, folders of such folders or of videos, or a data folder as in training."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from pathlib import Path

import attrs
import numpy as np
from torch import Tensor

from vs_data.content import Content, Contents, FolderOfFiles, FramesOfVideo, all_in, content_in
from vs_data.errors import DataError
from vs_data.face_crop import sequence_window
from vs_data.flow import FlowFilesConfig
from vs_data.flows import MotionFiles, flow_folders, motion_files
from vs_data.geometry import Geometry, Window, plan_geometry, same_size
from vs_data.labels import LabelKind, LooseFiles, handler_of, landmarks_among, source_of
from vs_data.landmark_files import read_landmarks
from vs_data.layout import IMAGES, Folder, FrameFiles, Reading, folder_frames
from vs_data.names import frame_of, is_left_behind, same, sort_key
from vs_data.pictures import IMAGE_EXTENSIONS, read_rgb
from vs_data.ranges import PATIENT
from vs_data.seen import Size, size_of
from vs_data.sequences.frames import LabelFrame, LabelRequest, LabelSequence
from vs_data.sequences.motion import FlowAndConfidence, read_motion, refuse_motion
from vs_data.shards import INDEX, scan_shards
from vs_data.videos import VIDEO_EXTENSIONS, index_of
from vs_data.views import View

ReadSome = Callable[[Sequence[int]], Tensor]
"""Numbers of frames -> their labels of one kind."""

ReadMotion = Callable[[int], FlowAndConfidence]
"""Number of a frame -> its motion."""


_ROOM = 2**26
"""Bytes that decoded frames of videos may take: labels of several kinds may be asked of one."""


@attrs.frozen(kw_only=True)
class Listed:
    """One sequence: its name, and of each kind the source (see `source_of`) with the data of all frames.

    `motion` are the files of the motion of its frames, where they are wanted.
    """

    name: str
    contents: dict[str, Contents]
    motion: tuple[MotionFiles | None, ...] = ()


def open_folder_labels(root: Path, how: LabelRequest) -> tuple[LabelSequence, ...]:
    """Open the sequences of a folder of label files; names alone are read, and the first file of each for its size.

    Args:
        root: a data folder with a folder for each kind in it (`seg_maps/SEQ/FRAME.png`, or `seg_maps/SEQ.mkv`), a pack
            of one, a folder of sequences, or a folder of files, which is one sequence. The last two have labels of one
            kind, or pictures that labels of any number of kinds are computed from, and no motion.
        how: what they are, and how they are to be read.

    Raises:
        DataError: there are no such files, kinds do not agree in their frames, or a first file is bad.
    """
    return tuple(_sequence(listed, how) for listed in list_sequences(root, how))


def list_sequences(root: Path, how: LabelRequest) -> tuple[Listed, ...]:
    """List the sequences below a folder; see `open_folder_labels`."""
    if (root / INDEX).is_file():
        return _from_pack(root, how)
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
    """Return the data of a sequence through a geometry; those of pictures are among them if they were listed."""
    first = next(iter(listed.contents.values()), None)  # none: labels of given pictures are computed
    frames = () if first is None else tuple(_names_in(first))
    return View(files=FrameFiles(name=listed.name, frames=frames, files=listed.contents), geometry=geometry)


def content_at(listed: Listed, folder: str, frame: int) -> Content:
    """Return the data of a frame of a sequence in one folder."""
    content = content_in(listed.contents[folder], frame)
    assert content is not None  # noqa: S101 - every frame that is listed has some
    return content


def _names_in(contents: Contents) -> Iterator[str]:
    """Yield the names of frames, which those of videos have not but for their numbers."""
    for frame in range(contents.count):
        content = content_in(contents, frame)
        match content:
            case Path():
                yield frame_of(content.name)
            case _:
                yield f"{frame:06d}"


def face_geometry(listed: Listed, picture: tuple[int, int], how: LabelRequest) -> Geometry:
    """Return the geometry that pictures of a size, or landmarks in them, go through to the size of the frames."""
    return plan_geometry(picture, how.size, how.augment, None, _window(listed, picture, how))


def _window(listed: Listed, picture: tuple[int, int], how: LabelRequest) -> Window | None:
    kind = landmarks_among(how.kinds)
    if how.face_crop is None or kind is None:
        return None
    return sequence_window(listed.contents[kind.folder], picture, how.size, how.face_crop)


def _from_data_folder(root: Path, by_kind: dict[str, Path], how: LabelRequest) -> tuple[Listed, ...]:
    first = next(iter(by_kind))
    found = []
    for sequence in _sequences(by_kind[first], first, how):
        contents = {name: contents_at(place, sequence, name, how) for name, place in by_kind.items()}
        pictures = contents_at(root / IMAGES, sequence, IMAGES, how) if IMAGES not in by_kind else None
        known = {name: each for name, each in contents.items() if each is not None}
        lacking = next((name for name in contents if name not in known), None)
        if lacking is not None:
            raise DataError("has no such sequence", file=str(by_kind[lacking] / sequence), fix="add its labels")
        known |= {} if pictures is None else {IMAGES: pictures}
        for other in known.values():
            _check_same(known[first], other)
        motion = () if how.motion is None else _motion_files(root, sequence, known[first], how.motion, how)
        found.append(Listed(name=sequence, contents=known, motion=motion))
    return _some(found, by_kind[first])


def _from_pack(root: Path, how: LabelRequest) -> tuple[Listed, ...]:
    """List the sequences of a pack with all that the kinds need, and pictures, which say how large these are."""
    names = dict.fromkeys((*map(source_of, how.kinds), IMAGES))
    moving = () if how.motion is None else flow_folders(how.motion)
    folders = [*(Folder(name=name, extensions=()) for name in names if name != IMAGES), *moving]
    images = Folder(name=IMAGES, extensions=IMAGE_EXTENSIONS, videos=True)
    layout = scan_shards(str(root), images, folders, Reading(min_frames=1, order=how.order, room=_ROOM), PATIENT)
    for finding in layout.findings:
        if finding.severity == "error":
            raise DataError(finding.what, file=finding.file, fix=finding.fix)
    return tuple(_packed(files, tuple(names), how.motion) for files in layout.sequences)


def _packed(files: FrameFiles, names: Sequence[str], motion: FlowFilesConfig | None) -> Listed:
    """Return a sequence of a pack, with the motion of each frame but the first if it is wanted."""
    moving = () if motion is None else tuple(motion_files(motion, files, at) for at in range(len(files.frames)))
    return Listed(name=files.name, contents={name: files.files[name] for name in names}, motion=moving)


def _from_plain_folder(root: Path, kind: LabelKind, how: LabelRequest) -> tuple[Listed, ...]:
    source, extensions = source_of(kind), handler_of(kind).extensions
    here = _files(root, extensions, how)
    if here:
        found: dict[str, Contents | None] = {
            root.resolve().name: FolderOfFiles(place=str(root), names=here),
        }
    else:
        found = {name: contents_at(root, name, source, how) for name in _sequences(root, source, how)}
    listed = [Listed(name=name, contents={source: each}) for name, each in found.items() if each and each.count]
    if not listed:
        what = f"holds no labels: expected files ending in {', '.join(extensions)}, or folders of such files"
        what += ", or of videos" if _video_extensions(source, how) else ""
        raise DataError(what, file=str(root), fix=f"the model takes {kind.kind}")
    return tuple(listed)


def _some(found: Sequence[Listed], place: Path) -> tuple[Listed, ...]:
    with_files = tuple(listed for listed in found if all(each.count for each in listed.contents.values()))
    if not with_files:
        raise DataError("holds no sequences", file=str(place), fix="put label files into folders in it, one a sequence")
    return with_files


def _check_same(first: Contents, other: Contents) -> None:
    """See that two places have the same frames of a sequence: by their names, or as many where one is a video."""
    match first, other:
        case FolderOfFiles(), FolderOfFiles():
            wanted, there = ({same(name) for name in _names_in(each)} for each in (first, other))
            for stem in sorted(wanted ^ there):
                lacking = other if stem in wanted else first
                raise DataError(f"has no file of frame {stem}", file=lacking.place, fix="add it, or remove the others")
        case _ if first.count != other.count:
            what = f"has {other.count} frames, {first.place} has {first.count}"
            raise DataError(what, file=other.place, fix="one for each frame is needed, in their order")


def _motion_files(
    root: Path, sequence: str, frames: Contents, config: FlowFilesConfig, how: LabelRequest
) -> tuple[MotionFiles | None, ...]:
    """Return the files of the motion of each frame but the first, which has none."""
    names = tuple(_names_in(frames))
    folders = flow_folders(config)
    contents = {
        folder.name: _motion_in(root / folder.name / sequence, folder, frames, names, how) for folder in folders
    }
    files = FrameFiles(name=sequence, frames=names, files=contents)
    return tuple(motion_files(config, files, index) for index in range(frames.count))


def _motion_in(place: Path, folder: Folder, frames: Contents, names: Sequence[str], how: LabelRequest) -> FolderOfFiles:
    """Return the files of a sequence in a folder of motion, where each frame that needs one has its own."""
    other = "first" if 0 in folder.may_lack else "last"
    fix = f"the model estimates no motion: write that of every frame but the {other}"
    found = _files(place, folder.extensions, how)
    match frames:
        case FolderOfFiles():
            there = {same(frame_of(name)): name for name in found}
            missing = next((name for name in folder_frames(folder, names) if same(name) not in there), None)
            if missing is not None:
                raise DataError(f"has no file of frame {missing}", file=str(place), fix=fix)
            return FolderOfFiles(place=str(place), names=tuple(there.get(same(name)) for name in names))
        case _:
            numbers = list(range(frames.count))
            numbers = numbers if len(found) == frames.count else folder_frames(folder, numbers)
            if len(found) != len(numbers):
                what = f"has {len(found)} files, {frames.place} has {frames.count} frames"
                raise DataError(what, file=str(place), fix=fix)
            by_number = dict(zip(numbers, found, strict=True))
            return FolderOfFiles(place=str(place), names=tuple(by_number.get(number) for number in range(frames.count)))


def contents_at(place: Path, sequence: str, source: str, how: LabelRequest) -> Contents | None:
    """Return the data of a sequence in a folder: files in a folder of its own, or a video; None: neither is there."""
    if (place / sequence).is_dir():
        return FolderOfFiles(place=str(place / sequence), names=_files(place / sequence, _extensions(source, how), how))
    endings = _video_extensions(source, how)
    videos = [path for path in (entries_of(place) if endings and place.is_dir() else ()) if _is_video(path, endings)]
    video = next((path for path in videos if same(path.stem) == same(sequence)), None)
    return None if video is None else FramesOfVideo(video=video, count=index_of(video).count, room=_ROOM)


def _video_extensions(source: str, how: LabelRequest) -> tuple[str, ...]:
    """Return how names of videos end that may stand for the files of a sequence."""
    taken = source == IMAGES or any(handler_of(kind).videos for kind in how.kinds if source_of(kind) == source)
    return VIDEO_EXTENSIONS if taken else ()


def _extensions(name: str, how: LabelRequest) -> tuple[str, ...]:
    if name == IMAGES:
        return IMAGE_EXTENSIONS
    return next(handler_of(kind).extensions for kind in how.kinds if source_of(kind) == name)


def _is_video(path: Path, endings: Sequence[str]) -> bool:
    return path.suffix.lower() in endings and path.is_file()


def _sequences(place: Path, source: str, how: LabelRequest) -> list[str]:
    """Return the names of sequences in a folder, which are folders or videos."""
    endings = _video_extensions(source, how)
    names = {
        path.name if path.is_dir() else path.stem
        for path in entries_of(place)
        if path.is_dir() or _is_video(path, endings)
    }
    return sorted(names, key=sort_key(how.order))


def _files(place: Path, extensions: Sequence[str], how: LabelRequest) -> tuple[str, ...]:
    names = [path.name for path in entries_of(place) if path.suffix.lower() in extensions and not path.is_dir()]
    key = sort_key(how.order)
    return tuple(sorted(names, key=lambda name: (key(frame_of(name)), name)))


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
            raise DataError(what, file=listed.contents[source_of(kind)].place, fix="bring all kinds to one size")
    count = how.limit(listed.contents[first].count)
    readers = {folder: read for folder, (_, read) in opened.items()}
    motion = _motion(listed, size, how)
    read = partial(_read, listed, first, readers, motion, count)
    return LabelSequence(name=listed.name, frames=count, size=size, read=read)


def _motion(listed: Listed, size: Size, how: LabelRequest) -> ReadMotion | None:
    """Return what reads the motion of a frame as its labels are read; the first file is looked at now."""
    if how.motion is None:
        return None
    config = how.motion
    geometry = face_geometry(listed, _picture_size(listed, how), how) if _framed(how) else same_size(size)
    for files in listed.motion[1:2]:
        read_motion(files, config, geometry)
    return lambda index: read_motion(listed.motion[index], config, geometry)


def _read(
    listed: Listed, first: str, readers: Mapping[str, ReadSome], motion: ReadMotion | None, count: int
) -> Iterator[LabelFrame]:
    for index, name in enumerate(islice(_names_in(listed.contents[first]), count)):
        labels = {folder: read([index])[0] for folder, read in readers.items()}
        yield LabelFrame(
            labels=labels,
            name=name,
            where=str(content_at(listed, first, index)),
            motion=None if motion is None else motion(index),
        )


def _loose(kind: LabelKind, listed: Listed, how: LabelRequest) -> LooseFiles:
    return LooseFiles(
        first=content_at(listed, source_of(kind), 0),
        view=partial(view_of, listed),
        geometry=lambda: face_geometry(listed, _picture_size(listed, how), how),
        framed=_framed(how),
        target=None if how.subject is None else how.subject.targets.get(kind.folder),
    )


def _framed(how: LabelRequest) -> bool:
    return any(handler_of(each).framed for each in how.kinds)


def _picture_size(listed: Listed, how: LabelRequest) -> Size:
    """Return (H, W) of the pictures that landmarks are pixels of: as pictures, maps or the caller say, or a guess."""
    if IMAGES in listed.contents:
        return size_of(read_rgb(content_at(listed, IMAGES, 0)))
    own = (handler_of(kind).look(content_at(listed, source_of(kind), 0), None).size for kind in how.kinds)
    return next((size for size in own if size is not None), how.picture) or _guessed_size(listed, how)


def _guessed_size(listed: Listed, how: LabelRequest) -> Size:
    """Guess (H, W) of the pictures of landmarks: that of the frames, unless the face is cut out of them.

    Then the place of the face does not matter, and the picture has space on its right and below it for its whole way.
    """
    kind = landmarks_among(how.kinds)
    if kind is None or how.face_crop is None:
        return how.size
    track = np.stack([read_landmarks(content) for content in all_in(listed.contents[kind.folder])])
    low, high = track.min(axis=(0, 1)), track.max(axis=(0, 1))
    width, height = (math.ceil(end + (end - start)) for start, end in zip(low, high, strict=True))
    return max(height, how.size[0]), max(width, how.size[1])
