"""One sequence of a data folder as a request sees it: its files through one geometry, as frames and labels."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vs_data.driving import Subject, drive, subject_of
from vs_data.errors import DataError
from vs_data.geometry import Geometry, apply_to_ids, apply_to_image, apply_to_points
from vs_data.labels import LabelKind, LandmarksConfig, SegMapsConfig, read_seg_map
from vs_data.landmark_files import read_landmarks, read_track, smoothed
from vs_data.landmarks import draw_face
from vs_data.layout import IMAGES, FrameFiles, file_of
from vs_data.pictures import TURNED, TURNED_FIX, inspect_rgb, read_rgb


@attrs.frozen(kw_only=True)
class View:
    """A sequence and what is done to its pictures.

    Attributes:
        root: The data folder.
        files: Of the sequence; every frame has a file of each kind that is read.
        geometry: Of all that is read.
    """

    root: str
    files: FrameFiles
    geometry: Geometry


def path_of(root: str, folder: str, files: FrameFiles, frame: int) -> Path:
    """The file of a frame that is known to have one."""
    path = file_of(root, folder, files, frame)
    assert path is not None  # noqa: S101 - open_folder has seen that every frame that is read has its file
    return path


def names_of(files: FrameFiles, folder: str) -> tuple[str, ...]:
    """Names of all files of a sequence in a folder where every frame has one."""
    return tuple(name for name in files.files[folder] if name is not None)


def read_picture(root: str, files: FrameFiles, frame: int) -> NDArray[np.uint8]:
    """The picture of a frame as it is in its file: (H,W,3) RGB."""
    return read_rgb(path_of(root, IMAGES, files, frame))


def read_frames(view: View, frames: Sequence[int]) -> list[NDArray[np.uint8]]:
    """The pictures of some frames at the final size, (H,W,3) RGB each.

    Raises:
        DataError: a file is bad, or not of the size that the view is for.
    """
    pictures = []
    for frame in frames:
        picture = read_picture(view.root, view.files, frame)
        _check_size(view, frame, IMAGES, picture)
        pictures.append(apply_to_image(view.geometry, picture))
    return pictures


def to_tensor(pictures: Sequence[NDArray[np.uint8]]) -> Tensor:
    """Pictures (H,W,3) as (n,3,H,W) float32 in [-1,1]."""
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float().div_(127.5).sub_(1.0).contiguous()


def read_labels(view: View, frames: Sequence[int], kind: LabelKind, subject: View | None = None) -> Tensor:
    """The labels of some frames: (n,H,W) uint8 class ids or (n,1,H,W) float32 edge maps.

    Args:
        view: The sequence.
        frames: Which frames.
        kind: Which kind of label.
        subject: Another sequence whose subject is shown in the motion of this one: landmarks are brought to its
            proportions and into its pictures, see `drive`. Class ids stay what they are.

    Raises:
        DataError: a file is bad, or not of the size that the view is for.
    """
    if isinstance(kind, SegMapsConfig):
        return torch.from_numpy(np.stack([_read_ids(view, frame, kind) for frame in frames]))
    points = _read_points(view, frames, kind)
    if subject is not None:
        points = drive(points, _subject_of(view, kind), _subject_of(subject, kind))
    geometry = view.geometry if subject is None else subject.geometry
    drawings = [draw_face(apply_to_points(geometry, face), geometry.size) for face in points]
    return torch.from_numpy(np.stack(drawings)[:, None])  # (n,1,H,W)


def _read_ids(view: View, frame: int, kind: SegMapsConfig) -> NDArray[np.uint8]:
    ids = read_seg_map(path_of(view.root, kind.folder, view.files, frame), kind)
    _check_size(view, frame, kind.folder, ids)
    return apply_to_ids(view.geometry, ids)


def _read_points(view: View, frames: Sequence[int], kind: LandmarksConfig) -> NDArray[np.float64]:
    def read(frame: int) -> NDArray[np.float64]:
        return read_landmarks(path_of(view.root, kind.folder, view.files, frame), view.geometry.source)

    return smoothed(read, frames, len(view.files.frames), kind.smoothing)


def _subject_of(view: View, kind: LandmarksConfig) -> Subject:
    folder = str(Path(view.root) / kind.folder / view.files.name)
    return _sequence_subject(folder, names_of(view.files, kind.folder), view.geometry.source)


@lru_cache(maxsize=256)
def _sequence_subject(folder: str, names: tuple[str, ...], picture: tuple[int, int]) -> Subject:
    return subject_of(read_track(folder, names, picture))


def _check_size(view: View, frame: int, folder: str, pixels: NDArray[Any]) -> None:
    size = view.geometry.source
    if pixels.shape[:2] == size:
        return
    notes = inspect_rgb(path_of(view.root, IMAGES, view.files, frame)).notes
    raise DataError(
        f"is {pixels.shape[1]}x{pixels.shape[0]} pixels, the images of its sequence are {size[1]}x{size[0]}",
        file=str(path_of(view.root, folder, view.files, frame)),
        fix=TURNED_FIX if TURNED in notes else "bring the files of a sequence to one size",
    )
