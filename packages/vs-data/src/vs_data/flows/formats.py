"""Files of flow as they are stored: NumPy's `.npz` and `.npy`, OpenEXR, KITTI's PNG, Middlebury's `.flo`."""

import struct
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vs_data.content import Content, bytes_of
from vs_data.errors import DataError
from vs_data.exr import read_exr
from vs_data.files import MAX_PICTURE_PIXELS
from vs_data.npz import Promise, read_npy, read_npz
from vs_data.pictures import describe, inspect_stored
from vs_data.seen import Size

FLOW_EXTENSIONS = (".npz", ".npy", ".exr", ".png", ".flo")

FLOW_ALONE = (".npz", ".flo")
"""Of these those that hold nothing but flow; pictures and numbers of any kind are in the others."""

MAX_FLOW = 1e6
"""Pixels; more is no motion, but a mark of what is not known."""

_FIX_SIZE = "compute the flow at the size of the frames, turned as their EXIF orientation says if they have one"

_FIX_UNKNOWN = "write 0 there, with confidence 0"

_EXR_CHANNELS = (("R", "G"), ("X", "Y"), ("U", "V"))

_FLO = struct.Struct("<fii")
_FLO_MAGIC = 202021.25
_FLO_UNKNOWN = 1e9  # pixels; Middlebury's files have this much and more where nothing is known

_KITTI_ZERO, _KITTI_SCALE = 2**15, 64

_F32 = NDArray[np.float32]


def read_flow(content: Content, size: Size | None = None, exr_channels: Sequence[str] = ()) -> tuple[_F32, _F32 | None]:
    """Read the vectors (H,W,2) of a file, x then y, as they are stored, and confidence (H,W) where the file knows it.

    All are of the frame's own size, finite and at most 1e6 everywhere. By its name a file is

    - `.npz`, read without pickle: `flow` (2,H,W) float16 or float32; optionally `confidence` (H,W) float, in [0,1];
    - `.npy`: (2,H,W) or (H,W,2) float16 or float32;
    - `.exr`: two channels of half or float;
    - `.png`, as KITTI writes it: 16 bits RGB, where red and green are x and y, (value - 2^15) / 64, and blue is 0 where
      nothing is known: confidence is 0 there, else 1;
    - `.flo`, as Middlebury writes it: where a vector is beyond 1e9 or no number nothing is known: confidence is 0.

    Args:
        content: The file.
        size: (H,W) of the frame, which is compared before anything large is unpacked; None: not known.
        exr_channels: Names of x and y in an `.exr` file; none: R and G, X and Y, U and V, or the only two.

    Raises:
        DataError: anything else.
    """
    match str(content).rpartition(".")[2].lower():
        case "npy":
            vectors, confidence = _read_npy(content, size), None
        case "exr":
            vectors, confidence = _read_exr(content, size, exr_channels), None
        case "png":
            vectors, confidence = _read_kitti(content, size)
        case "flo":
            vectors, confidence = _read_flo(content, size)
        case _:
            vectors, confidence = _read_npz(content, size)
    for what, known in (("not finite", np.isfinite(vectors)), ("beyond any picture", np.abs(vectors) <= MAX_FLOW)):
        unknown = np.asarray(~known.all(axis=2))
        if unknown.any():
            raise DataError(f"flow is {what} at {_first(unknown)}", file=str(content), fix=_FIX_UNKNOWN)
    return vectors, confidence


def _read_npz(content: Content, size: Size | None) -> tuple[_F32, _F32 | None]:
    arrays = read_npz(content, ("flow", "confidence"), lambda promises: _check_promises(content, promises, size))
    flow, confidence = arrays["flow"], arrays.get("confidence")
    vectors = np.ascontiguousarray(flow.transpose(1, 2, 0).astype(np.float32))  # (H,W,2)
    return vectors, None if confidence is None else _checked(content, confidence)


def _check_promises(content: Content, promises: Mapping[str, Promise], size: Size | None) -> None:
    """Raise when the arrays of a file are not what they should be by their types and shapes."""
    flow, confidence = promises.get("flow"), promises.get("confidence")
    if flow is None:
        raise DataError("holds no array 'flow'", file=str(content), fix="see the layout of flow files")
    if len(flow.shape) != 3 or flow.shape[0] != 2 or not _is_real(flow):
        raise DataError(f"flow is {flow}, expected float16 or float32 (2, H, W)", file=str(content))
    _check_size(content, (flow.shape[1], flow.shape[2]), size)
    if confidence is not None and (confidence.shape != flow.shape[1:] or not _is_real(confidence)):
        what = f"confidence is {confidence}, expected float16 or float32 {flow.shape[1:]}"
        raise DataError(what, file=str(content))


