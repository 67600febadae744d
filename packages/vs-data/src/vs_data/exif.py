"""The orientation that EXIF data ask for: how a camera was held, so that viewers turn its pictures upright."""

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

PREFIX = b"Exif\0\0"
"""What stands before the data in JPEG always, in other files sometimes."""

_BYTE_ORDERS: dict[bytes, Literal["little", "big"]] = {b"II*\0": "little", b"MM\0*": "big"}
_TAG = 0x0112
_SHORT = 3


def orientation_of(exif: bytes) -> int:
    """Return the orientation in EXIF data, 1 (upright) to 8; as viewers do, 1 where they hold none or make no sense.

    Source: Exif 2.32, 4.6.4; TIFF 6.0, section 2.
    """
    tiff = exif.removeprefix(PREFIX)
    order = _BYTE_ORDERS.get(tiff[:4])
    if order is None:
        return 1

    def number(start: int, size: int) -> int:
        return int.from_bytes(tiff[start : start + size], order)

    start = number(4, 4)
    for entry in range(start + 2, start + 2 + 12 * number(start, 2), 12):
        if entry + 12 > len(tiff):
            return 1
        if number(entry, 2) == _TAG:
            value = number(entry + 8, 2)
            return value if number(entry + 2, 2) == _SHORT and 1 <= value <= 8 else 1
    return 1


def turned(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Return pixels (H,W,...) as a viewer shows them: (H,W,...), or (W,H,...) for orientations 5 to 8."""
    if orientation == 1:
        return pixels
    upright = pixels.swapaxes(0, 1) if orientation > 4 else pixels
    turn = (orientation - 1) % 4
    if turn in (1, 2):
        upright = upright[:, ::-1]
    if turn in (2, 3):
        upright = upright[::-1]
    return np.ascontiguousarray(upright)
