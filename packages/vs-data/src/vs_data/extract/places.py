"""What is labelled, and where its labels go: a data folder, a video, or a video that becomes a data folder."""

import contextlib
import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, TypeAlias

import attrs
import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray
from vs_config import shown

from vs_data.content import FramesOfVideo, all_in
from vs_data.errors import DataError
from vs_data.extract.labelling import Frames
from vs_data.extract.written import Tally
from vs_data.folder import IMAGES_FOLDER
from vs_data.json_files import read_json
from vs_data.layout import IMAGES, FrameFiles, Layout, Reading, scan_layout, scan_videos
from vs_data.names import Order, is_left_behind, same
from vs_data.pictures import read_rgb, write_png
from vs_data.stored import FolderConfig, StoredConfig, VideoConfig
from vs_data.views import read_picture

FrameForm: TypeAlias = Literal["png", "jpg", "video"]
"""What the frames of a video become: pictures, or a copy of the video."""

RECORD = ".extract.json"
"""The file in a folder of labels that says how they were made; hidden, so that readers of the folder pass it over."""

_SAME = 10  # mean difference of frames of a video and of what it became, levels
_QUALITY = 95  # of JPEG files
_MAX_RECORD_BYTES = 2**20


@attrs.frozen(kw_only=True)
class Place:
    """A place with frames to label, and where their labels go.

    Attributes:
        root: Folder that the folder of labels lies in.
        sequences: What there is to label.
        frames: What frames become that have to be brought to `root` first; None: they are where they belong.
        settings: As which they are read afterwards; labels are still to be named.
    """

    root: Path
    sequences: tuple[FrameFiles, ...]
    frames: FrameForm | None
    settings: StoredConfig


def find_place(source: Path, out: Path | None, frames: FrameForm, order: Order) -> Place:
    """Look for what is to be labelled.

    Args:
        source: A data folder, or a video.
        out: The data folder that a video becomes a sequence of; None: the video stays what and where it is.
        frames: What its frames become there.
        order: How frames and sequences sort.

    Raises:
        DataError: There is nothing to label, or it cannot be read.
    """
    how = Reading(min_frames=1, order=order)
    if not source.exists():
        raise DataError("there is no such data folder or video", file=str(source))
    if not source.is_file():
        if out is not None:
            raise DataError("--out is for videos: labels go into the data folder itself", file=str(source))
        layout = scan_layout(source, IMAGES_FOLDER, [], how)
        settings: StoredConfig = FolderConfig(root=str(source), order=order)
        return Place(root=source, sequences=_sound(layout), frames=None, settings=settings)
    sequences = _sound(scan_videos(source, IMAGES_FOLDER, [], how))
    if out is not None:
        _require_folder(out)
        settings = FolderConfig(root=str(out), order=order)
        there = _brought_before(out, sequences[0], how)
        brought = None if there is None else (there,)
        return Place(root=out, sequences=brought or sequences, frames=None if brought else frames, settings=settings)
    if source.parent.name == IMAGES:
        fix = "give the folder that images/ is in, whose videos are labelled one after the other"
        raise DataError("the video is a sequence of a data folder", file=str(source), fix=fix)
    settings = VideoConfig(root=str(source))
    return Place(root=source.parent, sequences=sequences, frames=None, settings=settings)


def _require_folder(out: Path) -> None:
    """Raise `DataError` where a file is in the place of a folder, or of one above it."""
    there = next(place for place in (out, *out.absolute().parents) if place.exists())
    if not there.is_dir():
        raise DataError("is not a folder", file=str(there), fix="choose another --out")


def _sound(layout: Layout) -> tuple[FrameFiles, ...]:
    for finding in layout.findings:
        if finding.severity == "error":
            raise DataError(finding.what, file=finding.file, fix=finding.fix)
    return layout.sequences


def _brought_before(out: Path, video: FrameFiles, how: Reading) -> FrameFiles | None:
    """Return the sequence of a data folder that shows a video, if it has one.

    Raises:
        DataError: A sequence of that name shows something else.
    """
    if not (out / IMAGES).exists():
        return None
    sequences = _sound(scan_layout(out, IMAGES_FOLDER, [], how))
    there = next((sequence for sequence in sequences if same(sequence.name) == same(video.name)), None)
    if there is not None and not _look_alike(there, video):
        what = "shows something else than the video of that name"
        raise DataError(what, file=there.files[IMAGES].place, fix="rename one of both, or choose another --out")
    return there


def _look_alike(one: FrameFiles, other: FrameFiles) -> bool:
    """Say whether two sequences have as many frames, the first and last of which differ by compression at most."""
    if len(one.frames) != len(other.frames):
        return False
    pairs = [(read_picture(one, at), read_picture(other, at)) for at in (0, len(one.frames) - 1)]
    return all(first.shape == second.shape and cv2.absdiff(first, second).mean() <= _SAME for first, second in pairs)


def frames_of(sequence: FrameFiles) -> Frames:
    """Yield the frames of a sequence, which are to have one size.

    Raises:
        DataError: One is bad, or of another size.
    """
    first: tuple[int, ...] | None = None
    for content in all_in(sequence.files[IMAGES]):
        frame = read_rgb(content)
        first = first or frame.shape
        if frame.shape != first:
            what = f"is {frame.shape[1]}x{frame.shape[0]} pixels, the first frame is {first[1]}x{first[0]}"
            raise DataError(what, file=str(content), fix="bring the frames of a sequence to one size")
        yield frame


