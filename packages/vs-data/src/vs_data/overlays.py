"""Labels painted over frames, half transparent, and what their colours mean."""

import colorsys
from typing import assert_never

import attrs
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from vs_data.clips import ClassIds, FloatMaps, LabelInfo
from vs_data.labels import LabelKind, handler_of
from vs_data.labels.colours import CITYSCAPES, Colour

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
    info = handler_of(kind).info
    match info:
        case ClassIds():
            over = _table(kind, info)[label.numpy()]
            return _mean(frame, over)
        case FloatMaps(pictures=True):
            return _mean(frame, _picture(label.numpy()))
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
        case _:
            return [Meaning(colour=None, text=handler.says)]


def _of_class(info: ClassIds, index: int, colours: NDArray[np.uint8]) -> Meaning:
    name = info.names[index] if index < len(info.names) else "ignored" if index == info.ignore_id else ""
    red, green, blue = colours[index].tolist()
    return Meaning(colour=(red, green, blue), text=f"{index} {name}".strip())


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
    return np.asarray(np.moveaxis(((filled + 1) * 127.5).clip(0, 255), 0, -1).astype(np.uint8))


def _with_lines(frame: NDArray[np.uint8], lines: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Draw lines (C,H,W) in [0, 1] over a darker frame: three maps are colours, the strongest of others is shown."""
    strength = lines.max(axis=0)[..., None]
    colours = np.moveaxis(lines, 0, -1) if len(lines) == 3 else strength * np.array(_LINES, np.float32) / 255
    return np.asarray((_DIM * frame * (1 - strength) + 255 * colours).clip(0, 255).astype(np.uint8))


def _mean(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(((one.astype(np.uint16) + other) // 2).astype(np.uint8))
