"""What a teacher says about a clip: flow from each frame to the one before and to the references, and confidence."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import assert_never

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vs_data.flow import (
    DisFlowConfig,
    FlowConfig,
    FlowFilesConfig,
    NetworkFlowConfig,
    NoFlowConfig,
    Pair,
    PhotometricConfig,
    dis_flow,
    photometric_confidence,
)
from vs_data.flows import MotionFiles, through
from vs_data.flows.networks import network_flow
from vs_data.geometry import Geometry

_Rgb = NDArray[np.uint8]
_F32 = NDArray[np.float32]


def teach_past(
    frames: Sequence[_Rgb], files: Sequence[MotionFiles | None], geometry: Geometry, config: FlowConfig
) -> tuple[Tensor, Tensor] | None:
    """Return flow and confidence of each frame to the one before it; both zero for the first. None without a teacher.

    Args:
        frames: (H,W,3) RGB, consecutive, at the final size.
        files: Of the motion of each frame; the first are not looked at. Needed by the teacher that reads files alone.
        geometry: How the frames were made from their pictures.
        config: The teacher.

    Returns:
        (T,2,H,W) and (T,1,H,W) float32.
    """
    zeros = np.zeros((*geometry.size, 2), np.float32), np.zeros(geometry.size, np.float32)
    match config:
        case NoFlowConfig():
            return None
        case FlowFilesConfig():
            return _tensors([zeros, *_read_past(frames, files, geometry, config)])
        case DisFlowConfig() | NetworkFlowConfig():
            return _tensors([zeros, *_compute(list(pairwise(frames)), config)])
        case _:
            assert_never(config)


def teach_references(
    frames: Sequence[_Rgb], references: Sequence[_Rgb], config: FlowConfig
) -> tuple[Tensor, Tensor] | None:
    """Return flow and confidence of each frame to each reference: (T,K,2,H,W) and (T,K,1,H,W) float32.

    None without a teacher that can be asked about any two pictures: files hold the flow between neighbours alone.
    """
    match config:
        case DisFlowConfig() | NetworkFlowConfig():
            return _compute_references(frames, references, config)
        case NoFlowConfig() | FlowFilesConfig():
            return None
        case _:
            assert_never(config)


def _read_past(
    frames: Sequence[_Rgb], files: Sequence[MotionFiles | None], geometry: Geometry, config: FlowFilesConfig
) -> Iterator[tuple[_F32, _F32]]:
    for (before, now), motion in zip(pairwise(frames), files[1:], strict=True):
        assert motion is not None  # noqa: S101 - only the first frame of a sequence has none
        flow, trust, known = through(motion, config, geometry)
        match config.confidence:
            case PhotometricConfig() as how if not known:
                yield flow, trust * photometric_confidence(before, now, flow, how)
            case _:
                yield flow, trust


def _compute(pairs: Sequence[Pair], config: DisFlowConfig | NetworkFlowConfig) -> Iterator[tuple[_F32, _F32]]:
    """Yield flow from the second frame of each pair to the first, and confidence."""
    match config:
        case DisFlowConfig():
            for (before, now), flow in zip(pairs, dis_flow(pairs, config), strict=True):
                yield flow, photometric_confidence(before, now, flow, config.confidence)
        case NetworkFlowConfig():
            yield from network_flow(pairs, config)
        case _:
            assert_never(config)


def _compute_references(
    frames: Sequence[_Rgb], references: Sequence[_Rgb], config: DisFlowConfig | NetworkFlowConfig
) -> tuple[Tensor, Tensor]:
    taught = [_tensors(list(_compute([(reference, frame) for frame in frames], config))) for reference in references]
    flow, confidence = zip(*taught, strict=True)
    return torch.stack(flow, dim=1), torch.stack(confidence, dim=1)


def _tensors(taught: Sequence[tuple[_F32, _F32]]) -> tuple[Tensor, Tensor]:
    """Return flow (H,W,2) and confidence (H,W) of every frame as (T,2,H,W) and (T,1,H,W)."""
    flows, confidences = (np.stack(each) for each in zip(*taught, strict=True))
    return torch.from_numpy(flows.transpose(0, 3, 1, 2).copy()), torch.from_numpy(confidences[:, None])
