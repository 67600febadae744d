"""One sequence of a data folder as a request sees it: its files through one geometry."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vs_data.errors import DataError
from vs_data.geometry import Geometry, apply_to_image
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
    """Return the file of a frame that is known to have one."""
    path = file_of(root, folder, files, frame)
    assert path is not None  # noqa: S101 - open_folder has seen that every frame that is read has its file
    return path


def names_of(files: FrameFiles, folder: str) -> tuple[str, ...]:
    """Return the names of all files of a sequence in a folder where every frame has one."""
    return tuple(name for name in files.files[folder] if name is not None)


def read_picture(root: str, files: FrameFiles, frame: int) -> NDArray[np.uint8]:
    """Read the picture of a frame as it is in its file: (H,W,3) RGB."""
    return read_rgb(path_of(root, IMAGES, files, frame))


def read_frames(view: View, frames: Sequence[int]) -> list[NDArray[np.uint8]]:
    """Read the pictures of some frames at the final size, (H,W,3) RGB each.

    Raises:
        DataError: a file is bad, or not of the size that the view is for.
    """
    pictures = []
    for frame in frames:
        picture = read_picture(view.root, view.files, frame)
        check_size(view, frame, IMAGES, picture)
        pictures.append(apply_to_image(view.geometry, picture))
    return pictures


def to_tensor(pictures: Sequence[NDArray[np.uint8]]) -> Tensor:
    """Return pictures (H,W,3) as (n,3,H,W) float32 in [-1,1]."""
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float().div_(127.5).sub_(1.0).contiguous()


def check_size(view: View, frame: int, folder: str, pixels: NDArray[Any]) -> None:
    """Raise `DataError` unless what the file of a frame holds, (H,W,...), is of the size that the view is for."""
    size = view.geometry.source
    if pixels.shape[:2] == size:
        return
    with_pictures = IMAGES in view.files.files
    notes = inspect_rgb(path_of(view.root, IMAGES, view.files, frame)).notes if with_pictures else ()
    others = "the images of its sequence are" if with_pictures else "the others of its sequence are"
    raise DataError(
        f"is {pixels.shape[1]}x{pixels.shape[0]} pixels, {others} {size[1]}x{size[0]}",
        file=str(path_of(view.root, folder, view.files, frame)),
        fix=TURNED_FIX if TURNED in notes else "bring the files of a sequence to one size",
    )
