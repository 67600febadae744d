"""Inception in three dimensions, I3D (Carreira and Zisserman 2017), as the Fréchet video distance has it (2018)."""

import attrs
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vs_metrics.features.layers import Branches, SameConvNorm3d, SameMaxPool3d, as_levels, resize_from_corner
from vs_metrics.features.limits import bounded, check_clips

SHORTEST_CLIP = 9
"""Frames below which the last pooling, of two of an eighth of the frames, has too few."""


@attrs.frozen(kw_only=True)
class I3dConfig:
    """Sizes of the network; the published one has the defaults, tests have small ones.

    Attributes:
        classes: numbers that the network gives: logits of the 400 actions of Kinetics.
        divisor: widths are the published ones divided by this.
        size: pixels of the side that frames are resized to.
        frames: frames of a clip. Distances of clips of different lengths can't be compared.
    """

    classes: int = bounded(400, 1, 4096)
    divisor: int = bounded(1, 1, 64)
    size: int = bounded(224, 32, 4096)
    frames: int = bounded(16, SHORTEST_CLIP, 1024)


class I3d(nn.Module):
    """The network: `forward` takes clips and gives the logits of the actions in them."""

    def __init__(self, config: I3dConfig) -> None:
        super().__init__()
        self.config = config

        def wide(published: int) -> int:
            return max(1, published // config.divisor)

        self.stem = nn.Sequential(
            SameConvNorm3d(3, wide(64), 7, stride=2),
            SameMaxPool3d((1, 3, 3), (1, 2, 2)),
            SameConvNorm3d(wide(64), wide(64), 1),
            SameConvNorm3d(wide(64), wide(192), 3),
            SameMaxPool3d((1, 3, 3), (1, 2, 2)),
        )
        self.blocks = nn.Sequential()
        channels = wide(192)
        for block in _BLOCKS:
            match block:
                case int(kernel):
                    self.blocks.append(SameMaxPool3d((kernel,) * 3, (2, 2, 2)))
                case sizes:
                    one, _, three, _, five, pooled = widths = tuple(map(wide, sizes))
                    self.blocks.append(_block(channels, *widths))
                    channels = one + three + five + pooled
        self.logits = nn.Linear(channels, config.classes)
        self.num_features = config.classes
        self.requires_grad_(False).eval()

    def forward(self, clips: Tensor) -> Tensor:
        """Return the features of clips, float32.

        Args:
            clips: (N, T, 3, H, W) in [-1, 1] with the configuration's number of frames. They become pictures of 8
                bits, are resized from the corner, and scaled to [-1, 1] again, as published.

        Returns:
            (N, 400): logits, averaged over time.

        Raises:
            ShapeError: not (N, T, 3, H, W).
        """
        check_clips(clips, self.config.frames)
        with torch.autocast(clips.device.type, enabled=False):
            pictures = resize_from_corner(as_levels(clips).flatten(0, 1), self.config.size) / 127.5 - 1
            x = pictures.unflatten(0, clips.shape[:2]).transpose(1, 2)  # (N, 3, T, H, W)
            x = self.blocks(self.stem(x))
            pooled = F.avg_pool3d(x, (2, *x.shape[-2:]), stride=1)  # (N, C, T / 8 - 1, 1, 1)
            features: Tensor = self.logits(pooled.mean(dim=(-3, -2, -1)))  # as the mean of the logits of each time
        return features


def build_i3d(config: I3dConfig) -> I3d:
    """Return the network with random weights, to be filled from a file by `load_i3d`."""
    return I3d(config)


def _block(c_in: int, one: int, before_three: int, three: int, before_five: int, five: int, pooled: int) -> Branches:
    """Return a block of GoogLeNet in three dimensions; where that has 5x5, this has 3x3x3 too."""
    return Branches(
        [
            SameConvNorm3d(c_in, one, 1),
            nn.Sequential(SameConvNorm3d(c_in, before_three, 1), SameConvNorm3d(before_three, three, 3)),
            nn.Sequential(SameConvNorm3d(c_in, before_five, 1), SameConvNorm3d(before_five, five, 3)),
            nn.Sequential(SameMaxPool3d((3, 3, 3), (1, 1, 1)), SameConvNorm3d(c_in, pooled, 1)),
        ]
    )


_BLOCKS: tuple[int | tuple[int, ...], ...] = (
    (64, 96, 128, 16, 32, 32),
    (128, 128, 192, 32, 96, 64),
    3,
    (192, 96, 208, 16, 48, 64),
    (160, 112, 224, 24, 64, 64),
    (128, 128, 256, 24, 64, 64),
    (112, 144, 288, 32, 64, 64),
    (256, 160, 320, 32, 128, 128),
    2,
    (256, 160, 320, 32, 128, 128),
    (384, 192, 384, 48, 128, 128),
)
"""Widths of the blocks' convolutions, and kernels of the poolings that halve time and size between them."""
