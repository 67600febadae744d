import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from vs_metrics import (
    ShapeError,
    average_of,
    distance_changes,
    flicker_errors,
    flow_changes,
    mean_of,
    warping_errors,
)


def still(frames: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return no motion, trusted everywhere but at the first frame, which has none before it."""
    shape = (*frames.shape[:-3], 1, *frames.shape[-2:])
    confidence = torch.ones(shape)
    confidence[..., 0, :, :, :] = 0.0
    return torch.zeros(*frames.shape[:-3], 2, *frames.shape[-2:]), confidence


def flicker(frames: torch.Tensor) -> float:
    return mean_of(average_of(*flicker_errors(frames, *still(frames))))


def steady(*levels: float) -> torch.Tensor:
    return torch.tensor(levels).view(-1, 1, 1, 1).expand(-1, 3, 16, 24)


@settings(deadline=None, max_examples=20)
@given(step=st.floats(0.01, 0.2), frames=st.integers(3, 7))
def test_what_alternates_flickers_by_its_step_and_what_brightens_steadily_not_at_all(step: float, frames: int) -> None:
    alternating = steady(*(step * (t % 2) for t in range(frames)))
    brightening = steady(*(step * t for t in range(frames)))
    assert flicker(alternating) == pytest.approx(step, rel=1e-4)
    assert mean_of(average_of(*warping_errors(alternating, *still(alternating)))) == pytest.approx(step, rel=1e-4)
    assert flicker(brightening) == pytest.approx(0.0, abs=1e-6)
    assert mean_of(average_of(*warping_errors(brightening, *still(brightening)))) == pytest.approx(step, rel=1e-4)


def test_noise_flickers_by_its_second_difference() -> None:
    noise = 0.1 * torch.randn(6, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    # |N(0, 6 s^2)| / 2 has the mean sqrt(6) s sqrt(2 / pi) / 2.
    assert flicker(noise) == pytest.approx(0.1 * math.sqrt(6) * math.sqrt(2 / math.pi) / 2, rel=0.02)


def test_motion_that_the_flow_knows_is_no_flicker() -> None:
    world = torch.rand(3, 16, 64, generator=torch.Generator().manual_seed(1)) * 2 - 1
    frames = torch.stack([world[:, :, 2 * t : 2 * t + 32] for t in range(5)])
    flow, confidence = still(frames)
    flow[1:, 0] = 2.0
    confidence[..., -2:] = 0.0  # where the world has come in
    errors, weights = flicker_errors(frames, flow, confidence)
    torch.testing.assert_close(errors, torch.zeros(5), rtol=0, atol=1e-5)
    assert flicker(frames) > 0.1
    # What came in a frame ago has no residual either: two columns more of the 32 are not counted.
    torch.testing.assert_close(weights, torch.tensor([0.0, 0.0, 448.0, 448.0, 448.0]))


def test_two_frames_say_nothing_of_flicker_and_a_flow_may_be_nan_where_it_is_not_trusted() -> None:
    errors, weights = flicker_errors(steady(0.0, 0.5), *still(steady(0.0, 0.5)))
    assert not errors.any()
    assert not weights.any()
    frames = steady(0.0, 0.5, 0.0)
    flow, confidence = still(frames)
    flow[..., :4, :] = torch.nan
    confidence[..., :4, :] = 0.0
    assert mean_of(average_of(*flicker_errors(frames, flow, confidence))) == pytest.approx(0.5, rel=1e-4)
    with pytest.raises(ShapeError, match="flow"):
        flicker_errors(frames, flow[1:], confidence)


def brightness(before: torch.Tensor, now: torch.Tensor) -> torch.Tensor:
    """Estimate a flow that says how much brighter a frame is: as many pixels to the right as it is, times ten."""
    gain = 10 * (now - before).mean(dim=(1, 2, 3))
    return torch.stack([gain, torch.zeros_like(gain)], dim=1)[..., None, None].expand(-1, -1, 16, 24)


def gain(before: torch.Tensor, now: torch.Tensor) -> torch.Tensor:
    return (now - before).abs().mean(dim=(1, 2, 3))


def test_motion_and_change_are_compared_with_those_of_the_real_video() -> None:
    real, generated = steady(0.0, 0.1, 0.2, 0.3), steady(0.0, 0.3, 0.3, 0.4)
    errors, weights = flow_changes(generated, real, brightness)
    torch.testing.assert_close(errors, torch.tensor([0.0, 2.0, 1.0, 0.0]), rtol=0, atol=1e-4)
    torch.testing.assert_close(weights, torch.tensor([0.0, 384.0, 384.0, 384.0]))
    errors, weights = distance_changes(generated, real, gain)
    torch.testing.assert_close(errors, torch.tensor([0.0, 0.2, 0.1, 0.0]), rtol=0, atol=1e-5)
    torch.testing.assert_close(weights, torch.tensor([0.0, 1.0, 1.0, 1.0]))


def test_batches_are_measured_clip_by_clip_and_equal_videos_do_not_differ() -> None:
    videos = torch.stack([steady(0.0, 0.1, 0.3), steady(0.2, 0.2, 0.1)])
    errors, weights = flow_changes(videos, videos, brightness)
    assert errors.shape == weights.shape == (2, 3)
    assert not errors.any()
    errors, _ = distance_changes(videos, videos.flip(0), gain)
    torch.testing.assert_close(errors[0], errors[1])
    torch.testing.assert_close(errors[0], torch.tensor([0.0, 0.1, 0.1]), rtol=0, atol=1e-5)
    with pytest.raises(ShapeError, match="real"):
        distance_changes(videos, videos[:1], gain)
