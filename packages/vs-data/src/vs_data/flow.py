"""Teachers of flow for clips from folders: none, OpenCV's DIS, files or a network; and how far each is trusted."""

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Literal, TypeAlias, assert_never

import attrs
import cv2
import numpy as np
from numpy.typing import NDArray
from vs_config import REQUIRED, Check, Problem, check_fields, choice, path, real, table, texts, truth, whole

from vs_data.fields import folder_name
from vs_data.geometry import inside
from vs_data.threads import one_opencv_thread

_LAYOUTS = ("auto", "nchw", "nhwc")

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
class TrustedConfig:
    """Confidence as the files have it, or else 1 wherever flow points into the picture, behind other things too."""

    kind: ClassVar[str] = "trusted"


@attrs.frozen(kw_only=True)
class OcclusionConfig:
    """Confidence from masks, PNG files named as those of the flow: where pixels are hidden in the other frame."""

    kind: ClassVar[str] = "occlusion"

    folder: str = folder_name("occlusion", "folder of the masks, beside the images")
    occluded: Literal["nonzero", "zero"] = choice("nonzero", "value of pixels that are hidden", ("nonzero", "zero"))


@attrs.frozen(kw_only=True)
class ThereAndBackConfig:
    """Confidence where a network's flow in both directions leads there and back; see `vs_data.flows.consistency`."""

    kind: ClassVar[str] = "forward-backward"

    relative: float = real(0.01, "of the squared lengths of both, by which they may be apart", low=0.0, high=1.0)
    absolute: float = real(0.5, "and so much in any case, squared", low=0.0, high=1e4, unit="pixels squared")


@attrs.frozen(kw_only=True)
class ForwardBackwardConfig(ThereAndBackConfig):
    """The same with files: those of the flow lead back, others lead forward, named as the frames that they begin at."""

    folder: str = folder_name("flow_forward", "folder of the flow to the next frame, beside the images")


FileConfidence: TypeAlias = PhotometricConfig | TrustedConfig | OcclusionConfig | ForwardBackwardConfig
NetworkConfidence: TypeAlias = ThereAndBackConfig | PhotometricConfig


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


def _check_other(config: "FlowFilesConfig") -> Iterator[Problem]:
    match config.confidence:
        case ForwardBackwardConfig() if config.direction == "forward":
            expected = (
                "'backward' with confidence.kind = 'forward-backward': where there is both, backward needs no turning"
            )
            yield Problem("direction", expected=expected, got=config.direction)
        case ForwardBackwardConfig(folder=name) | OcclusionConfig(folder=name) if name == config.folder:
            yield Problem("confidence.folder", expected="another folder than that of the flow", got=name)
        case _:
            pass


def _check_channels(config: "FlowFilesConfig") -> Iterator[Problem]:
    if len(config.exr_channels) == 1:
        yield Problem("exr_channels", expected="two names, or none", got=config.exr_channels)


@attrs.frozen(kw_only=True)
class FlowFilesConfig:
    """Files `FOLDER/SEQ/FRAME.npz`, or `.npy`, `.exr`, `.png` (KITTI), `.flo`; see `vs_data.flows.read_flow`.

    Backward flow leads from a frame to the one before it, so that the first frame needs no file. Forward flow leads
    from a frame to the next, so that the last needs none; it is turned round, see `vs_data.flows.backward_of`.
    """

    kind: ClassVar[str] = "files"

    folder: str = folder_name("flow", "folder of the flow files, beside the images")
    direction: Literal["backward", "forward"] = choice(
        "backward", "where a frame's vectors lead: to the frame before, or to the next", ("backward", "forward")
    )
    units: Literal["pixels", "normalised"] = choice(
        "pixels", "of the vectors; normalised: x is a fraction of the width, y of the height", ("pixels", "normalised")
    )
    y: Literal["down", "up"] = choice("down", "where positive y points", ("down", "up"))
    negate: bool = truth(
        False, "vectors are the other way round: how far a pixel has come, where direction says to where it leads"
    )
    exr_channels: tuple[str, ...] = texts(
        (), "names of x and y in .exr files; empty: R and G, X and Y, U and V, or the only two", high=2
    )
    confidence: FileConfidence = table(
        PhotometricConfig, "where the flow is trusted, beside what the files say themselves"
    )

    CHECKS: ClassVar[tuple[Check, ...]] = (
        Check(("direction", "confidence", "folder"), _check_other),
        Check(("exr_channels",), _check_channels),
    )

    def __attrs_post_init__(self) -> None:
        check_fields(self)


def _check_levels(config: "NetworkFlowConfig") -> Iterator[Problem]:
    if config.low == config.high:
        yield Problem("high", expected="another number than low", got=config.high)


@attrs.frozen(kw_only=True)
class NetworkFlowConfig:
    """A network that somebody brings: two frames in, flow out; computed on the augmented frames at their final size.

    What the file does not say by its names, shapes and types is said here, as to `vs-data extract --kind flow`.
    """

    kind: ClassVar[str] = "network"

    path: str = path(REQUIRED, "the network, an exported program (.pt2) or an ONNX file")
    first: Literal["now", "before"] = choice(
        "now",
        "which frame it gets first: flow leads from the first to the second, if it is the present one",
        ("now", "before"),
    )
    units: Literal["pixels", "normalised"] = choice(
        "pixels", "of its flow: pixels of its input, or fractions of its width and height", ("pixels", "normalised")
    )
    layout: Literal["auto", "nchw", "nhwc"] = choice("auto", "where channels are; auto: its shapes say it", _LAYOUTS)
    colours: Literal["rgb", "bgr"] = choice("rgb", "order of the channels", ("rgb", "bgr"))
    low: float = real(0.0, "what black is, where it takes real numbers", low=-1e6, high=1e6)
    high: float = real(1.0, "what white is", low=-1e6, high=1e6)
    multiple: int = whole(1, "frames are padded to sizes that this divides", low=1, high=1024, unit="pixels")
    output: tuple[str, ...] = texts((), "name of the output that is flow; empty: the only one of that shape", high=1)
    confidence: NetworkConfidence = table(ThereAndBackConfig, "where the flow is trusted")

    CHECKS: ClassVar[tuple[Check, ...]] = (Check(("low", "high"), _check_levels),)

    def __attrs_post_init__(self) -> None:
        check_fields(self)


FlowConfig: TypeAlias = NoFlowConfig | DisFlowConfig | FlowFilesConfig | NetworkFlowConfig


def flow_files(config: FlowConfig) -> FlowFilesConfig | None:
    """Return which files the flow is in; None: it is in none."""
    match config:
        case FlowFilesConfig():
            return config
        case NoFlowConfig() | DisFlowConfig() | NetworkFlowConfig():
            return None
        case _:
            assert_never(config)


Pair: TypeAlias = tuple[NDArray[np.uint8], NDArray[np.uint8]]
"""The frame that flow leads to, and the frame that it begins at, (H,W,3) RGB."""


def dis_flow(pairs: Sequence[Pair], config: DisFlowConfig) -> list[NDArray[np.float32]]:
    """Return flow (H,W,2) from the second frame of each pair to the first.

    Source: Kroeger et al., "Fast Optical Flow using Dense Inverse Search", ECCV 2016, as OpenCV implements it.
    """
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
