"""Layers with optional spectral norm, layers whose weights are generated, SPADE, and residual blocks.

Every layer pads with zeros and has a bias.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import attrs
import torch
import torch.nn.functional as F
import vs_ops
from torch import Tensor, nn

from vs_nets.label_map import Label, convolve_label, dense_label
from vs_nets.spectral import SpectralLayer

LEAKY_SLOPE = 0.2
NORM_EPS = 1e-5

CallBlock = Callable[..., Any]


def call_block(block: nn.Module, *args: Any) -> Any:
    """Call a block plainly; `vs_runtime.checkpointed` has the same signature."""
    return block(*args)


@attrs.frozen(kw_only=True)
class ActivationCheckpointing:
    """Functions that call the parts of a network: plainly, or recomputing their activations in the backward pass.

    `blocks` calls residual blocks, `encoders` whole encoders (label embedder, flow network). Both take the module and
    its arguments and must return what the module returns.
    """

    blocks: CallBlock = attrs.field(default=call_block)
    encoders: CallBlock = attrs.field(default=call_block)

    @property
    def plain(self) -> bool:
        """Whether nothing is recomputed."""
        return self.blocks is call_block and self.encoders is call_block


class Conv2d(SpectralLayer):
    """A convolution that keeps the size (or divides it by its stride), with spectral norm on request.

    Shapes: (N, C_in, H, W) -> (N, C_out, ceil(H / stride), ceil(W / stride)) for odd kernels.
    """

    divides_results = True

    def __init__(self, c_in: int, c_out: int, kernel: int = 3, *, stride: int = 1, spectral: bool = False) -> None:
        super().__init__((c_out, c_in, kernel, kernel), spectral=spectral)
        self.stride = stride
        self.padding = (kernel - 1) // 2

    def forward(self, x: Label, *, upsample: bool = False) -> Tensor:
        """Convolve (N, C_in, H, W); in training with spectral norm this advances `u` and `v` by one iteration.

        With `upsample`, only at stride 1, `x` is first up-sampled by 2: (N, C_in, H, W) -> (N, C_out, 2H, 2W).
        """
        made = self.next_normalised()
        if made.sigma is not None:
            # A weight as large as these is used where there are few pixels: up-sampling them is little work.
            x = upsample_nearest(dense_label(x)) if upsample else dense_label(x)
            return vs_ops.spectral_conv2d(
                x, made.weight, self.bias, *self.vectors, sigma=made.sigma, stride=self.stride, padding=self.padding
            )
        if upsample:
            return vs_ops.upsample_conv2d(dense_label(x), made.weight, self.bias)
        return convolve_label(x, made.weight, self.bias, self.stride, self.padding)


class Linear(SpectralLayer):
    """A linear layer over the last axis, (..., C_in) -> (..., C_out), with spectral norm on request."""

    def __init__(self, c_in: int, c_out: int, *, spectral: bool = False) -> None:
        super().__init__((c_out, c_in), spectral=spectral)

    def forward(self, x: Tensor) -> Tensor:
        """Apply to (..., C_in); in training with spectral norm this advances `u` and `v` by one iteration."""
        return F.linear(x, self.next_weight(), self.bias)


class GeneratedConv(NamedTuple):
    """Weights of a convolution, made by another network, for each sample its own."""

    weight: Tensor
    """(N, C_out, C_in, k, k)"""
    bias: Tensor
    """(N, C_out)"""
    upsampling: Tensor | None = None
    """(N, C_in, C_out, k + 1, k + 1): the kernels of `vs_ops.upsampling_kernel`, where they are made beforehand."""


class HyperConv2d(nn.Module):
    """A convolution without parameters: each sample is convolved with the weights that come with it.

    Shapes as of `Conv2d`. Never spectrally normalised.
    """

    def __init__(self, kernel: int = 3, *, stride: int = 1) -> None:
        super().__init__()
        self.stride = stride
        self.padding = (kernel - 1) // 2

    def forward(self, x: Tensor, generated: GeneratedConv, *, upsample: bool = False) -> Tensor:
        """Convolve (N, C_in, H, W); `upsample` as of `Conv2d`."""
        if upsample and generated.upsampling is not None:
            by_sample = zip(x.split(1), generated.upsampling, generated.bias, strict=True)
            samples = [vs_ops.upsample_conv2d_by(each, kernel, bias) for each, kernel, bias in by_sample]
            return samples[0] if len(samples) == 1 else torch.cat(samples)
        if upsample:
            x = upsample_nearest(x)
        return vs_ops.hyper_conv2d(x, generated.weight, generated.bias, stride=self.stride, padding=self.padding)


def convolve(conv: nn.Module, x: Tensor, generated: GeneratedConv | None, *, upsample: bool = False) -> Tensor:
    """Call a `Conv2d`, or with generated weights a `HyperConv2d`; with `upsample`, on `x` up-sampled by 2."""
    inputs = (x,) if generated is None else (x, generated)
    y: Tensor = conv(*inputs, upsample=True) if upsample else conv(*inputs)
    return y


class InstanceNorm2d(nn.Module):
    """Instance norm with learned scale and shift, and statistics in float32; (N, C, H, W) -> (N, C, H, W)."""

    def __init__(self, channels: int, eps: float = NORM_EPS) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """Normalise each channel of each sample over its pixels."""
        return vs_ops.instance_norm(x, self.weight, self.bias, eps=self.eps)


def leaky_relu(x: Tensor) -> Tensor:
    """Apply a leaky ReLU, with the same slope in all networks."""
    return F.leaky_relu(x, LEAKY_SLOPE)


def upsample_nearest(x: Tensor) -> Tensor:
    """Up-sample by 2, to the nearest neighbour: (N, C, H, W) -> (N, C, 2H, 2W)."""
    return F.interpolate(x, scale_factor=2, mode="nearest")


def resize_nearest(x: Tensor, size: Sequence[int]) -> Tensor:
    """Resize to (H, W), to the nearest neighbour; return the input itself when it has that size."""
    return x if list(x.shape[-2:]) == list(size) else F.interpolate(x, size=list(size), mode="nearest")


class ConvNormAct(nn.Module):
    """Convolution, instance norm, leaky ReLU."""

    def __init__(
        self, c_in: int, c_out: int, kernel: int = 3, *, stride: int = 1, spectral: bool, eps: float = NORM_EPS
    ) -> None:
        super().__init__()
        self.conv = Conv2d(c_in, c_out, kernel, stride=stride, spectral=spectral)
        self.norm = InstanceNorm2d(c_out, eps)

    def forward(self, x: Label, *, upsample: bool = False) -> Tensor:
        """Apply them: (N, C_in, H, W) -> (N, C_out, H / stride, W / stride); `upsample` as of `Conv2d`."""
        return leaky_relu(self.norm(self.conv(x, upsample=upsample)))


class Spade(nn.Module):
    """Spatially-adaptive normalisation (Park et al., 2019) conditioned on one or several maps, one after the other.

    Instance norm without learned scale, then for each map i: x * (1 + gamma_i) + beta_i, where gamma_i and beta_i are
    the two halves of one convolution of the map, resized to x. Fewer maps than projections may be given: the first
    ones are used. With `generated`, the weights of the first map's convolution come with each call.
    """

    def __init__(self, channels: int, map_channels: Sequence[int], kernel: int, *, generated: bool = False) -> None:
        super().__init__()
        self.pointwise = kernel == 1
        self.projections = nn.ModuleList(
            HyperConv2d(kernel) if generated and i == 0 else Conv2d(c, 2 * channels, kernel)
            for i, c in enumerate(map_channels)
        )

    def forward(
        self,
        x: Tensor,
        maps: Sequence[Tensor],
        negative_slope: float | None = None,
        generated: GeneratedConv | None = None,
        *,
        upsample: bool = False,
    ) -> Tensor:
        """Normalise and modulate (N, C, H, W); `negative_slope` adds a leaky ReLU to the same pass.

        With `upsample`, `x` is first up-sampled by 2, and the result is (N, C, 2H, 2W).
        """
        size = [2 * side if upsample else side for side in x.shape[-2:]]
        modulations = [
            self._project(projection, m, size, generated if i == 0 else None)
            for i, (projection, m) in enumerate(zip(self.projections, maps, strict=False))
        ]  # each (N, 2C, H, W)
        return vs_ops.spade(x, modulations, eps=NORM_EPS, negative_slope=negative_slope, upsample=upsample)

    def _project(
        self, projection: nn.Module, m: Tensor, size: Sequence[int], generated: GeneratedConv | None
    ) -> Tensor:
        # A 1x1 convolution and nearest up-sampling commute: convolving the small map does less work.
        if self.pointwise and generated is None and m.shape[-1] < size[-1]:
            return resize_nearest(projection(m), size)
        return convolve(projection, resize_nearest(m, size), generated)


class GeneratedBlock(NamedTuple):
    """Generated weights of one `SpadeResidualBlock`; None where the block has its own."""

    norm_0: GeneratedConv | None = None
    norm_1: GeneratedConv | None = None
    norm_s: GeneratedConv | None = None
    conv_0: GeneratedConv | None = None
    conv_1: GeneratedConv | None = None
    conv_s: GeneratedConv | None = None


NOTHING_GENERATED = GeneratedBlock()


class SpadeResidualBlock(nn.Module):
    """Pre-activation residual block: (SPADE, leaky ReLU, convolution) twice, hidden width min(in, out).

    When the width changes, the shortcut is SPADE and a 1x1 convolution without activation. With `generated_norms` the
    first map's SPADE weights, and with `generated_convs` the convolutions' weights, come with each call.
    """

    def __init__(
        self,
        c_in: int,
        c_out: int,
        map_channels: Sequence[int],
        *,
        kernel: int,
        spade_kernel: int,
        spectral: bool,
        generated_norms: bool = False,
        generated_convs: bool = False,
    ) -> None:
        super().__init__()
        hidden = min(c_in, c_out)

        def spade(channels: int) -> Spade:
            return Spade(channels, map_channels, spade_kernel, generated=generated_norms)

        def conv(inputs: int, outputs: int, size: int) -> nn.Module:
            return HyperConv2d(size) if generated_convs else Conv2d(inputs, outputs, size, spectral=spectral)

        self.norm_0 = spade(c_in)
        self.conv_0 = conv(c_in, hidden, kernel)
        self.norm_1 = spade(hidden)
        self.conv_1 = conv(hidden, c_out, kernel)
        self.norm_s = spade(c_in) if c_in != c_out else None
        self.conv_s = conv(c_in, c_out, 1) if c_in != c_out else None

    def forward(
        self,
        x: Tensor,
        maps: Sequence[Tensor],
        generated: GeneratedBlock = NOTHING_GENERATED,
        upsample: bool = False,
    ) -> Tensor:
        """Apply the block to (N, C_in, H, W) under conditioning maps -> (N, C_out, H, W).

        With `upsample`, `x` is first up-sampled by 2: (N, C_in, H / 2, W / 2) -> (N, C_out, H, W). Where the width
        changes, the large `x` is never made: both of its readers are SPADE, which normalises the small one.
        """
        dx = self.norm_0(x, maps, LEAKY_SLOPE, generated.norm_0, upsample=upsample)
        dx = convolve(self.conv_0, dx, generated.conv_0)
        dx = convolve(self.conv_1, self.norm_1(dx, maps, LEAKY_SLOPE, generated.norm_1), generated.conv_1)
        if self.norm_s is None or self.conv_s is None:
            return (upsample_nearest(x) if upsample else x) + dx
        shortcut = self.norm_s(x, maps, None, generated.norm_s, upsample=upsample)
        return convolve(self.conv_s, shortcut, generated.conv_s) + dx


class ResidualBlock(nn.Module):
    """Residual block of vid2vid's flow network: convolution, norm, leaky ReLU, convolution, norm; identity shortcut."""

    def __init__(self, channels: int, kernel: int = 3, *, spectral: bool) -> None:
        super().__init__()
        self.conv_0 = Conv2d(channels, channels, kernel, spectral=spectral)
        self.norm_0 = InstanceNorm2d(channels)
        self.conv_1 = Conv2d(channels, channels, kernel, spectral=spectral)
        self.norm_1 = InstanceNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the block: (N, C, H, W) -> (N, C, H, W)."""
        dx: Tensor = self.norm_1(self.conv_1(leaky_relu(self.norm_0(self.conv_0(x)))))
        return x + dx


class PreActivationBlock(nn.Module):
    """Residual block of few-shot vid2vid's flow network: (norm, leaky ReLU, convolution) twice; identity shortcut."""

    def __init__(self, channels: int, kernel: int = 3, *, spectral: bool) -> None:
        super().__init__()
        self.norm_0 = InstanceNorm2d(channels)
        self.conv_0 = Conv2d(channels, channels, kernel, spectral=spectral)
        self.norm_1 = InstanceNorm2d(channels)
        self.conv_1 = Conv2d(channels, channels, kernel, spectral=spectral)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the block: (N, C, H, W) -> (N, C, H, W)."""
        dx: Tensor = self.conv_1(leaky_relu(self.norm_1(self.conv_0(leaky_relu(self.norm_0(x))))))
        return x + dx


def width(filters: int, max_filters: int, level: int) -> int:
    """Return the channels at a level: `filters` at level 0, twice as many at each further level, and capped."""
    return min(max_filters, filters << level)
