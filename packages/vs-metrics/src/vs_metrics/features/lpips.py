"""LPIPS (Zhang et al. 2018): the distance of two pictures in a classifier's features, weighted as people see."""

from collections.abc import Iterator
from typing import ClassVar

import attrs
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vs_metrics.errors import ShapeError
from vs_metrics.features.limits import bounded

SHIFT = (-0.030, -0.088, -0.188)
SCALE = (0.458, 0.448, 0.450)
"""Mean and spread of ImageNet's colours, of pictures in [-1, 1], as published with the metric."""

EPS = 1e-10
"""Added to the length of a place's features before they are divided by it."""


@attrs.frozen(kw_only=True)
class Convolution:
    """A convolution of a classifier, with a ReLU behind it.

    Attributes:
        width: channels that it gives in the published network.
        kernel: its side; what is added at the border follows from it.
        stride: pixels between two places.
        pool: side of the maximum pooling in front of it, by steps of two pixels; 0: none.
        compared: whether its activations are compared.
    """

    width: int
    kernel: int = 3
    stride: int = 1
    pool: int = 0
    compared: bool = True


@attrs.frozen(kw_only=True)
class AlexLpipsConfig:
    """LPIPS in the features of AlexNet (Krizhevsky 2014): the variant that is recommended, and usually reported.

    Attributes:
        divisor: widths are the published ones divided by this.
    """

    convolutions: ClassVar[tuple[Convolution, ...]] = (
        Convolution(width=64, kernel=11, stride=4),
        Convolution(width=192, kernel=5, pool=3),
        Convolution(width=384, pool=3),
        Convolution(width=256),
        Convolution(width=256),
    )
    smallest_side: ClassVar[int] = 31
    divisor: int = bounded(1, 1, 64)


@attrs.frozen(kw_only=True)
class VggLpipsConfig:
    """LPIPS in the features of VGG-16 (Simonyan and Zisserman, 2015).

    Attributes:
        divisor: widths are the published ones divided by this.
    """

    convolutions: ClassVar[tuple[Convolution, ...]] = (
        Convolution(width=64, compared=False),
        Convolution(width=64),
        Convolution(width=128, pool=2, compared=False),
        Convolution(width=128),
        Convolution(width=256, pool=2, compared=False),
        Convolution(width=256, compared=False),
        Convolution(width=256),
        Convolution(width=512, pool=2, compared=False),
        Convolution(width=512, compared=False),
        Convolution(width=512),
        Convolution(width=512, pool=2, compared=False),
        Convolution(width=512, compared=False),
        Convolution(width=512),
    )
    smallest_side: ClassVar[int] = 16
    divisor: int = bounded(1, 1, 64)


class Lpips(nn.Module):
    """The network: `forward` takes two batches of frames and gives their distances."""

    def __init__(self, config: AlexLpipsConfig | VggLpipsConfig) -> None:
        super().__init__()
        self.config = config
        widths = [max(1, layer.width // config.divisor) for layer in config.convolutions]
        self.convs = nn.ModuleList(
            nn.Conv2d(c_in, width, layer.kernel, layer.stride, 2 if layer.kernel > 3 else 1)
            for c_in, width, layer in zip([3, *widths], widths, config.convolutions, strict=False)
        )
        compared = (width for width, layer in zip(widths, config.convolutions, strict=True) if layer.compared)
        self.heads = nn.ParameterList(torch.rand(width) for width in compared)
        self.requires_grad_(False).eval()

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Return the distance of every pair, float32, 0 for equal frames.

        Args:
            a: (N, 3, H, W) in [-1, 1], taken as they are: not resized, what lies outside clipped.
            b: the same shape.

        Returns:
            (N,): over the compared layers, sums of the means over places of the weighted squared differences of
            features, each place's features scaled to length 1.

        Raises:
            ShapeError: the shapes differ, or are too small for the network's poolings.
        """
        self._check(a, b)
        total = torch.zeros(a.shape[0], device=a.device)
        with torch.autocast(a.device.type, enabled=False):
            for head, x, y in zip(self.heads, self._compared(a), self._compared(b), strict=True):
                squares = (_unit(x) - _unit(y)).square()
                total += torch.einsum("nchw,c->nhw", squares, head).mean(dim=(-2, -1))
        return total

    def _check(self, a: Tensor, b: Tensor) -> None:
        side = self.config.smallest_side
        if a.ndim != 4 or a.shape[1] != 3 or min(a.shape[-2:]) < side:
            raise ShapeError("a", tuple(a.shape), f"(N, 3, H, W) of at least {side}x{side} pixels")
        if b.shape != a.shape:
            raise ShapeError("b", tuple(b.shape), f"that of a, {tuple(a.shape)}")

    def _compared(self, frames: Tensor) -> Iterator[Tensor]:
        """Yield the compared activations, each before the next is computed."""
        shift, scale = (torch.tensor(one, device=frames.device).view(1, 3, 1, 1) for one in (SHIFT, SCALE))
        x = (frames.detach().float().clamp(-1, 1) - shift) / scale
        for conv, layer in zip(self.convs, self.config.convolutions, strict=True):
            if layer.pool:
                x = F.max_pool2d(x, layer.pool, 2)
            x = F.relu_(conv(x))
            if layer.compared:
                yield x


def build_lpips(config: AlexLpipsConfig | VggLpipsConfig) -> Lpips:
    """Return the network with random weights, to be filled from a file by `load_lpips`."""
    return Lpips(config)


def _unit(x: Tensor) -> Tensor:
    length: Tensor = torch.linalg.vector_norm(x, dim=1, keepdim=True)
    return x / (length + EPS)
