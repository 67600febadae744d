"""Teacher flow for clips from folders: none, OpenCV's DIS, or files computed before; and how far to trust it."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, ClassVar, Literal, TypeAlias, assert_never

import attrs
import cv2
import numpy as np
from numpy.typing import NDArray
from vs_config import choice, real, table

from vs_data.content import Content
from vs_data.errors import DataError
from vs_data.fields import folder_name
from vs_data.files import MAX_PICTURE_PIXELS
from vs_data.geometry import inside
from vs_data.npz import Promise, read_npz
from vs_data.threads import one_opencv_thread

FLOW_EXTENSIONS = (".npz",)

_FIX_SIZE = "compute the flow at the size of the frames, turned as their EXIF orientation says if they have one"

_FIX_UNKNOWN = "write 0 there, with confidence 0"

MAX_FLOW = 1e6
"""Pixels; more is no motion, but a mark of what is not known: 1e9 or 1e10 in Middlebury's files."""

_PRESETS = {
    "ultrafast": cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST,
    "fast": cv2.DISOPTICAL_FLOW_PRESET_FAST,
    "medium": cv2.DISOPTICAL_FLOW_PRESET_MEDIUM,
}


@attrs.frozen(kw_only=True)
class PhotometricConfig:
    """Confidence from how well the previous frame, warped by the flow, agrees with the current one."""

    kind: ClassVar[str] = "photometric"

    threshold: float = real(
        0.05, "mean absolute RGB difference (0 to 1) up to which the flow is fully trusted", low=0.0, high=1.0
    )
    fade: float = real(0.05, "further difference over which the trust falls from 1 to 0", low=1e-6, high=1.0)


@attrs.frozen(kw_only=True)
class NoFlowConfig:
    """No teacher: clips have no flow."""

    kind: ClassVar[str] = "none"


@attrs.frozen(kw_only=True)
class DisFlowConfig:
    """OpenCV's DIS (dense inverse search), computed on the augmented frames at their final size."""

    kind: ClassVar[str] = "dis"

    preset: Literal["ultrafast", "fast", "medium"] = choice("medium", "speed against quality of DIS", tuple(_PRESETS))
    confidence: PhotometricConfig = table(PhotometricConfig, "where the flow is trusted")


@attrs.frozen(kw_only=True)
class FlowFilesConfig:
    """Files `FOLDER/SEQ/FRAME.npz`, see `read_flow`; the first frame of a sequence needs none."""

    kind: ClassVar[str] = "files"

    folder: str = folder_name("flow", "folder of the flow files, beside the images")
    confidence: PhotometricConfig = table(
        PhotometricConfig, "where the flow is trusted, for files without 'confidence'"
    )


FlowConfig: TypeAlias = NoFlowConfig | DisFlowConfig | FlowFilesConfig


def flow_files(config: FlowConfig) -> FlowFilesConfig | None:
    """Return which files the flow is in; None: it is in none."""
    match config:
        case FlowFilesConfig():
            return config
        case NoFlowConfig() | DisFlowConfig():
            return None
        case _:
            assert_never(config)


def dis_flow(frames: Sequence[NDArray[np.uint8]], config: DisFlowConfig) -> list[NDArray[np.float32]]:
    """Return the backward flow (H,W,2) of each frame (H,W,3) RGB to the one before it; zeros for the first.

    Source: Kroeger et al., "Fast Optical Flow using Dense Inverse Search", ECCV 2016, as OpenCV implements it.
    """
    return [np.zeros((*frames[0].shape[:2], 2), np.float32), *_dis(list(pairwise(frames)), config)]


def dis_flow_to(
    reference: NDArray[np.uint8], frames: Sequence[NDArray[np.uint8]], config: DisFlowConfig
) -> list[NDArray[np.float32]]:
    """Return flow (H,W,2) of each frame (H,W,3) RGB to a reference: where in the reference a pixel of the frame is."""
    return _dis([(reference, frame) for frame in frames], config)


def _dis(
    pairs: Sequence[tuple[NDArray[np.uint8], NDArray[np.uint8]]], config: DisFlowConfig
) -> list[NDArray[np.float32]]:
    """Return flow from the second picture of each pair to the first."""
    dis = cv2.DISOpticalFlow.create(_PRESETS[config.preset])
    start: Any = None  # no initial flow; OpenCV's annotations forget that it may be left out
    flows = []
    with one_opencv_thread():  # DIS cuts its work into a stripe per thread: a fixed number makes its result repeatable
        for before, now in pairs:
            grey_now, grey_before = (cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) for picture in (now, before))
            flows.append(np.asarray(dis.calc(grey_now, grey_before, start), np.float32))
    return flows


