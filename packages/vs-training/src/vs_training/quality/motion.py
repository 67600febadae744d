"""The flow that both videos are looked at by: OpenCV's DIS, which knows nothing of how the frames were made."""

import torch
from torch import Tensor
from vs_data.flow import DisFlowConfig, dis_flow
from vs_metrics import frame_to_uint8

DIS = DisFlowConfig()
"""Settings of the estimator."""


def estimate_flow(before: Tensor, now: Tensor) -> Tensor:
    """Return the backward flow (N, 2, H, W), pixels, from frames to those before them, (N, 3, H, W) in [-1, 1]."""
    flows = torch.zeros(now.shape[0], 2, *now.shape[-2:])  # of no frames, as of a clip of one, there are none
    pairs = [(frame_to_uint8(a), frame_to_uint8(b)) for a, b in zip(before, now, strict=True)]
    for flow, found in zip(flows, dis_flow(pairs, DIS), strict=True):
        flow.copy_(torch.from_numpy(found).movedim(-1, 0))
    return flows
