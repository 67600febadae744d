"""What a teacher says about a clip: flow from each frame to the one before and to the references, and confidence."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import assert_never

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vs_data.content import Content
from vs_data.flow import (
    DisFlowConfig,
    FlowConfig,
    FlowFilesConfig,
    NoFlowConfig,
    dis_flow,
    dis_flow_to,
    photometric_confidence,
    read_flow,
)
from vs_data.geometry import Geometry, apply_to_flow

_Rgb = NDArray[np.uint8]
_F32 = NDArray[np.float32]


def teach_past(
    frames: Sequence[_Rgb], paths: Sequence[Content | None], geometry: Geometry, config: FlowConfig
) -> tuple[Tensor, Tensor] | None:
    """Return flow and confidence of each frame to the one before it; both zero for the first. None without a teacher.

    Args:
        frames: (H,W,3) RGB, consecutive, at the final size.
        paths: Flow file of each frame; the first is not looked at. Needed by the teacher that reads files alone.
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
            return _tensors([zeros, *_read_past(frames, paths, geometry, config)])
        case DisFlowConfig():
            return _tensors([zeros, *_compute_past(frames, config)])
        case _:
            assert_never(config)


def teach_references(
    frames: Sequence[_Rgb], references: Sequence[_Rgb], config: FlowConfig
) -> tuple[Tensor, Tensor] | None:
    """Return flow and confidence of each frame to each reference: (T,K,2,H,W) and (T,K,1,H,W) float32.

    None without a teacher that can be asked about any two pictures: files hold the flow between neighbours alone.
    """
    match config:
        case DisFlowConfig():
            return _compute_references(frames, references, config)
        case NoFlowConfig() | FlowFilesConfig():
            return None
        case _:
            assert_never(config)


def _read_past(
    frames: Sequence[_Rgb], paths: Sequence[Content | None], geometry: Geometry, config: FlowFilesConfig
) -> Iterator[tuple[_F32, _F32]]:
    for (before, now), path in zip(pairwise(frames), paths[1:], strict=True):
        assert path is not None  # noqa: S101 - open_folder has seen that every frame but the first has its file
        yield _from_file(path, geometry, before, now, config)


def _compute_past(frames: Sequence[_Rgb], config: DisFlowConfig) -> Iterator[tuple[_F32, _F32]]:
    for (before, now), flow in zip(pairwise(frames), dis_flow(frames, config)[1:], strict=True):
        yield flow, photometric_confidence(before, now, flow, config.confidence)


def _compute_references(
    frames: Sequence[_Rgb], references: Sequence[_Rgb], config: DisFlowConfig
) -> tuple[Tensor, Tensor]:
    taught = []
    for reference in references:
        flows = dis_flow_to(reference, frames, config)
        trust = [
            photometric_confidence(reference, frame, flow, config.confidence)
            for frame, flow in zip(frames, flows, strict=True)
        ]
        taught.append(_tensors(list(zip(flows, trust, strict=True))))
    flow, confidence = zip(*taught, strict=True)
    return torch.stack(flow, dim=1), torch.stack(confidence, dim=1)


def _tensors(taught: Sequence[tuple[_F32, _F32]]) -> tuple[Tensor, Tensor]:
    """Return flow (H,W,2) and confidence (H,W) of every frame as (T,2,H,W) and (T,1,H,W)."""
    flows, confidences = (np.stack(each) for each in zip(*taught, strict=True))
    return torch.from_numpy(flows.transpose(0, 3, 1, 2).copy()), torch.from_numpy(confidences[:, None])


def _from_file(
    path: Content, geometry: Geometry, before: _Rgb, now: _Rgb, config: FlowFilesConfig
) -> tuple[_F32, _F32]:
    flow, given = read_flow(path, geometry.source)
    scaled, trust = apply_to_flow(geometry, flow, np.ones(geometry.source, np.float32) if given is None else given)
    if given is None:
        trust = trust * photometric_confidence(before, now, scaled, config.confidence)
    return scaled, trust
