"""The grid that stays where it is while the world moves: what up-sampling leaves in all generated frames alike."""

from collections.abc import Sequence

import torch
from torch import Tensor
from vs_metrics import GRID_PERIOD, grid_tiles, tile_amplitudes

from vs_training.quality.scoring import GRID_LEAST, LEVELS, ClipScores, FrameView
from vs_training.quality.sets import SetMeasure, SetMetric, interval_of_sums, set_metric

STILL_GRID = SetMeasure(
    name="still_grid",
    title="grid that stays, levels of 255",
    unit="levels of 255",
    better="lower",
    digits=2,
    least_frames=8,
    source="ours, after Odena et al. 2016 and Zhang et al. 2019",
    limits=f"patterns of {GRID_PERIOD} pixels and their parts alone; a camera that stands still leaves what it sees",
)

GENERATED, REAL, FRAMES = "grid_generated", "grid_real", "grid_frames"
"""Names of what is added up over frames, see `ClipScores.sums`."""


def add_tiles(view: FrameView) -> dict[str, Tensor]:
    """Return what a frame adds: its pattern, generated and real; nothing where it is too small for one."""
    if min(view.truth.frames.shape[-2:]) < GRID_LEAST:
        return {}
    return {
        GENERATED: grid_tiles(view.synthesis.frame),
        REAL: grid_tiles(view.truth.frames),
        FRAMES: torch.ones(1),
    }


def grid_metrics(clips: Sequence[ClipScores]) -> tuple[SetMetric, ...]:
    """Return the strength of the mean pattern of all frames, beside that of real ones; nothing where there is none."""
    found = [clip.sums for clip in clips if FRAMES in clip.sums]
    if not found:
        return ()
    counts = torch.tensor([sums[FRAMES] for sums in found])  # (clips, 1)
    generated, real = (
        torch.cat([torch.tensor([sums[name] for sums in found]), counts], dim=1) for name in (GENERATED, REAL)
    )
    return (
        set_metric(
            STILL_GRID,
            int(counts.sum()),
            lambda: float(_amplitudes(generated.sum(dim=0))),
            interval=lambda: interval_of_sums(generated, _amplitudes),
            real=float(_amplitudes(real.sum(dim=0))),
        ),
    )


def _amplitudes(sums: Tensor) -> Tensor:
    """Return the strength of mean patterns, levels of 255, from sums of patterns and, last, the number of frames."""
    means = sums[..., :-1] / sums[..., -1:]
    return LEVELS * tile_amplitudes(means.unflatten(-1, (-1, GRID_PERIOD, GRID_PERIOD)))
