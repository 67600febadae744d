"""Inception-v3 (Szegedy et al. 2016) as the Fréchet inception distance uses it: 2048 features of a picture.

The network of TensorFlow's graph of 2015-12-05, which differs from torchvision's in three things: average poolings do
not count the padding, the last block has a maximum pooling, and pictures are resized from the corner.
"""

import attrs
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vs_metrics.errors import ShapeError
from vs_metrics.features.layers import Branches, ConvNorm2d, PaddedConvNorm2d, as_levels, resize_from_corner
from vs_metrics.features.limits import bounded

SMALLEST_SIDE = 75
"""Pixels below which nothing is left at the end of the network."""


@attrs.frozen(kw_only=True)
class InceptionConfig:
    """Sizes of the network; the published one has the defaults, tests have small ones.

    Attributes:
        divisor: widths are the published ones divided by this.
        size: pixels of the side that pictures are resized to.
    """

    divisor: int = bounded(1, 1, 64)
    size: int = bounded(299, SMALLEST_SIDE, 4096)


class Inception(nn.Module):
    """The network: `forward` takes frames and gives their features."""

    def __init__(self, config: InceptionConfig) -> None:
        super().__init__()
        self.config = config
        wide = _Widths(divisor=config.divisor)
        self.stem = nn.Sequential(
            ConvNorm2d(3, wide(32), 3, stride=2),
            ConvNorm2d(wide(32), wide(32), 3),
            PaddedConvNorm2d(wide(32), wide(64), 3),
            nn.MaxPool2d(3, 2),
            ConvNorm2d(wide(64), wide(80), 1),
            ConvNorm2d(wide(80), wide(192), 3),
            nn.MaxPool2d(3, 2),
        )
        self.blocks = nn.Sequential()
        channels = wide(192)
        for make, *sizes in _BLOCKS:
            block, channels = make(channels, *map(wide, sizes))
            self.blocks.append(block)
        self.num_features = channels
        self.requires_grad_(False).eval()

    def forward(self, frames: Tensor) -> Tensor:
        """Return the features of pictures, float32.

        Args:
            frames: (N, 3, H, W) in [-1, 1]. They become pictures of 8 bits, are resized from the corner, and then
                (level - 128) / 128, as in the published graph.

        Returns:
            (N, 2048): the last block's channels, averaged over all places.

        Raises:
            ShapeError: not (N, 3, H, W).
        """
        if frames.ndim != 4 or frames.shape[1] != 3:
            raise ShapeError("frames", tuple(frames.shape), "(N, 3, H, W)")
        with torch.autocast(frames.device.type, enabled=False):
            x = (resize_from_corner(as_levels(frames), self.config.size) - 128) / 128
            features: Tensor = self.blocks(self.stem(x)).mean(dim=(-2, -1))
        return features


def build_inception(config: InceptionConfig) -> Inception:
    """Return the network with random weights, to be filled from a file by `load_inception`."""
    return Inception(config)


