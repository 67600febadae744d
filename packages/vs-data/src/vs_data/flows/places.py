"""Where the motion of a frame lies: in which folders, and under the name of which frame."""

import attrs

from vs_data.content import Content
from vs_data.flow import FlowFilesConfig, ForwardBackwardConfig, OcclusionConfig, PhotometricConfig, TrustedConfig
from vs_data.flows.formats import FLOW_EXTENSIONS
from vs_data.layout import Folder, FrameFiles, file_of

MASK_EXTENSIONS = (".png",)

_FIRST, _LAST = 0, -1


@attrs.frozen(kw_only=True)
class MotionFiles:
    """The files that tell the motion of a frame.

    Attributes:
        flow: Of the frame, or where it leads forward, of the frame before.
        occlusion: The mask of the pixels of `flow`.
        other: Flow of the other direction between the same two frames.
    """

    flow: Content
    occlusion: Content | None = None
    other: Content | None = None


def flow_folders(config: FlowFilesConfig) -> tuple[Folder, ...]:
    """Return the folders that motion is read from: flow, then masks or flow of the other direction."""
    lacking = _LAST if config.direction == "forward" else _FIRST
    flow = Folder(name=config.folder, extensions=FLOW_EXTENSIONS, may_lack=(lacking,))
    match config.confidence:
        case OcclusionConfig(folder=name):
            return flow, Folder(name=name, extensions=MASK_EXTENSIONS, may_lack=(lacking,))
        case ForwardBackwardConfig(folder=name):
            return flow, Folder(name=name, extensions=FLOW_EXTENSIONS, may_lack=(_LAST,))
        case TrustedConfig() | PhotometricConfig():
            return (flow,)


def motion_files(config: FlowFilesConfig, files: FrameFiles, frame: int) -> MotionFiles | None:
    """Return the files of the motion from the frame before; None for the first frame of a sequence, which has none."""
    if frame == 0:
        return None
    here = frame - 1 if config.direction == "forward" else frame
    flow = _present(config.folder, files, here)
    match config.confidence:
        case OcclusionConfig(folder=name):
            return MotionFiles(flow=flow, occlusion=_present(name, files, here))
        case ForwardBackwardConfig(folder=name):
            return MotionFiles(flow=flow, other=_present(name, files, frame - 1))
        case TrustedConfig() | PhotometricConfig():
            return MotionFiles(flow=flow)


def _present(folder: str, files: FrameFiles, frame: int) -> Content:
    content = file_of(folder, files, frame)
    assert content is not None  # noqa: S101 - whoever has listed the files has seen that this one is there
    return content
