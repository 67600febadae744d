"""Labels painted over frames, half transparent, and what their colours mean."""

import colorsys
from typing import Any, assert_never

import attrs
import cv2
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from vs_data.clips import ClassIds, FloatMaps, LabelInfo
from vs_data.labels import LabelKind, handler_of
from vs_data.labels.colours import CITYSCAPES, Colour
from vs_data.labels.handler import LabelHandler

_BLACK = (0, 0, 0)
_WHITE = (255, 255, 255)
_LINES = (255, 230, 0)  # of lines that have no colour of their own
_DIM = 0.55  # of a frame below lines
_GOLDEN = 0.618034  # of the circle of hues, from class to class


@attrs.frozen(kw_only=True)
class Meaning:
    """An entry of a legend: a colour, where there is one, and what it stands for."""

    colour: Colour | None
    text: str


def overlay(kind: LabelKind, label: Tensor, frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Paint a label, (H,W) ids or (C,H,W) maps, over a frame (H,W,3)."""
    handler = handler_of(kind)
    info = handler.info
    match info:
        case ClassIds():
            over = _table(kind, info)[label.numpy()]
            return _mean(frame, over)
        case FloatMaps() if _is_measured(handler):
            return _mean(_grey(frame), _measures()[_levels(label.numpy()[0])])
        case FloatMaps(pictures=True):
            return _mean(frame, _picture(label.numpy()))
        case FloatMaps() if handler.covers:
            return _mean(frame, _with_lines(frame, label.numpy()))
        case FloatMaps():
            return _with_lines(frame, label.numpy())
        case _:
            assert_never(info)


def meanings(kind: LabelKind, labels: Tensor) -> list[Meaning]:
    """Return what the colours of some labels of a kind mean, of class ids those that occur."""
    handler = handler_of(kind)
    info: LabelInfo = handler.info
    match info:
        case ClassIds():
            colours = _table(kind, info)
            return [_of_class(info, index, colours) for index in np.unique(labels.numpy()).tolist()]
        case FloatMaps() if _is_measured(handler):
            ramp = [(_colour(_measures()[_levels(np.float32(value))]), str(value)) for value in (-1, 0, 1)]
            return [Meaning(colour=None, text=handler.says), *(Meaning(colour=one, text=text) for one, text in ramp)]
        case _:
            return [Meaning(colour=None, text=handler.says)]


def _is_measured(handler: LabelHandler) -> bool:
    """Whether a label is one number for each pixel, as depth is, of which greys over a frame would show little."""
    info = handler.info
    return isinstance(info, FloatMaps) and info.pictures and info.channels == 1 and handler.computed is None


def _measures() -> NDArray[np.uint8]:
    """Return colours (256,3) of numbers from the least, dark blue, to the largest, yellow."""
    ramp = cv2.applyColorMap(np.arange(256, dtype=np.uint8)[None], cv2.COLORMAP_VIRIDIS)
    return np.asarray(ramp[0, :, ::-1], np.uint8)


def _colour(rgb: NDArray[np.uint8]) -> Colour:
    red, green, blue = rgb.tolist()
    return red, green, blue


def _of_class(info: ClassIds, index: int, colours: NDArray[np.uint8]) -> Meaning:
    name = info.names[index] if index < len(info.names) else "ignored" if index == info.ignore_id else ""
    return Meaning(colour=_colour(colours[index]), text=f"{index} {name}".strip())


def _table(kind: LabelKind, info: ClassIds) -> NDArray[np.uint8]:
    """Return the colours (256,3) of ids: those in the files, else Cityscapes' for its classes, else different hues.

    Hues stand for black, too, which would hardly be seen.
    """
    known = handler_of(kind).colours
    if known is None:
        usual = CITYSCAPES if info.classes == len(CITYSCAPES) else (_BLACK,) * info.classes
        known = tuple(_hue(index) if colour == _BLACK else colour for index, colour in enumerate(usual))
    table = np.full((256, 3), _WHITE, np.uint8)
    table[: len(known)] = known[:256]
    return table


def _hue(index: int) -> Colour:
    red, green, blue = colorsys.hsv_to_rgb(index * _GOLDEN % 1.0, 0.85, (1.0, 0.7)[index % 2])
    return round(255 * red), round(255 * green), round(255 * blue)


def _picture(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return maps (C,H,W) in [-1, 1] as RGB (H,W,3): one as greys, the first three of others, absent ones as 0."""
    shown = values[:3] if len(values) != 1 else np.repeat(values, 3, axis=0)
    filled = np.concatenate([shown, np.zeros((3 - len(shown), *shown.shape[1:]), np.float32)])
    return np.moveaxis(_levels(filled), 0, -1)


def _levels(values: Any) -> NDArray[np.uint8]:
    """Return values in [-1, 1] as levels of 255."""
    return np.asarray(((values + 1) * 127.5).clip(0, 255).astype(np.uint8))


def _grey(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(cv2.cvtColor(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB), np.uint8)


def _with_lines(frame: NDArray[np.uint8], lines: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Draw lines (C,H,W) in [0, 1] over a darker frame: three maps are colours, the strongest of others is shown."""
    strength = lines.max(axis=0)[..., None]
    colours = np.moveaxis(lines, 0, -1) if len(lines) == 3 else strength * np.array(_LINES, np.float32) / 255
    return np.asarray((_DIM * frame * (1 - strength) + 255 * colours).clip(0, 255).astype(np.uint8))


def _mean(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(((one.astype(np.uint16) + other) // 2).astype(np.uint8))
