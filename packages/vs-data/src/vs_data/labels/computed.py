"""Labels that are computed from the frames, edges, blurred pictures and greys, so that video alone is enough."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import ClassVar

import attrs
import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from vs_config import Check, Problem, check_fields, real

from vs_data.clips import FloatMaps
from vs_data.content import Content
from vs_data.fields import folder_name
from vs_data.labels.handler import LabelHandler, LooseFiles
from vs_data.pictures import IMAGE_EXTENSIONS, read_rgb
from vs_data.seen import Seen, Size, size_of
from vs_data.views import View, read_frames, to_tensor

_Rgb = NDArray[np.uint8]
_Compute = Callable[[_Rgb], NDArray[np.float32]]

_MAX_THRESHOLD = 1442.0  # 255 * sqrt(32): no Sobel filter of 8-bit greys answers with more


def _check_thresholds(config: "EdgesConfig") -> Iterator[Problem]:
    if config.low > config.high:
        yield Problem("low", expected=f"at most high, {config.high:g}", got=config.low)


@attrs.frozen(kw_only=True)
class EdgesConfig:
    """Edges of the frames by Canny's method: one channel, 1 on an edge and else 0."""

    kind: ClassVar[str] = "edges"

    folder: str = folder_name("edges", "the label's name in a clip; there is no such folder")
    low: float = real(
        60.0, "gradient above which an edge goes on", low=0.0, high=_MAX_THRESHOLD, unit="of 8-bit greys, by Sobel"
    )
    high: float = real(
        150.0, "gradient above which an edge begins", low=0.0, high=_MAX_THRESHOLD, unit="of 8-bit greys, by Sobel"
    )
    radius: float = real(
        1.0, "width of the Gaussian that takes noise away before; 0: none", low=0.0, high=100.0, unit="pixels"
    )

    CHECKS: ClassVar[tuple[Check, ...]] = (Check(("low", "high"), _check_thresholds),)

    def __attrs_post_init__(self) -> None:
        check_fields(self)


@attrs.frozen(kw_only=True)
class BlurConfig:
    """The frames without their details: three channels, RGB in [-1, 1]."""

    kind: ClassVar[str] = "blur"

    folder: str = folder_name("blur", "the label's name in a clip; there is no such folder")
    radius: float = real(4.0, "width of the Gaussian", low=0.0, high=100.0, open_low=True, unit="pixels")


@attrs.frozen(kw_only=True)
class GreyConfig:
    """The frames without their colours: one channel in [-1, 1]."""

    kind: ClassVar[str] = "grey"

    folder: str = folder_name("grey", "the label's name in a clip; there is no such folder")


def handle_edges(config: EdgesConfig) -> LabelHandler:
    """Return what is done with edges."""
    info = FloatMaps(channels=1, title="edges")
    return _handler(info, "edges of the frames by Canny's method, computed", partial(_edges, config))


def handle_blur(config: BlurConfig) -> LabelHandler:
    """Return what is done with blurred frames."""
    info = FloatMaps(channels=3, title="blurred frame", pictures=True)
    return _handler(info, "the frames without their details, computed", partial(_blur, config))


def handle_grey(_config: GreyConfig) -> LabelHandler:
    """Return what is done with grey frames."""
    info = FloatMaps(channels=1, title="grey frame", pictures=True)
    return _handler(info, "the frames without their colours, computed", _grey)


def _handler(info: FloatMaps, says: str, compute: _Compute) -> LabelHandler:
    """Return what is done with a kind that `compute` makes of a picture (H,W,3): (C,H,W)."""
    return LabelHandler(
        info=info,
        says=says,
        extensions=IMAGE_EXTENSIONS,
        read=partial(_read, compute),
        open_loose=partial(_open_loose, compute),
        of_levels=partial(_of_levels, compute),
        exact_levels=False,
        level_channels=3,
        framed=True,
        computed=partial(_computed, compute),
        look=_look,
    )


def _computed(compute: _Compute, pictures: Sequence[_Rgb]) -> Tensor:
    return torch.from_numpy(np.stack([compute(picture) for picture in pictures]))


def _read(compute: _Compute, view: View, frames: Sequence[int], _subject: View | None) -> Tensor:
    return _computed(compute, read_frames(view, frames))


def _open_loose(compute: _Compute, files: LooseFiles) -> tuple[Size, Callable[[Sequence[int]], Tensor]]:
    """Compute labels of pictures that are brought to the size of the frames, as in training."""
    view = files.view(files.geometry())
    return view.geometry.size, lambda frames: _read(compute, view, frames, None)


def _of_levels(compute: _Compute, levels: _Rgb, _where: str) -> Tensor:
    if levels.ndim == 2:
        levels = np.repeat(levels[..., None], 3, axis=2)
    return _computed(compute, [levels])[0]


def _look(content: Content, _picture: Size | None) -> Seen:
    return Seen(size=size_of(read_rgb(content)))


def _edges(config: EdgesConfig, picture: _Rgb) -> NDArray[np.float32]:
    grey = _smoothed(np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), np.uint8), config.radius)
    found = cv2.Canny(grey, config.low, config.high, L2gradient=True)
    return (np.asarray(found)[None] > 0).astype(np.float32)  # (1,H,W)


def _blur(config: BlurConfig, picture: _Rgb) -> NDArray[np.float32]:
    return to_tensor([_smoothed(picture, config.radius)])[0].numpy()  # (3,H,W)


def _grey(picture: _Rgb) -> NDArray[np.float32]:
    grey = np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), np.float32)
    return (grey / np.float32(127.5) - np.float32(1))[None]  # (1,H,W)


def _smoothed(picture: NDArray[np.uint8], radius: float) -> NDArray[np.uint8]:
    """Smooth a picture by a Gaussian of so many pixels; 0: not at all."""
    if radius == 0:
        return picture
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), radius, borderType=cv2.BORDER_REPLICATE), np.uint8)
