"""The grid that stays in generated frames, from what is added up of each."""

import pytest
import torch
from vs_data import Clip
from vs_nets import Synthesis
from vs_training.quality.scoring import FrameView, score_views
from vs_training.quality.still_grid import add_tiles, grid_metrics


def views(frames: int, grid: float, seed: int) -> list[FrameView]:
    """Return noise that changes, generated with stripes of `grid` levels that stay."""
    random = torch.Generator().manual_seed(seed)
    stripes = grid / 127.5 * (1 - 2 * (torch.arange(32) % 2)).float()
    found = []
    for index in range(frames):
        real = 0.02 * torch.randn(1, 3, 32, 32, generator=random)
        made = Synthesis(frame=real.flip(-1) + stripes)
        found.append(FrameView(index=index, truth=Clip(frames=real), synthesis=made))
    return found


def test_stripes_that_stay_are_found_beside_real_frames_without() -> None:
    clips = [score_views(views(8, 3.0, seed), name="x", add=add_tiles) for seed in range(5)]
    (found,) = grid_metrics(clips)
    assert found.value == pytest.approx(3.0, rel=0.03)
    assert found.frames == 40
    assert found.real is not None
    assert found.real < 0.3
    assert found.interval is not None
    assert found.interval.low <= found.value <= found.interval.high + 0.05


def test_of_small_or_no_frames_there_is_none() -> None:
    small = Clip(frames=torch.zeros(1, 3, 16, 48))
    view = FrameView(index=0, truth=small, synthesis=Synthesis(frame=small.frames))
    assert add_tiles(view) == {}
    assert grid_metrics([score_views([view], name="x", add=add_tiles)]) == ()
