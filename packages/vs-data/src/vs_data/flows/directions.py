"""From flow that leads forward to flow that leads back, and whether the two agree."""

import cv2
import numpy as np
from numpy.typing import NDArray

_F32 = NDArray[np.float32]

_LEAST_WEIGHT = (
    0.25  # of what lands on a pixel, for its mean to be trusted; it is 1 where motion is the same all around
)
_MAX_SPREAD = 0.5  # pixels; standard deviation of what lands on a pixel, beyond which it belongs to several things


def backward_of(forward: _F32, confidence: _F32 | None) -> tuple[_F32, _F32]:
    """Return flow (H,W,2) from each pixel of a frame to the frame before, and confidence (H,W), of the flow there.

    Every pixel of the frame before is carried along its vector and lands among four pixels, each of which gets its
    bilinear share (splatting). A pixel's flow is minus the mean of the vectors that land on it, by their shares.
    Confidence is 1 where the shares come to at least a quarter and the vectors differ by at most half a pixel (standard
    deviation), else 0.

    What is lost: pixels that nothing lands on, which were hidden or outside before, have flow 0 and confidence 0; not
    trusted either are those on which several things land that move apart, a thing in front and what it covers, since
    flow does not tell which is in front: a rim as wide as the thing has moved. What covers nothing loses nothing.

    Args:
        forward: (H,W,2) from each pixel of the frame before to this frame, pixels.
        confidence: (H,W) of it: what is not trusted lands with that share only; None: all of it is.
    """
    height, width = forward.shape[:2]
    rows, columns = np.mgrid[:height, :width]
    x, y = columns + forward[..., 0].astype(np.float64), rows + forward[..., 1].astype(np.float64)
    left, top = np.floor(x), np.floor(y)
    sums = np.zeros((4, height * width))  # of shares, and of x, y and squared length by their shares
    motion = forward.astype(np.float64)
    parts = (motion[..., 0], motion[..., 1], (motion**2).sum(axis=2))
    for across, down in ((0, 0), (1, 0), (0, 1), (1, 1)):
        column, row = left + across, top + down
        share = (1 - np.abs(x - column)) * (1 - np.abs(y - row)) * (1.0 if confidence is None else confidence)
        lands = (column >= 0) & (column < width) & (row >= 0) & (row < height) & (share > 0)
        index = (row[lands] * width + column[lands]).astype(np.int64)
        weights = share[lands]
        sums[0] += np.bincount(index, weights, height * width)
        for number, part in enumerate(parts, 1):
            sums[number] += np.bincount(index, weights * part[lands], height * width)
    total = sums[0]
    mean = sums[1:] / np.maximum(total, 1e-12)
    spread = np.maximum(mean[2] - mean[0] ** 2 - mean[1] ** 2, 0)
    trusted = (total >= _LEAST_WEIGHT) & (spread <= _MAX_SPREAD**2)
    flow = -mean[:2].T.reshape(height, width, 2)
    return flow.astype(np.float32), trusted.reshape(height, width).astype(np.float32)


def consistency(flow: _F32, other: _F32, relative: float, absolute: float) -> _F32:
    """Return 1 (H,W) where two flows (H,W,2) between the same two frames lead there and back, else 0.

    With a the flow and b the other one where a leads (bilinear), it is where |a + b|^2 < relative (|a|^2 + |b|^2) +
    absolute. Source: Sundaram et al., "Dense Point Trajectories by GPU-Accelerated Large Displacement Optical Flow",
    ECCV 2010, with 0.01 and 0.5.
    """
    height, width = flow.shape[:2]
    x = np.arange(width, dtype=np.float32) + flow[..., 0]
    y = np.arange(height, dtype=np.float32)[:, None] + flow[..., 1]
    back = cv2.remap(other, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    apart = ((flow + back) ** 2).sum(axis=2)
    bound = relative * ((flow**2).sum(axis=2) + (back**2).sum(axis=2)) + absolute
    return np.asarray(apart < bound, np.float32)
