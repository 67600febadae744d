"""Motion out of files: whatever they hold becomes flow back to the frame before, in pixels, y down."""

import numpy as np
from numpy.typing import NDArray

from vs_data.content import Content
from vs_data.errors import DataError
from vs_data.flow import FlowFilesConfig, ForwardBackwardConfig, OcclusionConfig
from vs_data.flows.directions import backward_of, consistency
from vs_data.flows.formats import read_flow
from vs_data.flows.places import MotionFiles
from vs_data.geometry import Geometry, apply_to_flow
from vs_data.pictures import inspect_wide_ids
from vs_data.seen import Size, size_of

_F32 = NDArray[np.float32]


def read_vectors(content: Content, config: FlowFilesConfig, size: Size | None) -> tuple[_F32, _F32 | None]:
    """Read vectors (H,W,2) in pixels, y down, and confidence (H,W) where the file knows it; else None.

    They lead where the configuration's direction says.

    Raises:
        DataError: the file is bad.
    """
    vectors, confidence = read_flow(content, size, config.exr_channels)
    return in_pixels(vectors, config, size_of(vectors)), confidence


def in_pixels(vectors: _F32, config: FlowFilesConfig, size: Size) -> _F32:
    """Return stored vectors (H,W,2) in pixels of frames of a size, y down, leading where the direction says."""
    height, width = size
    x, y = (width, height) if config.units == "normalised" else (1, 1)
    sign = -1 if config.negate else 1
    return vectors * np.array((sign * x, -sign * y if config.y == "up" else sign * y), np.float32)


def read_occlusion(content: Content, config: OcclusionConfig, size: Size | None) -> NDArray[np.bool_]:
    """Read a mask, and return where (H,W) pixels can be seen in the other frame too.

    Raises:
        DataError: the file is bad, or of another size.
    """
    mask = inspect_wide_ids(content).ids
    if size is not None and size != size_of(mask):
        what = f"the mask is {mask.shape[1]}x{mask.shape[0]} pixels, the flow {size[1]}x{size[0]}"
        raise DataError(what, file=str(content), fix="write it at the size of the flow")
    return np.asarray(mask == 0 if config.occluded == "nonzero" else mask != 0)


def read_backward(files: MotionFiles, config: FlowFilesConfig, size: Size | None) -> tuple[_F32, _F32 | None]:
    """Read flow (H,W,2) of a frame back to the one before it, and the confidence in it, (H,W), or None: nobody tells.

    Args:
        files: Where it is.
        config: What they hold.
        size: (H,W) of the frames; None: not known.

    Raises:
        DataError: a file is bad.
    """
    flow, trust = read_vectors(files.flow, config, size)
    match config.confidence:
        case OcclusionConfig() as how if files.occlusion is not None:
            trust = _both(trust, read_occlusion(files.occlusion, how, size_of(flow)))
        case ForwardBackwardConfig() as how if files.other is not None:
            other, known = read_vectors(files.other, config, size_of(flow))
            agrees = consistency(flow, other, how.relative, how.absolute)
            trust = _both(trust, agrees if known is None else agrees * known)
        case _:
            pass
    return backward_of(flow, trust) if config.direction == "forward" else (flow, trust)


def through(files: MotionFiles, config: FlowFilesConfig, geometry: Geometry) -> tuple[_F32, _F32, bool]:
    """Read flow and confidence as those of a clip, and say whether the confidence is known.

    Where nobody tells it, flow is trusted wherever it points into the picture.

    Raises:
        DataError: a file is bad, or not of the size that the geometry begins with.
    """
    flow, known = read_backward(files, config, geometry.source)
    ones = np.ones(geometry.source, np.float32)
    return *apply_to_flow(geometry, flow, ones if known is None else known), known is not None


def _both(trust: _F32 | None, seen: NDArray[np.float32] | NDArray[np.bool_]) -> _F32:
    return np.asarray(seen if trust is None else trust * seen, np.float32)
