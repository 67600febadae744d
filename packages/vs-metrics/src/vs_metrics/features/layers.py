"""What the feature networks have in common: convolutions with fixed statistics, branches, resizing as they knew it."""

from collections.abc import Iterable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

NORM_EPS = 1e-3
"""Added to the variance by the published Inception networks, of pictures and of video."""


class StoredNorm(nn.Module):
    """A batch normalisation by stored statistics, whatever mode the module is in; of any number of axes."""

    mean: Tensor
    variance: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("variance", torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise each channel of (N, C, ...)."""
        return F.batch_norm(x, self.mean, self.variance, self.weight, self.bias, eps=NORM_EPS)


class ConvNorm2d(nn.Module):
    """A convolution without bias, normalisation by stored statistics, ReLU."""

    def __init__(self, c_in: int, c_out: int, kernel: int | tuple[int, int], stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(c_in, c_out, kernel, stride, bias=False)
        self.norm = StoredNorm(c_out)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C_in, H, W) to (N, C_out, H', W'); nothing is added at the border."""
        return F.relu_(self.norm(self.conv(x)))


class PaddedConvNorm2d(ConvNorm2d):
    """The same with zeros at the border, as many as keep the size."""

    def __init__(self, c_in: int, c_out: int, kernel: int | tuple[int, int]) -> None:
        super().__init__(c_in, c_out, kernel)
        height, width = self.conv.kernel_size
        self.conv.padding = (height // 2, width // 2)


class SameConvNorm3d(nn.Module):
    """The same in three dimensions, with TensorFlow's padding "SAME"."""

    def __init__(self, c_in: int, c_out: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv3d(c_in, c_out, kernel, stride, bias=False)
        self.norm = StoredNorm(c_out)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C_in, T, H, W) to (N, C_out, ceil(T / stride), ceil(H / stride), ceil(W / stride))."""
        x = pad_same(x, self.conv.kernel_size, self.conv.stride)
        return F.relu_(self.norm(self.conv(x)))


class SameMaxPool3d(nn.Module):
    """A maximum pooling with TensorFlow's padding "SAME", of values that are not negative: zeros change nothing."""

    def __init__(self, kernel: tuple[int, int, int], stride: tuple[int, int, int]) -> None:
        super().__init__()
        self.kernel = kernel
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, T, H, W) to the sizes divided by the stride, rounded up."""
        return F.max_pool3d(pad_same(x, self.kernel, self.stride), self.kernel, self.stride)


class Branches(nn.Module):
    """Several paths from the same input, whose channels are concatenated in their order."""

    def __init__(self, branches: Iterable[nn.Module]) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs of all paths side by side."""
        return torch.cat([branch(x) for branch in self.branches], dim=1)


def pad_same(x: Tensor, kernel: Sequence[int], stride: Sequence[int]) -> Tensor:
    """Add zeros to the last axes as TensorFlow's "SAME" does: for ceil(size / stride) outputs, the odd one behind."""
    sizes = x.shape[-len(kernel) :]
    padding: list[int] = []
    for size, length, step in zip(reversed(sizes), reversed(kernel), reversed(stride), strict=True):
        missing = max((-(-size // step) - 1) * step + length - size, 0)
        padding += [missing // 2, missing - missing // 2]
    return F.pad(x, padding) if any(padding) else x


def resize_from_corner(images: Tensor, side: int) -> Tensor:
    """Resize (N, C, H, W) to side x side as TensorFlow 1 did: bilinear, from the corner, without a low-pass filter.

    Pixel i of the result is read at i * (size / side), with the pixel at the border repeated. Later programs read at
    (i + 1/2) * (size / side) - 1/2; the published networks' distances are of the older rule.
    """
    return _resize_axis(_resize_axis(images, -1, side), -2, side)


def _resize_axis(images: Tensor, axis: int, side: int) -> Tensor:
    size = images.shape[axis]
    if size == side:
        return images
    positions = torch.arange(side, dtype=torch.float32, device=images.device) * (size / side)
    low = positions.long()
    share = (positions - low).reshape(-1, *[1] * (-1 - axis))
    low_pixels = images.index_select(axis, low)
    return low_pixels.lerp(images.index_select(axis, (low + 1).clamp_max(size - 1)), share)


def as_levels(frames: Tensor) -> Tensor:
    """Return frames in [-1, 1] as the levels 0 to 255 of a saved picture, in float32; what lies outside is clipped."""
    return frames.detach().float().clamp(-1, 1).add(1).mul(127.5).round()
