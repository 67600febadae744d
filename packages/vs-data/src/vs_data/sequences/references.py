"""Examples of a subject: photographs with their labels, a data folder, frames of a video, a person of a world."""

from collections.abc import Sequence
from pathlib import Path

import attrs
import numpy as np
import torch
from numpy.typing import NDArray
from vs_config import shown

from vs_data.clips import References
from vs_data.content import Contents, FolderOfFiles, FrameOfVideo
from vs_data.errors import DataError
from vs_data.findings import counted
from vs_data.geometry import apply_to_image
from vs_data.labels import LabelKind, handler_of, has_files, of_stills, read_labels, source_of
from vs_data.layout import IMAGES, expanded
from vs_data.names import OPENPOSE, same, sort_key
from vs_data.pictures import IMAGE_EXTENSIONS, read_rgb
from vs_data.seen import Size, size_of
from vs_data.sequences.files import (
    Listed,
    content_at,
    contents_at,
    entries_of,
    face_geometry,
    list_sequences,
    view_of,
)
from vs_data.sequences.frames import LabelRequest, ReferenceSubject
from vs_data.sequences.worlds import world_of, world_subject
from vs_data.videos import VIDEO_EXTENSIONS, index_of
from vs_data.views import to_tensor

MOST = 64
"""Examples that are taken at most."""


def open_references(source: str, how: LabelRequest, *, count: int | None = None) -> ReferenceSubject:
    """Open the examples of a subject.

    Args:
        source: photographs, with commas between them (`a.jpg,b.jpg`), the labels of each beside it under the same name
            (`a.json`, `a.png`) or in a folder of the kind's name (`landmarks-dlib68/a.json`); a folder of such
            photographs, of one size or of several; a data folder, whose first sequence is the subject's, or a sequence
            of one (`ROOT/images/SEQ`); frames of a video (`clip.mp4:10-20`, `clip.mp4:3,7`), whose labels are in
            `KIND/clip/` beside it, a file for each frame, or `KIND/clip.mkv`; or `faces:SEED`, `dancers:SEED`.
        how: the model's kinds of label and its size; `subject` of it plays no part.
        count: how many at most, spread evenly over those that there are; None: all photographs, or one of a sequence.

    Raises:
        DataError: a file is missing or bad, or what is named is none of these.
    """
    world = world_of(source)
    if world is not None:
        return world_subject(*world, how, count or 1)
    path, frames = _frames_of_video(source)
    if frames is not None:
        named = frames or range(index_of(path).count)
        kept = _spread(len(named), count or (MOST if frames else 1))
        return _of_video(path, [named[index] for index in kept], how)
    if path.is_dir():
        return _of_folder(path, how, count)
    return _of_photographs([expanded(part) for part in source.split(",") if part], how, count)


def _frames_of_video(source: str) -> tuple[Path, list[int] | None]:
    """Read `clip.mp4:3,7` or `clip.mp4:10-20`; of `clip.mp4` no frames are named; None: it is no video at all."""
    name, _, part = source.rpartition(":")
    if Path(source).suffix.lower() in VIDEO_EXTENSIONS:
        return expanded(source), []
    if Path(name).suffix.lower() not in VIDEO_EXTENSIONS:
        return expanded(source), None
    frames: list[int] = []
    for item in part.split(","):
        first, dash, last = item.partition("-")
        ends = first, last if dash else first
        if not all(end.isdecimal() and len(end) < 10 for end in ends) or int(ends[1]) < int(ends[0]):
            fix = "3,7 or 10-20 for example, counted from 0"
            raise DataError(
                f"expected numbers of frames behind the video, got {shown(part, 100)!r}", file=name, fix=fix
            )
        frames += list(range(int(ends[0]), min(int(ends[1]), int(ends[0]) + MOST) + 1))[:MOST]
    return expanded(name), frames


def _of_video(path: Path, frames: Sequence[int], how: LabelRequest) -> ReferenceSubject:
    found = {frame: read_rgb(FrameOfVideo(video=path, frame=frame)) for frame in frames}
    kinds = list(filter(has_files, how.kinds))
    root = path.parent.parent if path.parent.name == IMAGES else path.parent
    contents = {kind.folder: _labels_of(path, root / kind.folder, kind, how) for kind in kinds}
    for each in contents.values():
        if max(frames) >= each.count:
            what = f"has {counted(each.count, 'label')}, none for frame {max(frames)}"
            raise DataError(what, file=each.place, fix=f"one for each frame of {path.name}, in order")
    return _subject(Listed(name=path.stem, contents=contents), [found[frame] for frame in frames], list(frames), how)


def _labels_of(video: Path, place: Path, kind: LabelKind, how: LabelRequest) -> Contents:
    """Return the labels of all frames of a video, of one kind."""
    found = contents_at(place, video.stem, kind.folder, how)
    if found is None:
        raise DataError("has no labels", file=str(video), fix=f"put them into {place / video.stem}/, a file each")
    return found


def _of_folder(path: Path, how: LabelRequest, count: int | None) -> ReferenceSubject:
    first = _sequence_in(path, how)
    if first is not None:
        if IMAGES not in first.contents:
            raise DataError("has no pictures of this sequence", file=str(path / IMAGES / first.name), fix="add them")
        chosen = _spread(first.contents[IMAGES].count, count or 1)
        pictures = [read_rgb(content_at(first, IMAGES, index)) for index in chosen]
        return _subject(first, pictures, chosen, how)
    labels = {extension for kind in filter(has_files, how.kinds) for extension in handler_of(kind).extensions}
    photographs = [
        file
        for file in sorted(entries_of(path), key=lambda file: sort_key(how.order)(file.name))
        if file.suffix.lower() in IMAGE_EXTENSIONS and not _is_label_of_another(file, labels)
    ]
    if not photographs:
        raise DataError("holds no photographs", file=str(path), fix=f"expected {', '.join(IMAGE_EXTENSIONS)}")
    return _of_photographs(photographs, how, count)


