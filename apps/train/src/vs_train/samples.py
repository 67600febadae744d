"""Pictures and a video of the validation clip, rolled out by the averaged generator from its own frames."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
import vs_metrics as metrics
import vs_nets as nets
import vs_optim as optim
from torch import Tensor
from vs_data import Clip, collate, move

from vs_train.step import Recipe, encode_frame

STRIP_FRAMES = 4
"""Frames that a strip shows, from the first to the last of the clip."""


def roll_out(generator: nets.Generator, clip: Clip, recipe: Recipe) -> list[nets.Synthesis]:
    """Generate every frame of an unbatched clip; the results are on the device, with N = 1."""
    batch = move(collate([clip]), recipe.device)
    labels = (encode_frame(batch, t, recipe) for t in range(batch.frames.shape[1]))
    with torch.inference_mode(), optim.autocast(recipe.precision, recipe.device):
        return list(nets.rollout(generator, labels, past=generator.config.frames - 1))


def write_samples(folder: Path, step: int, clip: Clip, frames: Sequence[nets.Synthesis], *, fps: float) -> Path:
    """Write `step-XXXXXXXX.png` (label, real, generated, flow, mask, warped) and `.mp4` (label, real, generated).

    The same input gives the same bytes. Returns the path of the picture.
    """
    stem = folder / f"step-{step:08d}"
    palette = _palette(clip)
    chosen = sorted({round(t) for t in np.linspace(0, len(frames) - 1, STRIP_FRAMES)})
    magnitude = max((float(s.flow.abs().max()) for s in frames if s.flow is not None), default=1.0)
    rows = [_row(clip, t, frames[t], palette, max(1.0, magnitude)) for t in chosen]
    picture = metrics.write_png(stem.with_suffix(".png"), metrics.grid(rows))
    metrics.write_mp4(stem.with_suffix(".mp4"), _video(clip, frames, palette), fps=fps)
    return picture


def _palette(clip: Clip) -> tuple[tuple[int, int, int], ...]:
    ids = next(iter(clip.labels.values()))
    highest = int(ids[ids != metrics.IGNORE_ID].max()) if bool((ids != metrics.IGNORE_ID).any()) else 0
    return metrics.palette_for(max(highest + 1, len(metrics.CITYSCAPES_PALETTE)))


def _label(clip: Clip, t: int, palette: Sequence[tuple[int, int, int]]) -> metrics.Image:
    return metrics.labels_to_rgb(next(iter(clip.labels.values()))[t], palette)


def _row(
    clip: Clip, t: int, synthesis: nets.Synthesis, palette: Sequence[tuple[int, int, int]], magnitude: float
) -> list[metrics.Panel]:
    height, width = clip.frames.shape[-2:]
    empty = np.full((height, width, 3), 24, dtype=np.uint8)
    flow, mask, warped = synthesis.flow, synthesis.mask, synthesis.warped
    return [
        metrics.Panel(title=f"label, frame {t}", image=_label(clip, t, palette)),
        metrics.Panel(title="real", image=metrics.frame_to_uint8(clip.frames[t]), smooth=True),
        metrics.Panel(title="generated", image=metrics.frame_to_uint8(_only(synthesis.frame)), smooth=True),
        metrics.Panel(
            title=f"flow (full colour: {magnitude:.0f} px)" if flow is not None else "flow: not yet",
            image=empty if flow is None else metrics.flow_to_rgb(_only(flow), magnitude),
        ),
        metrics.Panel(title="mask (white: new)", image=empty if mask is None else metrics.mask_to_rgb(_only(mask))),
        metrics.Panel(
            title="warped", image=empty if warped is None else metrics.frame_to_uint8(_only(warped)), smooth=True
        ),
    ]


def _video(
    clip: Clip, frames: Sequence[nets.Synthesis], palette: Sequence[tuple[int, int, int]]
) -> Iterator[metrics.Image]:
    for t, synthesis in enumerate(frames):
        yield metrics.strip(
            [
                metrics.Panel(title="label", image=_label(clip, t, palette)),
                metrics.Panel(title="real", image=metrics.frame_to_uint8(clip.frames[t]), smooth=True),
                metrics.Panel(title="generated", image=metrics.frame_to_uint8(_only(synthesis.frame)), smooth=True),
            ]
        )


def _only(x: Tensor) -> Tensor:
    """Drop N = 1."""
    return x[0].float()
