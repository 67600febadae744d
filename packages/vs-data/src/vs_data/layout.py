"""The layout of a data folder: images/SEQ/FRAME.ext and, beside it, one folder per kind of data, names alike.

A video, images/SEQ.mp4, may stand for a folder of pictures, and for one of labels that are pictures.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypeVar

import attrs

from vs_data.content import Content, Contents, FolderOfFiles, FramesOfVideo, content_in, part_of
from vs_data.errors import DataError
from vs_data.findings import Finding, counted, error, warning
from vs_data.names import Order, frame_of, is_left_behind, same, sort_key
from vs_data.order import check_order
from vs_data.videos import VIDEO_EXTENSIONS, first_of_last, index_of

IMAGES = "images"


@attrs.frozen(kw_only=True)
class Folder:
    """One folder of the layout.

    Attributes:
        name: Name inside the root.
        extensions: Allowed file name extensions, lower case, with the dot.
        may_lack: Frames of a sequence that need no file there, 0 and -1: the first has no motion from the one before.
        videos: Whether a video may stand for the files of a sequence.
    """

    name: str
    extensions: tuple[str, ...]
    may_lack: tuple[int, ...] = ()
    videos: bool = False


@attrs.frozen(kw_only=True)
class FrameFiles:
    """One sequence: the frames' names in order, and per folder where the data of each frame are.

    Attributes:
        name: Name of the sequence.
        frames: Names without extension, in their order.
        files: Folder name -> where its data of the sequence are, frame by frame; names may be encoded otherwise there
            than among the images.
    """

    name: str
    frames: tuple[str, ...]
    files: Mapping[str, Contents]


@attrs.frozen(kw_only=True)
class Layout:
    """The contents of a data folder, by names alone."""

    root: str
    sequences: tuple[FrameFiles, ...]
    findings: tuple[Finding, ...]


@attrs.frozen(kw_only=True)
class Reading:
    """The way in which a layout is read.

    Attributes:
        min_frames: Sequences with fewer frames are an error.
        order: How sequences and frames sort.
        room: Bytes that decoded frames of videos may take in a process.
    """

    min_frames: int
    order: Order = "name"
    room: int = 0


@attrs.frozen(kw_only=True)
class _Listed:
    """The files of a sequence in one folder.

    Attributes:
        name: Of the sequence, as it is written in this folder.
        place: Their folder, or the video.
        files: Name of the frame, `same` for all encodings -> name of the file; frames of a video are numbers.
        video: Whether it is a video.
        count: How many frames there are, those that belong to none of the pictures among them.
    """

    name: str
    place: Path
    files: Mapping[str, str]
    video: bool = False
    count: int = attrs.field(default=attrs.Factory(lambda self: len(self.files), takes_self=True))


_Frame = TypeVar("_Frame")

_SortKey: TypeAlias = Callable[[str], Any]

_Listing = Mapping[str, Mapping[str, _Listed]]
"""Folder -> sequence, `same` for all encodings -> its files there."""


def file_of(folder: str, sequence: FrameFiles, frame: int) -> Content | None:
    """Return the data of one frame in one folder, or None where the layout needs none."""
    return content_in(sequence.files[folder], frame)


def expanded(path: str | Path) -> Path:
    """Return the path with the home folder in the place of a leading `~` or `~NAME`.

    Raises:
        DataError: nobody here has that name.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise DataError("there is no such user", file=str(path), fix="write the folder's whole path") from None


def scan_layout(root: Path, images: Folder, others: Sequence[Folder], how: Reading) -> Layout:
    """List a data folder and everything that its names say is wrong; no file is opened, but videos for their index.

    Names that differ only in how accents are encoded are the same name; what systems leave behind is passed over.

    Args:
        root: The data folder.
        images: Its folder of pictures, which says what sequences and frames there are.
        others: Its other folders.
        how: How all of it is read.

    Raises:
        DataError: the root is missing, is no folder, or has no folder of images.
    """
    for folder in (root, _place(root, images.name)):
        what = no_folder(folder)
        if what is not None:
            raise DataError(
                what, file=str(folder), fix=f"expected {images.name}/SEQUENCE/FRAME.png and so on in the root"
            )
    findings: list[Finding] = []
    pictures = _list_folder(root, images, findings)
    return _held_together(root, images, others, pictures, findings, how)