def _sequence_in(path: Path, how: LabelRequest) -> Listed | None:
    """Return the first sequence of a data folder, or that whose pictures `ROOT/images/SEQ` are; None: neither."""
    whole = path.resolve()
    if whole.parent.name == IMAGES and all((whole.parents[1] / source_of(kind)).is_dir() for kind in how.kinds):
        found = [listed for listed in list_sequences(whole.parents[1], how) if same(listed.name) == same(whole.name)]
        if not found:
            fix = f"put them into {whole.parents[1] / source_of(how.kinds[0]) / whole.name}/"
            raise DataError("has no labels", file=str(path), fix=fix)
        return found[0]
    return list_sequences(path, how)[0] if (path / IMAGES).is_dir() else None


def _is_label_of_another(file: Path, extensions: set[str]) -> bool:
    """Return whether a picture is the class ids of a photograph beside it, which has the same name."""
    others = (file.with_suffix(other) for other in IMAGE_EXTENSIONS if other != file.suffix.lower())
    return file.suffix.lower() in extensions and any(other.is_file() for other in others)


def _of_photographs(paths: Sequence[Path], how: LabelRequest, count: int | None) -> ReferenceSubject:
    if not paths:
        raise DataError("no photograph is named", file="--references", fix="a.jpg,b.jpg for example")
    kept = [paths[index] for index in _spread(len(paths), min(count or MOST, len(paths)))]
    single = attrs.evolve(how, kinds=tuple(of_stills(kind) for kind in how.kinds))
    of_size: dict[Size, dict[int, NDArray[np.uint8]]] = {}
    for index, path in enumerate(kept):
        picture = _photograph(path)
        of_size.setdefault(size_of(picture), {})[index] = picture
    groups = [
        _of_one_size([kept[index] for index in group], list(group.values()), single) for group in of_size.values()
    ]
    return _together(groups, [index for group in of_size.values() for index in group])


def _photograph(path: Path) -> NDArray[np.uint8]:
    if path.suffix.lower() not in IMAGE_EXTENSIONS:
        expected = f"{', '.join(IMAGE_EXTENSIONS)}, a folder, frames of a video (clip.mp4:3,7)"
        raise DataError("is no photograph", file=str(path), fix=f"expected {expected}, faces:SEED or dancers:SEED")
    return read_rgb(path)


def _of_one_size(paths: Sequence[Path], pictures: Sequence[NDArray[np.uint8]], how: LabelRequest) -> ReferenceSubject:
    kinds = list(filter(has_files, how.kinds))
    files = {IMAGES: tuple(map(str, paths))}
    files |= {kind.folder: tuple(str(_label_beside(path, kind)) for path in paths) for kind in kinds}
    contents = {folder: FolderOfFiles(place=".", names=names) for folder, names in files.items()}
    listed = Listed(name=paths[0].stem, contents=dict(contents))
    return _subject(listed, pictures, list(range(len(paths))), how)


def _together(groups: Sequence[ReferenceSubject], order: Sequence[int]) -> ReferenceSubject:
    """Put photographs of several sizes into their order; labels of others are drawn as in those of the first's size."""
    first = groups[0]
    parts = [group.references for group in groups]
    back = torch.tensor(order).argsort()
    labels = {kind: torch.cat([part.labels[kind] for part in parts])[back] for kind in first.references.labels}
    frames = torch.cat([part.frames for part in parts])[back]
    return attrs.evolve(first, references=attrs.evolve(first.references, frames=frames, labels=labels))


def _label_beside(path: Path, kind: LabelKind) -> Path:
    endings = [f"{more}{extension}" for extension in handler_of(kind).extensions for more in ("", OPENPOSE)]
    wanted = [
        place / f"{path.stem}{ending}" for place in (path.parent, path.parent / kind.folder) for ending in endings
    ]
    for place in wanted:
        if place.is_file() and place != path:
            return place
    raise DataError(f"has no {kind.kind}", file=str(path), fix=f"expected {wanted[0]} or {wanted[-2]}")


def _subject(
    listed: Listed, pictures: Sequence[NDArray[np.uint8]], chosen: Sequence[int], how: LabelRequest
) -> ReferenceSubject:
    """Bring pictures and the labels of the chosen files to the size of the frames, and describe whose they are."""
    geometry = face_geometry(listed, size_of(pictures[0]), how)
    view = view_of(listed, geometry)
    small = [apply_to_image(geometry, picture) for picture in pictures]
    references = References(
        frames=to_tensor(small),
        labels=read_labels(how.kinds, view, chosen, small),
        name=listed.name,
    )
    having = {kind.folder: handler_of(kind).target for kind in how.kinds}
    targets = {folder: target(view) for folder, target in having.items() if target is not None}
    return ReferenceSubject(references=references, targets=targets)


def _spread(there: int, count: int) -> list[int]:
    """Return the middles of equal parts of so many."""
    return [(2 * part + 1) * there // (2 * min(count, there)) for part in range(min(count, there))]
