"""Where things end in pictures and in labels, small enough to be kept of every frame, to tell whether both fit."""

from typing import Any, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from vs_data.seen import Size

_CELLS = 64  # on each side, whatever the shape of the picture
_FINE = 2 * _CELLS  # pixels on each side of what gradients are computed of

LINES_SIZE = (_FINE, _FINE)
"""(H, W) that lines are drawn at for an outline."""

Outline: TypeAlias = NDArray[np.uint8]
"""(64,64) how much outline there is in each cell of a picture, of the most that is in any."""


def outline_of_values(values: NDArray[Any]) -> Outline:
    """Return where a picture (H,W) or (H,W,C), of 8 bits or float32, changes."""
    small = cv2.resize(values, LINES_SIZE, interpolation=cv2.INTER_AREA).astype(np.float32).reshape(_FINE, _FINE, -1)
    down, right = (np.asarray(np.gradient(small, axis=axis), np.float32) for axis in (0, 1))
    return _cells(np.sqrt((down**2 + right**2).sum(axis=2)))


def outline_of_ids(ids: NDArray[Any]) -> Outline:
    """Return where ids (H,W) change from pixel to pixel."""
    borders = np.zeros(ids.shape, np.float32)
    borders[1:] = ids[1:] != ids[:-1]
    borders[:, 1:] += ids[:, 1:] != ids[:, :-1]
    return _cells(borders)


def outline_of_lines(lines: NDArray[np.float32]) -> Outline:
    """Return where lines (H,W) in [0, 1] are."""
    return _cells(lines)


def scale_to_lines(size: Size) -> NDArray[np.float64]:
    """Return the factors (x, y) that bring points of a picture of this size to one of `LINES_SIZE`."""
    return np.array([_FINE / size[1], _FINE / size[0]])


def _cells(strength: NDArray[np.float32]) -> Outline:
    cells = cv2.resize(strength, (_CELLS, _CELLS), interpolation=cv2.INTER_AREA)
    top = float(cells.max())
    return np.asarray(cells * (255 / top if top > 0 else 0), np.uint8)
