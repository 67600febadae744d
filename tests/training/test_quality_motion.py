import pytest
import torch
from vs_metrics import flow_changes
from vs_training.quality.motion import estimate_flow


def test_the_flow_is_backward_and_a_video_of_one_frame_has_none():
    """A pattern that moves to the left by two pixels comes from two pixels further right."""
    wide = torch.rand(1, 3, 12, 20, generator=torch.Generator().manual_seed(0))
    pattern = torch.nn.functional.interpolate(wide, size=(96, 160), mode="bicubic").clamp(0, 1) * 2 - 1
    before, now = pattern[..., :64, 8:136], pattern[..., :64, 10:138]
    middle = estimate_flow(before, now)[0].flatten(1).median(dim=1).values
    assert middle.tolist() == pytest.approx([2.0, 0.0], abs=0.01)
    errors, weights = flow_changes(now, before, estimate_flow)
    assert (errors.tolist(), weights.tolist()) == ([0.0], [0.0])
