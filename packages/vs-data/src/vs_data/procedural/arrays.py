"""Names for the arrays that procedural worlds are computed with, and two curves that all of them draw."""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

F32: TypeAlias = NDArray[np.floating[Any]]
"""float32 per sample. (Typed loosely: by their annotations numpy's functions widen when a Python number takes part.)"""

F64: TypeAlias = NDArray[np.float64]
"""float64, for geometry."""

Bytes: TypeAlias = NDArray[np.uint8]
Ints: TypeAlias = NDArray[np.int32]
Rows: TypeAlias = NDArray[np.intp]
"""Indices."""


def smooth(x: F32) -> F32:
    """Return the cubic step from 0 at x <= 0 to 1 at x >= 1."""
    x = np.clip(x, 0, 1)
    return np.asarray(x * x * (3 - 2 * x))


def bump(x: F32, y: F32, centre: tuple[float, float], radius: tuple[float, float]) -> F32:
    """Return a smooth hill of height 1 that ends at an ellipse."""
    q = ((x - centre[0]) / radius[0]) ** 2 + ((y - centre[1]) / radius[1]) ** 2
    return np.asarray(np.maximum(1 - q, 0) ** 2)
