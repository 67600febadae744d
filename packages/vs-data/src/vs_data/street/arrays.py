"""Names for the arrays that the street is computed with."""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

F32: TypeAlias = NDArray[np.floating[Any]]
"""float32 per pixel. (Typed loosely: by their annotations numpy's functions widen when a Python number takes part.)"""

F64: TypeAlias = NDArray[np.float64]
"""float64, for geometry."""

Bytes: TypeAlias = NDArray[np.uint8]
Ints: TypeAlias = NDArray[np.int32]
Rows: TypeAlias = NDArray[np.intp]
"""Indices."""
