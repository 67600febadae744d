"""DensePose as a kind of label: for each pixel of a person a part of the body and the place on it.

Source: Guler, Neverova and Kokkinos, "DensePose: Dense Human Pose Estimation In The Wild", 2018: 24 parts, numbered
from 1 on, each with coordinates U and V.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import ClassVar

import attrs
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vs_data.clips import FloatMaps
from vs_data.content import Content
from vs_data.errors import DataError
from vs_data.fields import folder_name
from vs_data.findings import error
from vs_data.geometry import apply_to_ids, same_size
from vs_data.labels.handler import LabelHandler, LooseFiles
from vs_data.outlines import outline_of_ids
from vs_data.pictures import inspect_colours
from vs_data.seen import Seen, Size, Trace, digest_of, size_of
from vs_data.views import View, check_size, content_of

PARTS = 24
"""Parts of a body; 0 is what is nobody."""

_PART = 2  # channel of a file in the order of RGB: V is red, U green, the part blue
_SCALES = np.array([255, 255, PARTS], np.float32)
_FIX = "write the part, 0 to 24, into the blue channel of a PNG, U and V, 0 to 255, into green and red"


@attrs.frozen(kw_only=True)
class DenseposeConfig:
    """DensePose, one PNG per frame: `FOLDER/SEQ/FRAME.png`.

    The part is in blue, U in green, V in red, as OpenCV writes I, U, V. The label has three channels in the file's
    order (V, U, part) in [-1, 1]: V and U of 255, the part of 24. Labels cannot be mirrored: a place on the right arm
    has other coordinates than its mirror image on the left one.
    """

    kind: ClassVar[str] = "densepose"

    folder: str = folder_name("pose_maps-densepose", "folder of the maps, beside the images")


def handle_densepose(config: DenseposeConfig) -> LabelHandler:
    """Return what is done with DensePose."""
    return LabelHandler(
        info=FloatMaps(channels=3, title="DensePose", pictures=True),
        says="DensePose: V and U of 255 and the part of 24, each brought to [-1, 1]",
        extensions=(".png",),
        read=partial(_read, config),
        open_loose=partial(_open_loose, config),
        of_levels=_of_levels,
        exact_levels=True,
        level_channels=3,
        mirrors=False,
        videos=True,
        look=_look,
    )


def _read(config: DenseposeConfig, view: View, frames: Sequence[int], _subject: View | None) -> Tensor:
    """Read DensePose (n,3,H,W); whose motion drives whom changes nothing in it."""
    return torch.from_numpy(np.stack([_read_frame(config, view, frame) for frame in frames]))


def _read_levels(content: Content) -> NDArray[np.uint8]:
    levels: NDArray[np.uint8] = inspect_colours(content, _FIX).values
    return levels


def _read_frame(config: DenseposeConfig, view: View, frame: int) -> NDArray[np.float32]:
    content = content_of(view, config.folder, frame)
    levels = _read_levels(content)
    _check_parts(levels, str(content))
    check_size(view, frame, config.folder, levels)
    return normalised(apply_to_ids(view.geometry, levels))


def normalised(levels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return levels (H,W,3) of a file as a label (3,H,W) in [-1,1]."""
    scaled = levels.astype(np.float32) / _SCALES * 2 - 1
    return np.ascontiguousarray(scaled.transpose(2, 0, 1))


def levels_of(maps: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return the levels (H,W,3) of a file that a label (3,H,W) was read from: the inverse of `normalised`."""
    return np.rint((maps.transpose(1, 2, 0) + 1) / 2 * _SCALES).astype(np.uint8)


def _open_loose(config: DenseposeConfig, files: LooseFiles) -> tuple[Size, Callable[[Sequence[int]], Tensor]]:
    geometry = files.geometry() if files.framed else same_size(size_of(_read_levels(files.first)))
    view = files.view(geometry)
    return geometry.size, lambda frames: _read(config, view, frames, None)


def _of_levels(levels: NDArray[np.uint8], where: str) -> Tensor:
    if levels.ndim == 2:
        raise DataError("is grey", file=where, fix=_FIX)
    _check_parts(levels, where)
    return torch.from_numpy(normalised(levels))


def _check_parts(levels: NDArray[np.uint8], where: str) -> None:
    problem = _wrong_part(levels)
    if problem is not None:
        raise DataError(problem, file=where, fix=_FIX)


def _wrong_part(levels: NDArray[np.uint8]) -> str | None:
    """Say which part there is that a body has not, or None."""
    parts = levels[..., _PART]
    if parts.max() <= PARTS:
        return None
    y, x = np.unravel_index(int(parts.argmax()), parts.shape)
    return (
        f"part {parts.max()} at x={x}, y={y} is none, parts are 0 to {PARTS} ({int((parts > PARTS).sum())} such pixels)"
    )


def _look(content: Content, _picture: Size | None) -> Seen:
    stored = inspect_colours(content, _FIX)
    levels: NDArray[np.uint8] = stored.values
    problem = _wrong_part(levels)
    return Seen(
        size=size_of(levels),
        trace=Trace(digest=digest_of(levels), outline=outline_of_ids(levels[..., _PART])),
        findings=() if problem is None else (error(content, problem, _FIX),),
        notes=stored.notes,
    )