@attrs.frozen(kw_only=True)
class _Widths:
    divisor: int

    def __call__(self, published: int) -> int:
        return max(1, published // self.divisor)


class _AveragePool(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)


def _fine(c_in: int, one: int, five: int, three: int, fives: int, threes: int, pooled: int) -> tuple[Branches, int]:
    """Return a block of 1x1, 5x5 and twice 3x3 convolutions, and how many channels it gives."""
    block = Branches(
        [
            PaddedConvNorm2d(c_in, one, 1),
            nn.Sequential(PaddedConvNorm2d(c_in, five, 1), PaddedConvNorm2d(five, fives, 5)),
            nn.Sequential(
                PaddedConvNorm2d(c_in, three, 1),
                PaddedConvNorm2d(three, threes, 3),
                PaddedConvNorm2d(threes, threes, 3),
            ),
            nn.Sequential(_AveragePool(), PaddedConvNorm2d(c_in, pooled, 1)),
        ]
    )
    return block, one + fives + threes + pooled


def _halve_fine(c_in: int, one: int, three: int, threes: int) -> tuple[Branches, int]:
    """Return a block that halves the size by 3x3 convolutions and a maximum pooling."""
    block = Branches(
        [
            ConvNorm2d(c_in, one, 3, stride=2),
            nn.Sequential(
                PaddedConvNorm2d(c_in, three, 1),
                PaddedConvNorm2d(three, threes, 3),
                ConvNorm2d(threes, threes, 3, stride=2),
            ),
            nn.MaxPool2d(3, 2),
        ]
    )
    return block, one + threes + c_in


def _middle(c_in: int, inner: int, outer: int) -> tuple[Branches, int]:
    """Return a block of 7x7 convolutions, each in two of one dimension, and of two such in turn."""
    block = Branches(
        [
            PaddedConvNorm2d(c_in, outer, 1),
            nn.Sequential(
                PaddedConvNorm2d(c_in, inner, 1),
                PaddedConvNorm2d(inner, inner, (1, 7)),
                PaddedConvNorm2d(inner, outer, (7, 1)),
            ),
            nn.Sequential(
                PaddedConvNorm2d(c_in, inner, 1),
                PaddedConvNorm2d(inner, inner, (7, 1)),
                PaddedConvNorm2d(inner, inner, (1, 7)),
                PaddedConvNorm2d(inner, inner, (7, 1)),
                PaddedConvNorm2d(inner, outer, (1, 7)),
            ),
            nn.Sequential(_AveragePool(), PaddedConvNorm2d(c_in, outer, 1)),
        ]
    )
    return block, 4 * outer


def _halve_middle(c_in: int, inner: int, outer: int) -> tuple[Branches, int]:
    """Return a block that halves the size once more."""
    block = Branches(
        [
            nn.Sequential(PaddedConvNorm2d(c_in, inner, 1), ConvNorm2d(inner, outer, 3, stride=2)),
            nn.Sequential(
                PaddedConvNorm2d(c_in, inner, 1),
                PaddedConvNorm2d(inner, inner, (1, 7)),
                PaddedConvNorm2d(inner, inner, (7, 1)),
                ConvNorm2d(inner, inner, 3, stride=2),
            ),
            nn.MaxPool2d(3, 2),
        ]
    )
    return block, outer + inner + c_in


def _coarse(pool: nn.Module, c_in: int, one: int, each: int, inner: int, pooled: int) -> tuple[Branches, int]:
    """Return a block whose 3x3 convolutions end in a fork of 1x3 and 3x1."""

    def fork() -> Branches:
        return Branches([PaddedConvNorm2d(each, each, (1, 3)), PaddedConvNorm2d(each, each, (3, 1))])

    block = Branches(
        [
            PaddedConvNorm2d(c_in, one, 1),
            nn.Sequential(PaddedConvNorm2d(c_in, each, 1), fork()),
            nn.Sequential(PaddedConvNorm2d(c_in, inner, 1), PaddedConvNorm2d(inner, each, 3), fork()),
            nn.Sequential(pool, PaddedConvNorm2d(c_in, pooled, 1)),
        ]
    )
    return block, one + 4 * each + pooled


def _coarse_average(c_in: int, one: int, each: int, inner: int, pooled: int) -> tuple[Branches, int]:
    return _coarse(_AveragePool(), c_in, one, each, inner, pooled)


def _coarse_maximum(c_in: int, one: int, each: int, inner: int, pooled: int) -> tuple[Branches, int]:
    """Return the last block: the published graph has a maximum here, perhaps by mistake, and so has every FID since."""
    return _coarse(nn.MaxPool2d(3, 1, padding=1), c_in, one, each, inner, pooled)


_BLOCKS = (
    (_fine, 64, 48, 64, 64, 96, 32),
    (_fine, 64, 48, 64, 64, 96, 64),
    (_fine, 64, 48, 64, 64, 96, 64),
    (_halve_fine, 384, 64, 96),
    (_middle, 128, 192),
    (_middle, 160, 192),
    (_middle, 160, 192),
    (_middle, 192, 192),
    (_halve_middle, 192, 320),
    (_coarse_average, 320, 384, 448, 192),
    (_coarse_maximum, 320, 384, 448, 192),
)
