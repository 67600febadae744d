"""Pictures and a video of the validation clip, rolled out by the averaged generator from its own frames."""

from collections.abc import Sequence
from pathlib import Path

import torch
import vs_metrics as metrics
import vs_nets as nets
import vs_optim as optim
from torch import Tensor
from vs_data import Clip, collate, cut, move
from vs_training.inputs import encode_label, encode_references, motion_at
from vs_training.pictures import clip_frame, palette_of
from vs_training.state import Recipe


def roll_out(generator: nets.AnyGenerator, clip: Clip, recipe: Recipe) -> list[nets.Synthesis]:
    """Generate every frame of an unbatched clip; the results are on the device, with N = 1."""
    batch = move(collate([clip]), recipe.device)
    last = recipe.channels_last
    times = range(batch.frames.shape[1])
    labels = (encode_label(batch, t, recipe.labels, channels_last=last) for t in times)
    motions = [motion_at(batch, t) for t in times]
    with torch.inference_mode(), optim.autocast(recipe.precision, recipe.device):
        generate = generator.bind(encode_references(batch, recipe.labels, channels_last=last))
        return list(nets.rollout(generate, labels, past=generator.config.frames - 1, motions=motions))


def write_samples(
    folder: Path, step: int, clip: Clip, frames: Sequence[nets.Synthesis], *, labels: nets.LabelSpec, fps: float
) -> Path:
    """Write `step-XXXXXXXX.png` (label, real, generated, flow, mask, warped) and `.mp4` (label, real, generated).

    With references, the one that was chosen is in both, and what was made of it in the picture. The same input gives
    the same bytes. Returns the path of the picture.
    """
    stem = folder / f"step-{step:08d}"
    palette = palette_of(labels)
    shown = [clip_frame(labels, cut(clip, t, t + 1), synthesis, index=t) for t, synthesis in enumerate(frames)]
    drawn = [shown[t] for t in metrics.strip_frames(len(shown))]
    picture = metrics.write_png(stem.with_suffix(".png"), metrics.clip_picture(drawn, palette))
    video = (metrics.video_frame(frame, palette) for frame in shown)
    metrics.write_mp4(stem.with_suffix(".mp4"), video, fps=fps)
    return picture


def curve_picture(synthesis: nets.Synthesis) -> Tensor:
    """Return the generated frame as TensorBoard takes it: (3, H, W) uint8, the same bytes as everywhere else."""
    return torch.from_numpy(metrics.frame_to_uint8(synthesis.frame[0])).movedim(-1, 0)