def photometric_confidence(
    before: NDArray[np.uint8], now: NDArray[np.uint8], flow: NDArray[np.float32], config: PhotometricConfig
) -> NDArray[np.float32]:
    """Return the trust (H,W) in backward `flow` (H,W,2) from frame `now` to frame `before`, both (H,W,3) RGB.

    With e the mean over RGB of |warp(before, flow) - now| / 255, it is clip(1 - (e - threshold) / fade, 0, 1), and 0
    where the flow points outside of the picture. Warping is bilinear.
    """
    height, width = flow.shape[:2]
    x = np.arange(width, dtype=np.float32) + flow[..., 0]
    y = np.arange(height, dtype=np.float32)[:, None] + flow[..., 1]
    warped = cv2.remap(before, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    error = cv2.absdiff(warped, now).mean(axis=2, dtype=np.float32) / 255.0
    trust = np.clip(1.0 - (error - config.threshold) / config.fade, 0.0, 1.0) * inside(flow)
    return np.asarray(trust, np.float32)


def read_flow(
    path: Content, size: tuple[int, int] | None = None
) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    """Read flow (H,W,2) and confidence (H,W) or None from a file.

    The file is a NumPy `.npz` (read without pickle) of the frame's own size: `flow` (2,H,W) float16 or float32, pixels,
    x then y, backward (where in the frame before a pixel comes from), finite and at most 1e6 everywhere; optionally
    `confidence` (H,W) float, in [0,1]. Where the flow is not known, write 0 with confidence 0.

    Args:
        path: The file.
        size: (H,W) of the frame, which is compared before anything is unpacked; None: not known.

    Raises:
        DataError: anything else.
    """
    arrays = read_npz(path, ("flow", "confidence"), lambda promises: _check_promises(path, promises, size))
    flow, confidence = arrays["flow"], arrays.get("confidence")
    vectors = np.ascontiguousarray(flow.transpose(1, 2, 0).astype(np.float32))  # (H,W,2)
    for what, known in (("not finite", np.isfinite(vectors)), ("beyond any picture", np.abs(vectors) <= MAX_FLOW)):
        unknown = np.asarray(~known.all(axis=2))
        if unknown.any():
            raise DataError(f"flow is {what} at {_first(unknown)}", file=str(path), fix=_FIX_UNKNOWN)
    return vectors, None if confidence is None else _checked(path, confidence)


def _check_promises(path: Content, promises: Mapping[str, Promise], size: tuple[int, int] | None) -> None:
    """Raise when the arrays of a file are not what they should be by their types and shapes."""
    flow, confidence = promises.get("flow"), promises.get("confidence")
    if flow is None:
        raise DataError("holds no array 'flow'", file=str(path), fix="see the layout of flow files")
    if len(flow.shape) != 3 or flow.shape[0] != 2 or not _is_real(flow):
        raise DataError(f"flow is {flow}, expected float16 or float32 (2, H, W)", file=str(path))
    height, width = flow.shape[1:]
    if size is not None and size != (height, width):
        what = f"flow is {width}x{height} pixels, its frame {size[1]}x{size[0]}"
        raise DataError(what, file=str(path), fix=_FIX_SIZE)
    if not 0 < height * width <= MAX_PICTURE_PIXELS:
        what = f"flow is {width}x{height} pixels, at least one and at most {MAX_PICTURE_PIXELS} in all are read"
        raise DataError(what, file=str(path), fix="write the file again")
    if confidence is not None and (confidence.shape != (height, width) or not _is_real(confidence)):
        what = f"confidence is {confidence}, expected float16 or float32 {(height, width)}"
        raise DataError(what, file=str(path))


def _is_real(promise: Promise) -> bool:
    return promise.dtype.kind == "f" and promise.dtype.itemsize in (2, 4)


def _checked(path: Content, confidence: NDArray[Any]) -> NDArray[np.float32]:
    bad = ~((confidence >= 0) & (confidence <= 1))
    if bad.any():
        raise DataError(f"confidence is not in [0,1] at {_first(bad)}", file=str(path))
    return confidence.astype(np.float32)


def _first(bad: NDArray[np.bool_]) -> str:
    y, x = np.unravel_index(int(bad.argmax()), bad.shape)
    return f"x={x}, y={y} ({int(bad.sum())} pixels)"