def scan_videos(root: Path, images: Folder, others: Sequence[Folder], how: Reading) -> Layout:
    """List a video, or a folder of them, each of which is a sequence; other data lie in folders beside the videos.

    A folder of frames, without videos, stands for one video.

    Args:
        root: The video or folder.
        images: Says what the pictures are called.
        others: The folders of other data.
        how: How all of it is read.

    Raises:
        DataError: there is no such file or folder.
    """
    findings: list[Finding] = []
    if root.is_file():
        video = _list_video(root, findings)
        found = _held_together(root.parent, images, others, {same(video.name): video}, findings, how, alone=True)
        return attrs.evolve(found, root=str(root))
    what = no_folder(root)
    files = [] if what is not None else [entry for entry in _entries(root, findings) if not _is_folder(entry)]
    if any(_is_video(entry, images) for entry in files):
        return _held_together(root, images, others, _list_sequences(files, images, findings), findings, how)
    if not any(Path(entry.path).suffix.lower() in images.extensions for entry in files):
        fix = f"expected a video, a folder of them, or one of frames: {', '.join(VIDEO_EXTENSIONS)}"
        raise DataError(what or "holds no videos", file=str(root), fix=fix)
    frames = _Listed(name=root.name, place=root, files=_list_sequence(root, images, findings))
    found = _held_together(root.parent, images, others, {same(root.name): frames}, findings, how, alone=True)
    return attrs.evolve(found, root=str(root))


def held_out(layout: Layout, split: Literal["train", "val"], seconds: float, how: Reading) -> Layout:
    """Return what of videos is for training, all but their last seconds, or what is held out, the rest."""
    findings = list(layout.findings)
    sequences = []
    for files in layout.sequences:
        there = files.files[IMAGES]
        match there:
            case FramesOfVideo(video=video, count=count) if count:
                cut = first_of_last(index_of(video), seconds)
                kept = (0, cut) if split == "train" else (cut, count)
                if min(cut, count - cut) < how.min_frames:
                    what = f"has {cut} frames before its last {seconds:g} s, and {count - cut} in them"
                    fix = f"at least {how.min_frames} are needed in each part; choose other val_seconds"
                    findings.append(error(there.place, what, fix))
                sequences.append(part_of_sequence(files, *kept))
            case _:
                sequences.append(files)
    return attrs.evolve(layout, sequences=tuple(sequences), findings=tuple(findings))


def sequences_held_out(layout: Layout, split: Literal["train", "val"], count: int) -> Layout:
    """Return the sequences of a layout that are for training, or the last `count`, which are held out."""
    there = len(layout.sequences)
    cut = max(there - count, 0)
    kept = layout.sequences[:cut] if split == "train" else layout.sequences[cut:]
    if cut:
        return attrs.evolve(layout, sequences=kept)
    what = f"has {counted(there, 'sequence')}, of which {count} are to be held out"
    return attrs.evolve(layout, findings=(*layout.findings, error(layout.root, what, "choose fewer val_sequences")))


def part_of_sequence(files: FrameFiles, start: int, stop: int) -> FrameFiles:
    """Return frames `start` to `stop` - 1 of a sequence."""
    parts = {folder: part_of(contents, start, stop) for folder, contents in files.files.items()}
    return attrs.evolve(files, frames=files.frames[start:stop], files=parts)


def _held_together(
    root: Path,
    images: Folder,
    others: Sequence[Folder],
    pictures: Mapping[str, _Listed],
    findings: list[Finding],
    how: Reading,
    *,
    alone: bool = False,
) -> Layout:
    """Hold the other folders against the pictures, which say what sequences and frames there are.

    `alone`: whether sequences that are in other folders alone belong to pictures that were not asked for.
    """
    key = sort_key(how.order)
    listing = {images.name: pictures}
    for folder in others:
        found = _list_folder(root, folder, findings)
        listing[folder.name] = {
            name: _by_number(pictures[name], each, folder, key) if name in pictures else each
            for name, each in found.items()
            if name in pictures or not alone
        }
    sequences = []
    for name, listed in sorted(pictures.items(), key=lambda item: key(item[1].name)):
        frames = _sorted(listed, key)
        files = _frame_files(root, name, frames, listing, images, how.room)
        sequences.append(files)
        if files.frames or not listed.video:  # of a video without frames it is known why
            findings.extend(_check_sequence(str(listed.place), files.frames, how.min_frames))
        for other in others:
            if name in listing[other.name]:
                findings.extend(_compare(images, other, listed, listing[other.name][name], frames))
    for other in others:
        findings.extend(_compare_sequences(root, images, other, listing))
    if not pictures:
        place = _place(root, images.name)
        findings.append(error(place, "has no sequences", f"put frames into {images.name}/SEQUENCE/"))
    return Layout(root=str(root), sequences=tuple(sequences), findings=tuple(findings))


