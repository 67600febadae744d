"""A small network that reads labels from frames: it is trained on a run's own real frames, and nothing is downloaded.

What it reads in generated frames, held against the labels that they were made from, says whether a frame shows what it
was asked for; what it reads in real frames says how much of that is its own fault (Isola et al. 2017 judge by such
scores of a published network).
"""

import itertools
import math
from collections.abc import Callable, Iterable

import attrs
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from vs_data import Clip
from vs_metrics import confusions
from vs_metrics.baselines import IGNORE_ID

from vs_training.quality.reading import FRAMES, GENERATED, REAL, Readable, read_ids
from vs_training.quality.scoring import FrameView

TRAINING_FRAMES = 96
"""Real frames that a reader learns from, spread over the training split."""

STEPS = 200
BATCH = 4
CROP = (64, 128)
LEARNING_RATE = 3e-3

LARGEST_AREA = 128 * 256
"""Pixels of a frame that is read; larger ones are made smaller by a whole factor."""

_WIDTHS = (24, 40, 64)
_STRIDE = 2 ** len(_WIDTHS)
_GROUPS = 8


class LabelReader(nn.Module):
    """A small U-Net, frames (N, 3, H, W) in [-1, 1] to scores of classes (N, classes, H, W), at half their size.

    Args:
        classes: how many there are.
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.first = _block(3, _WIDTHS[0], stride=2)
        self.down = nn.ModuleList(_block(a, b, stride=2) for a, b in itertools.pairwise(_WIDTHS))
        self.up = nn.ModuleList(_block(a + b, a, stride=1) for a, b in itertools.pairwise(_WIDTHS))
        self.last = nn.Conv2d(_WIDTHS[0], classes, 1)

    def forward(self, frames: Tensor) -> Tensor:
        """Return the scores of each class at each pixel."""
        height, width = frames.shape[-2:]
        x = F.pad(frames, (0, -width % _STRIDE, 0, -height % _STRIDE), mode="replicate")
        levels = [self.first(x)]
        for down in self.down:
            levels.append(down(levels[-1]))
        x = levels.pop()
        for up in reversed(self.up):
            finer = levels.pop()
            x = up(torch.cat([F.interpolate(x, size=finer.shape[-2:], mode="nearest"), finer], dim=1))
        scores = F.interpolate(self.last(x), scale_factor=2, mode="bilinear", align_corners=False)
        return scores[..., :height, :width]


def _block(inputs: int, outputs: int, *, stride: int) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
    return nn.Sequential(convolution, nn.GroupNorm(_GROUPS, outputs), nn.ReLU(inplace=True))


@attrs.frozen(kw_only=True, eq=False)
class Examples:
    """Real frames (F, 3, H, W) and what is to be read in them, ids (F, H, W), at the size at which they are read."""

    frames: Tensor
    ids: Tensor


def examples_of(clips: Iterable[Clip], readable: Readable) -> Examples:
    """Return the frames of some clips as a reader sees them."""
    parts = [(smaller_frames(clip.frames), smaller_ids(read_ids(clip.labels, readable))) for clip in clips]
    return Examples(frames=torch.cat([part[0] for part in parts]), ids=torch.cat([part[1] for part in parts]))


def train_reader(
    examples: Examples, classes: int, *, seed: int, tell: Callable[[int, int], None], steps: int = STEPS
) -> LabelReader:
    """Train a reader; the same examples and seed give the same reader, on one machine with one number of threads.

    Args:
        examples: what it learns from.
        classes: how many classes there are.
        seed: of its weights and of what it is shown when.
        tell: is told the steps that are done, and how many there are.
        steps: how long it learns.
    """
    random = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        reader = LabelReader(classes)
    optimizer = torch.optim.AdamW(reader.parameters(), lr=LEARNING_RATE)
    weights = class_weights(examples.ids, classes)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * 0.5 * (1 + math.cos(math.pi * step / steps))
        frames, ids = _draw(examples, random)
        optimizer.zero_grad()
        scores = reader(frames.contiguous(memory_format=torch.channels_last))
        F.cross_entropy(scores, ids, weights, ignore_index=IGNORE_ID).nan_to_num().backward()
        optimizer.step()
        tell(step + 1, steps)
    return reader.eval().requires_grad_(False)


def read(reader: LabelReader, frames: Tensor) -> Tensor:
    """Return the class that is read at each pixel of frames that are small enough: (N, 3, H, W) to (N, H, W)."""
    with torch.inference_mode():
        return torch.as_tensor(reader(frames.contiguous(memory_format=torch.channels_last)).argmax(dim=1))


def count_readings(reader: LabelReader, readable: Readable, view: FrameView) -> dict[str, Tensor]:
    """Count the pixels of a frame by their class and what is read there, in the generated frame and in the real one."""
    truth = smaller_ids(read_ids(view.truth.labels, readable))
    generated, real = read(reader, smaller_frames(torch.cat([view.synthesis.frame, view.truth.frames])))
    return {
        GENERATED: confusions(generated[None], truth, readable.classes),
        REAL: confusions(real[None], truth, readable.classes),
        FRAMES: torch.ones(1),
    }


def class_weights(ids: Tensor, classes: int) -> Tensor:
    """Return how much a pixel of each class counts in training: rare ones more, by the root of how rare they are."""
    pixels = torch.bincount(ids[ids != IGNORE_ID].flatten().long(), minlength=classes).float()
    weights = pixels.clamp_min(1.0).rsqrt() * (pixels > 0)
    return weights / weights.mean().clamp_min(1e-12)


def smaller_frames(frames: Tensor) -> Tensor:
    """Return frames (N, 3, H, W) at the size at which they are read: means over squares."""
    factor = reduction(*frames.shape[-2:])
    return F.avg_pool2d(frames, factor) if factor > 1 else frames


def smaller_ids(ids: Tensor) -> Tensor:
    """Return ids (N, H, W) at the size at which they are read: those in the middles of squares."""
    factor = reduction(*ids.shape[-2:])
    height, width = (side // factor for side in ids.shape[-2:])
    return ids[..., factor // 2 :: factor, factor // 2 :: factor][..., :height, :width]


def reduction(height: int, width: int) -> int:
    """Return the smallest whole factor by which frames are small enough. Pure."""
    factor = 1
    while (height // factor) * (width // factor) > LARGEST_AREA:
        factor += 1
    return factor


def _draw(examples: Examples, random: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw a batch of pieces of frames."""
    count, _, *size = examples.frames.shape
    high, wide = (min(side, most) for side, most in zip(size, CROP, strict=True))
    frames, ids = [], []
    for index in torch.randint(count, (BATCH,), generator=random).tolist():
        top, left = (
            int(torch.randint(side - part + 1, (), generator=random))
            for side, part in zip(size, (high, wide), strict=True)
        )
        frames.append(examples.frames[index, :, top : top + high, left : left + wide])
        ids.append(examples.ids[index, top : top + high, left : left + wide])
    return torch.stack(frames), torch.stack(ids).long()
