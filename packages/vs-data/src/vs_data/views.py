"""One sequence of a data folder as a request sees it: its files through one geometry."""

from collections.abc import Sequence
from typing import Any

import attrs
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vs_data.content import Content, Contents
from vs_data.errors import DataError
from vs_data.geometry import Geometry, apply_to_image
from vs_data.layout import IMAGES, FrameFiles, file_of
from vs_data.pictures import TURNED, TURNED_FIX, inspect_rgb, read_rgb


@attrs.frozen(kw_only=True)
class View:
    """A sequence and what is done to its pictures.

    Attributes:
        files: Of the sequence; every frame has a file of each kind that is read.
        geometry: Of all that is read.
    """

    files: FrameFiles
    geometry: Geometry


def content_of(view: View, folder: str, frame: int) -> Content:
    """Return the data of a frame that is known to have some in a folder; `bytes_of` and `pictures` read them."""
    return _content(view.files, folder, frame)


def contents_of(view: View, folder: str) -> Contents:
    """Return the data of all frames of the sequence in a folder."""
    return view.files.files[folder]


def read_picture(files: FrameFiles, frame: int) -> NDArray[np.uint8]:
    """Read the picture of a frame as it is stored: (H,W,3) RGB."""
    return read_rgb(_content(files, IMAGES, frame))


def _content(files: FrameFiles, folder: str, frame: int) -> Content:
    content = file_of(folder, files, frame)
    assert content is not None  # noqa: S101 - open_folder has seen that every frame that is read has its file
    return content


def read_frames(view: View, frames: Sequence[int]) -> list[NDArray[np.uint8]]:
    """Read the pictures of some frames at the final size, (H,W,3) RGB each.

    Raises:
        DataError: a file is bad, or not of the size that the view is for.
    """
    pictures = []
    for frame in frames:
        picture = read_picture(view.files, frame)
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
    notes = inspect_rgb(content_of(view, IMAGES, frame)).notes if with_pictures else ()
    others = "the images of its sequence are" if with_pictures else "the others of its sequence are"
    raise DataError(
        f"is {pixels.shape[1]}x{pixels.shape[0]} pixels, {others} {size[1]}x{size[0]}",
        file=str(content_of(view, folder, frame)),
        fix=TURNED_FIX if TURNED in notes else "bring the files of a sequence to one size",
    )
