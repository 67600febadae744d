"""Where a frame lies in the input of a network, and the way back from its output to pixels of the frame."""

from typing import Any, Literal

import attrs
import cv2
import numpy as np
from numpy.typing import NDArray

from vs_data.seen import Size


@attrs.frozen(kw_only=True)
class Fit:
    """The place of a frame in the input of a network.

    Attributes:
        source: (H, W) of the frame.
        size: (H, W) of the input.
        box: (top, left, height, width) of what shows the frame there, pixels; bars are around it.
    """

    source: Size
    size: Size
    box: tuple[int, int, int, int]

    @property
    def scale(self) -> tuple[float, float]:
        """Pixels of the input for each of the frame, across and down."""
        return self.box[3] / self.source[1], self.box[2] / self.source[0]


def plan_fit(source: Size, size: Size, fit: Literal["stretch", "letterbox", "pad"]) -> Fit:
    """Place a frame in an input: over all of it, or in the middle, in its proportions, as large as it fits.

    Padded, it is not enlarged.
    """
    if fit == "stretch":
        return Fit(source=source, size=size, box=(0, 0, *size))
    scale = min(size[0] / source[0], size[1] / source[1], 1.0 if fit == "pad" else np.inf)
    height, width = (max(1, min(most, round(length * scale))) for length, most in zip(source, size, strict=True))
    return Fit(source=source, size=size, box=((size[0] - height) // 2, (size[1] - width) // 2, height, width))


def place(fit: Fit, frame: NDArray[np.uint8], pad: int) -> NDArray[np.uint8]:
    """Return the input that shows a frame (H,W,3): area averages where it shrinks, else bilinear."""
    top, left, height, width = fit.box
    shrinks = height <= fit.source[0] and width <= fit.source[1]
    resized = cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    if (height, width) == fit.size:
        return np.asarray(resized, np.uint8)
    whole = np.full((*fit.size, frame.shape[2]), pad, np.uint8)
    whole[top : top + height, left : left + width] = resized
    return whole


def points_back(fit: Fit, points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return points (n,2), x and y of the input, as pixels of the frame; whole numbers are centres of pixels."""
    top, left, _, _ = fit.box
    return np.asarray((points + 0.5 - (left, top)) / fit.scale - 0.5)


def map_back(fit: Fit, plane: NDArray[Any], *, nearest: bool = False) -> NDArray[Any]:
    """Return a map (h,w) over the whole input, whatever its own size, as one (H,W) over the frame.

    Args:
        fit: Where the frame is.
        plane: Of any size; its corners are those of the input.
        nearest: The nearest value, for ids; else bilinear.
    """
    top, left, _, _ = fit.box
    across, down = (plane.shape[1] / fit.size[1], plane.shape[0] / fit.size[0])
    x, y = fit.scale[0] * across, fit.scale[1] * down
    # Centres of pixels are whole numbers: x of the frame is (x + 0.5) * scale + left - 0.5 in the input.
    matrix = np.array([[x, 0, x / 2 + left * across - 0.5], [0, y, y / 2 + top * down - 0.5]])
    how = (cv2.INTER_NEAREST if nearest else cv2.INTER_LINEAR) | cv2.WARP_INVERSE_MAP
    size = (fit.source[1], fit.source[0])
    return np.asarray(cv2.warpAffine(plane, matrix, size, flags=how, borderMode=cv2.BORDER_REPLICATE))