def _sorted(listed: _Listed, key: _SortKey) -> list[str]:
    if listed.video:
        return list(listed.files)
    return sorted(listed.files, key=lambda frame: key(frame_of(listed.files[frame])))


def _by_number(pictures: _Listed, found: _Listed, folder: Folder, key: _SortKey) -> _Listed:
    """Call files by the frames of the pictures in order where one of both is a video, whose frames have no names."""
    if pictures.video == found.video:
        return found
    frames, names = _sorted(pictures, key), _sorted(found, key)
    if folder.may_lack and len(names) == len(frames) - 1:
        del frames[folder.may_lack[0]]
    return attrs.evolve(found, files=dict(zip(frames, (found.files[name] for name in names), strict=False)))


def folder_frames(folder: Folder, frames: Sequence[_Frame]) -> list[_Frame]:
    """Return those frames of a sequence that need a file in a folder."""
    lacking = {index % len(frames) for index in folder.may_lack} if frames else set()
    return [frame for index, frame in enumerate(frames) if index not in lacking]


def no_folder(path: Path) -> str | None:
    """Say why something is not a folder that can be looked into, or None."""
    try:
        if path.is_dir():
            return None
        return "is not a folder" if path.exists() else "the folder does not exist"
    except OSError as failure:
        return f"cannot be opened: {failure.strerror}"


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:
        return False


def _place(root: Path, name: str) -> Path:
    """Return the folder of a kind of data: the one of that name, or else one of the same name otherwise encoded."""
    if name.isascii() or _is_there(root / name):
        return root / name
    return next((Path(entry.path) for entry in _entries(root, []) if same(entry.name) == same(name)), root / name)


def _frame_files(
    root: Path, name: str, frames: Sequence[str], listing: _Listing, images: Folder, room: int
) -> FrameFiles:
    images_of = listing[images.name][name]
    empty = _Listed(name=name, place=root, files={})
    listed = {folder: found.get(name, empty) for folder, found in listing.items()}
    return FrameFiles(
        name=images_of.name,
        frames=tuple(Path(images_of.files[frame]).stem for frame in frames),
        files={folder: _contents(found, frames, room) for folder, found in listed.items()},
    )


def _contents(found: _Listed, frames: Sequence[str], room: int) -> Contents:
    if found.video:
        return FramesOfVideo(video=found.place, count=len(found.files), room=room)
    return FolderOfFiles(place=str(found.place), names=tuple(found.files.get(frame) for frame in frames))


def _list_folder(root: Path, folder: Folder, findings: list[Finding]) -> dict[str, _Listed]:
    place = _place(root, folder.name)
    problem = no_folder(place)
    if problem is not None:
        findings.append(error(place, problem, "create it, or leave this kind of data out"))
        return {}
    return _list_sequences(_entries(place, findings), folder, findings)


def _list_sequences(entries: Sequence[os.DirEntry[str]], folder: Folder, findings: list[Finding]) -> dict[str, _Listed]:
    sequences: dict[str, _Listed] = {}
    for entry in entries:
        path, video = Path(entry.path), _is_video(entry, folder)
        name = path.stem if video else entry.name
        known = sequences.get(same(name))
        if not (video or _is_folder(entry)):
            findings.append(_no_sequence(entry, folder))
        elif known is not None:
            what = f"the same sequence as {known.place.name}" + (
                "" if video or known.video else ": only the accents in the names are encoded otherwise"
            )
            findings.append(error(entry.path, what, "remove one of the two, or put their frames together"))
        elif video:
            sequences[same(name)] = _list_video(path, findings)
        else:
            files = _list_sequence(path, folder, findings)
            sequences[same(name)] = _Listed(name=name, place=path, files=files)
    return sequences


def _is_video(entry: os.DirEntry[str], folder: Folder) -> bool:
    return folder.videos and Path(entry.path).suffix.lower() in VIDEO_EXTENSIONS and not _is_folder(entry)


def _list_video(path: Path, findings: list[Finding]) -> _Listed:
    frames: list[str] = []
    try:
        frames = [f"{number:06d}" for number in range(index_of(path).count)]
    except DataError as failure:
        findings.append(error(failure.file or path, failure.what, failure.fix))
    return _Listed(name=path.stem, place=path, files=dict(zip(frames, frames, strict=True)), video=True)