@contextlib.contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """Give a hidden folder to write into, which gets its name when the block succeeds; else nothing of it is left.

    A process that is killed leaves a hidden folder, which the next one removes, and never a part under the name.
    """
    draft = folder.with_name(f".{folder.name}.unfinished")
    missing = _missing(folder.parent)
    shutil.rmtree(draft, ignore_errors=True)  # of a process that was killed
    try:
        draft.mkdir(parents=True)
        yield draft
        draft.rename(folder)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        _remove_empty(missing)
        raise


def _missing(folder: Path) -> list[Path]:
    """Return the folders that have to be made for one, the innermost first."""
    return [place for place in (folder, *folder.parents) if not place.exists()]


def _remove_empty(folders: list[Path]) -> None:
    for folder in folders:
        with contextlib.suppress(OSError):
            folder.rmdir()


@contextlib.contextmanager
def frames_brought(place: Place, sequence: FrameFiles, frames: Frames) -> Iterator[Frames]:
    """Bring frames to the data folder as they pass, if they belong there: all of them, or none if that fails."""
    images = place.root / IMAGES
    match place.frames:
        case None:
            yield frames
        case "video":
            yield frames
            _bring_video(sequence, images)
        case form:
            with whole_folder(images / sequence.name) as draft:
                passing = _written(frames, sequence.frames, draft, form)
                yield passing
                for _ in passing:  # what nobody wanted to see
                    pass


def _written(frames: Frames, names: tuple[str, ...], folder: Path, form: Literal["png", "jpg"]) -> Frames:
    write = {"png": write_png, "jpg": _write_jpeg}[form]
    for name, frame in zip(names, frames, strict=True):
        write(folder / f"{name}.{form}", frame)
        yield frame


def _write_jpeg(path: Path, frame: NDArray[np.uint8]) -> None:
    path.write_bytes(simplejpeg.encode_jpeg(frame, quality=_QUALITY, colorsubsampling="444"))


def _bring_video(sequence: FrameFiles, images: Path) -> None:
    match sequence.files[IMAGES]:
        case FramesOfVideo(video=Path() as video):
            images.mkdir(parents=True, exist_ok=True)
            draft = images / f".{video.name}.unfinished"
            try:
                shutil.copyfile(video, draft)
                draft.rename(images / video.name)
            finally:
                draft.unlink(missing_ok=True)
        case _:
            raise AssertionError("only videos are brought anywhere")


def is_done(folder: Path, names: tuple[str, ...]) -> bool:
    """Say whether a sequence has its labels already.

    Args:
        folder: Of its labels.
        names: Of the frames that have a label.

    Raises:
        DataError: They are those of other frames.
    """
    if not folder.exists():
        return False
    there = sorted(path.stem for path in folder.iterdir() if not path.name.startswith("."))
    if there != sorted(names):
        what = f"holds {len(there)} files that are not of these {len(names)} frames"
        raise DataError(what, file=str(folder), fix="remove it, or choose another --folder")
    return True


@contextlib.contextmanager
def labels_folder(folder: Path, made_by: Mapping[str, Any]) -> Iterator[Tally]:
    """Make the folder of labels, or go on in one that was made in the same way; remove it if nothing came of it.

    Yields:
        What is in it already.

    Raises:
        DataError: It holds labels that were made otherwise.
    """
    missing = _missing(folder)
    tally = _recorded(folder, made_by)
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / RECORD).exists():
        record(folder, made_by, tally)
    try:
        yield tally
    finally:
        if missing and not any(path.name != RECORD for path in folder.iterdir()):
            (folder / RECORD).unlink(missing_ok=True)
            _remove_empty(missing)


def record(folder: Path, made_by: Mapping[str, Any], tally: Tally) -> None:
    """Write down how the labels in a folder are made, and what they are so far."""
    draft = folder / f"{RECORD}.unfinished"
    document = {"made_by": made_by, "tally": {**attrs.asdict(tally), "ids": sorted(tally.ids)}}
    draft.write_text(json.dumps(document, indent=1), encoding="utf-8")
    draft.replace(folder / RECORD)


def _recorded(folder: Path, made_by: Mapping[str, Any]) -> Tally:
    """Return what is in a folder, if it was made in the same way."""
    fix = "choose another --folder, or remove this one"
    if not (folder / RECORD).exists():
        if not folder.exists() or all(is_left_behind(path.name) for path in folder.iterdir()):
            return Tally()
        raise DataError("holds labels that were not made by this command", file=str(folder), fix=fix)
    match read_json(folder / RECORD, _MAX_RECORD_BYTES, fix):
        case {"made_by": dict() as before, "tally": dict() as tally}:
            other = sorted(key for key in {*before, *made_by} if before.get(key) != made_by.get(key))
            if other:
                what = f"holds labels that were made otherwise: {shown(', '.join(other), 100)}"
                raise DataError(what, file=str(folder), fix=fix)
            with contextlib.suppress(TypeError, ValueError):
                return Tally(**{**tally, "ids": frozenset(tally.get("ids", ()))})
        case _:
            pass
    raise DataError("is no record of this command", file=str(folder / RECORD), fix=fix)