def _check_size(content: Content, found: Size, size: Size | None) -> None:
    height, width = found
    if size is not None and size != found:
        what = f"flow is {width}x{height} pixels, its frame {size[1]}x{size[0]}"
        raise DataError(what, file=str(content), fix=_FIX_SIZE)
    if height < 1 or width < 1 or height * width > MAX_PICTURE_PIXELS:
        what = f"flow is {width}x{height} pixels, at least one and at most {MAX_PICTURE_PIXELS} in all are read"
        raise DataError(what, file=str(content), fix="write the file again")


def _is_real(promise: Promise) -> bool:
    return promise.dtype.kind == "f" and promise.dtype.itemsize in (2, 4)


def _checked(content: Content, confidence: NDArray[Any]) -> _F32:
    bad = ~((confidence >= 0) & (confidence <= 1))
    if bad.any():
        raise DataError(f"confidence is not in [0,1] at {_first(bad)}", file=str(content))
    return confidence.astype(np.float32)


def _first(bad: NDArray[np.bool_]) -> str:
    y, x = np.unravel_index(int(bad.argmax()), bad.shape)
    return f"x={x}, y={y} ({int(bad.sum())} pixels)"


def _read_npy(content: Content, size: Size | None) -> _F32:
    def check(promise: Promise) -> None:
        if len(promise.shape) != 3 or not _is_real(promise) or 2 not in (promise.shape[0], promise.shape[2]):
            what = f"flow is {promise}, expected float16 or float32 (2, H, W) or (H, W, 2)"
            raise DataError(what, file=str(content))
        first = promise.shape[0] == 2
        _check_size(content, promise.shape[1:3] if first else promise.shape[:2], size)

    values = read_npy(content, check)
    return np.ascontiguousarray(values.transpose(1, 2, 0) if values.shape[0] == 2 else values, np.float32)


def _read_exr(content: Content, size: Size | None, channels: Sequence[str]) -> _F32:
    vectors = read_exr(content, channels, usual=_EXR_CHANNELS, count=2)
    _check_size(content, (vectors.shape[0], vectors.shape[1]), size)
    return vectors


def _read_kitti(content: Content, size: Size | None) -> tuple[_F32, _F32]:
    values = inspect_stored(content).values
    if values.dtype != np.uint16 or values.shape[2] != 3:
        fix = "expected flow as KITTI writes it: x, y and validity as 16 bits RGB; or write .npz or .flo files"
        raise DataError(f"is a picture of {describe(values)}, not flow", file=str(content), fix=fix)
    _check_size(content, (values.shape[0], values.shape[1]), size)
    known = values[..., 2] > 0
    vectors = (values[..., :2].astype(np.float32) - _KITTI_ZERO) / np.float32(_KITTI_SCALE)
    return _only(vectors, known), known.astype(np.float32)


def _read_flo(content: Content, size: Size | None) -> tuple[_F32, _F32]:
    data = bytes_of(content)
    magic, width, height = _FLO.unpack_from(data) if len(data) >= _FLO.size else (0.0, 0, 0)
    if magic != _FLO_MAGIC:
        raise DataError("not a readable .flo file: it begins otherwise", file=str(content), fix="write the file again")
    _check_size(content, (height, width), size)
    promised, held = height * width * 8, len(data) - _FLO.size
    if held != promised:
        what = f"not a readable .flo file: it promises {promised} bytes of numbers and holds {held}"
        raise DataError(what, file=str(content), fix="write the file again")
    vectors = np.frombuffer(data, "<f4", offset=_FLO.size).reshape(height, width, 2).astype(np.float32)
    known = np.asarray((np.abs(vectors) <= _FLO_UNKNOWN).all(axis=2))  # false for what is no number
    return _only(vectors, known), known.astype(np.float32)


def _only(vectors: _F32, known: NDArray[np.bool_]) -> _F32:
    """Return vectors with 0 where they are not known."""
    return np.asarray(np.where(known[..., None], vectors, 0), np.float32)
