"""The easiest floor of the accuracy experiment: the mean frame of the training data, which knows nothing of any label.

It is computed from the data alone.
"""

from collections.abc import Callable, Iterator

import attrs
import torch
import torch.nn.functional as F
from torch import Tensor
from vs_data import ClipSource, iterate_sequence, spread_frames
from vs_metrics import PSNR_CAP, Average, average_of, combine, psnr, ssim

FRAMES = 64
"""How many frames of the training data the mean is taken from."""


@attrs.frozen(kw_only=True)
class MeanFrameScores:
    """PSNR and SSIM of the mean frame, over all frames that count."""

    psnr: Average
    ssim: Average


def mean_frame(source: ClipSource) -> Tensor:
    """Return the mean (1, 3, H, W) of frames spread evenly over a source."""
    frames = [clip.frames for clip in spread_frames(source, FRAMES)]
    return torch.cat([_resized(frame, frames[0]) for frame in frames]).mean(dim=0, keepdim=True)


def score_frame(
    guess: Tensor, source: ClipSource, uncounted: Callable[[int], int], *, clips: int | None, frames: int | None
) -> MeanFrameScores:
    """Return the scores of one frame (1, 3, H, W) as a guess at every frame of held-out clips.

    Args:
        guess: the frame.
        source: the held-out clips.
        uncounted: how many frames a sequence has -> which of them does not count.
        clips: how many of the clips; None: all.
        frames: at most so many frames of each; None: all.
    """
    psnrs, ssims = [], []
    for index, info in enumerate(source.sequences[:clips]):
        for real in _frames_but(uncounted(info.frames), source, index, frames):
            fitting = _resized(guess, real)
            psnrs.append(average_of(psnr(fitting, real).clamp_max(PSNR_CAP)))
            ssims.append(average_of(ssim(fitting, real)))
    return MeanFrameScores(psnr=combine(psnrs), ssim=combine(ssims))


def _frames_but(uncounted: int, source: ClipSource, sequence: int, frames: int | None) -> Iterator[Tensor]:
    """Yield the frames of a sequence, each (1, 3, H, W), but one."""
    pieces = iterate_sequence(source, sequence, max_frames=frames)
    every = (frame for piece in pieces for frame in piece.frames.split(1))
    return (frame for number, frame in enumerate(every) if number != uncounted)


def _resized(frame: Tensor, like: Tensor) -> Tensor:
    """Return the frame in the size of another: folders may hold sequences of several sizes."""
    return F.interpolate(frame, size=like.shape[-2:], mode="bilinear")