def _no_sequence(entry: os.DirEntry[str], folder: Folder) -> Finding:
    if entry.is_symlink() and not _is_there(Path(entry.path)):
        return error(entry.path, "a link that leads nowhere", "mend or remove it")
    fix = f"put it into a sequence: {folder.name}/SEQUENCE/{entry.name}"
    return warning("files outside of sequences", entry.path, "a file outside of a sequence", fix)


def _list_sequence(place: Path, folder: Folder, findings: list[Finding]) -> dict[str, str]:
    frames: dict[str, str] = {}
    for entry in _entries(place, findings):
        path = Path(entry.path)
        if _is_folder(entry) or path.suffix.lower() not in folder.extensions:
            what = f"not used: expected files ending in {', '.join(folder.extensions)}"
            findings.append(warning("files that are not used", entry.path, what, "convert or remove it"))
        elif same(frame_of(path.name)) in frames:
            other = frames[same(frame_of(path.name))]
            findings.append(error(path, f"the same frame as {other}", "remove one of the two"))
        else:
            frames[same(frame_of(path.name))] = entry.name
    return frames


def _entries(place: Path, findings: list[Finding]) -> list[os.DirEntry[str]]:
    """List what is in a folder by name, without what systems leave behind."""
    try:
        with os.scandir(place) as entries:
            return sorted((entry for entry in entries if not is_left_behind(entry.name)), key=lambda entry: entry.name)
    except OSError as failure:
        findings.append(error(place, f"cannot be listed: {failure.strerror}", "check its permissions"))
        return []


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _check_sequence(place: str, stems: tuple[str, ...], min_frames: int) -> Iterator[Finding]:
    if not stems:
        yield error(place, "the sequence is empty", "add frames or remove the folder")
    elif len(stems) < min_frames:
        plural = "s" if len(stems) > 1 else ""
        what = f"the sequence has {len(stems)} frame{plural}, at least {min_frames} are needed"
        yield error(place, what, "add frames, remove the sequence, or lower min_frames")
    yield from check_order(place, stems)


def _compare(
    images: Folder, other: Folder, pictures: _Listed, found: _Listed, frames: Sequence[str]
) -> Iterator[Finding]:
    """Yield errors for frames of a sequence that have no file, and for files that belong to no frame."""
    place = f"{images.name}/{pictures.name}"
    if pictures.video or found.video:
        yield from _compare_counts(pictures, found, other)
        return
    beside = [file[len(frame_of(file)) :] for file in found.files.values()]
    suffix = next(iter([*beside, *other.extensions]), ".*")
    for frame in folder_frames(other, frames):
        if frame not in found.files:
            stem = Path(pictures.files[frame]).stem
            path = found.place / f"{stem}{suffix}"
            yield error(path, "the file is missing", f"add it, or remove {place}/{stem}.*")
    for frame, file in found.files.items():
        if frame not in pictures.files:
            what = f"surplus: there is no frame {place}/{frame_of(file)}.*"
            yield error(found.place / file, what, "remove it, or add the frame")


def _compare_counts(pictures: _Listed, found: _Listed, other: Folder) -> Iterator[Finding]:
    """Yield an error where, with a video, there is not one label for each frame."""
    there, wanted = found.count, pictures.count
    unread = any(listed.video and not listed.count for listed in (pictures, found))  # which has been said
    if not unread and there != wanted and not (other.may_lack and there == wanted - 1):
        what = f"has {counted(there, 'frame')}, {pictures.place.name} has {wanted}"
        yield error(found.place, what, "one for each frame is needed, in their order")


def _compare_sequences(root: Path, images: Folder, other: Folder, listing: _Listing) -> Iterator[Finding]:
    place = _place(root, other.name)
    if no_folder(place) is not None:
        return
    pictures, found = listing[images.name], listing[other.name]
    for key in sorted(set(pictures) - set(found)):
        name = pictures[key].name
        if not (other.may_lack and len(pictures[key].files) < 2):
            yield error(place / name, "the folder of this sequence is missing", _spelling(images, name))
    for key in sorted(set(found) - set(pictures)):
        name = found[key].name
        yield error(place / name, f"surplus: there is no {images.name}/{name}", _spelling(images, name))


def _spelling(images: Folder, name: str) -> str:
    return f"name it exactly as in {images.name}, or remove '{name}' from both"
