"""Convolutions with optional spectral norm, SPADE, and the two residual blocks that the networks are made of.

Every layer pads with zeros and has a bias. Whether a convolution is spectrally normalised is decided when it is built;
the parameter is called `weight` either way, so that averaged, already normalised weights load into a network without.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
import vs_ops
from attrs import field, frozen
from torch import Tensor, nn

LEAKY_SLOPE = 0.2
NORM_EPS = 1e-5

CallBlock = Callable[..., Any]


def call_block(block: nn.Module, *args: Any) -> Any:
    """Call a block plainly; an activation-checkpointing function of the same signature may stand in its place."""
    return block(*args)


@frozen(kw_only=True)
class Rematerialisation:
    """How a network calls its parts: plainly, or through a function that recomputes activations in the backward pass.

    `blocks` calls residual blocks, `stages` calls whole encoders (label embedder, flow network). Both take the module
    and its arguments and must return what the module returns.
    """

    blocks: CallBlock = field(default=call_block)
    stages: CallBlock = field(default=call_block)


class Conv2d(nn.Module):
    """A convolution that keeps the size (or divides it by its stride), with spectral norm on request.

    Shapes: (N, C_in, H, W) -> (N, C_out, ceil(H / stride), ceil(W / stride)) for odd kernels.

    With spectral norm the weight is divided by its largest singular value, estimated by one power iteration for each
    call in training and by none in evaluation (Miyato et al., 2018). The singular vectors are the buffers `u` and `v`.
    """

    u: Tensor
    v: Tensor

    def __init__(self, c_in: int, c_out: int, kernel: int = 3, *, stride: int = 1, spectral: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(c_out, c_in, kernel, kernel))
        self.bias = nn.Parameter(torch.empty(c_out))
        self.stride = stride
        self.padding = (kernel - 1) // 2
        self.spectral = spectral
        if spectral:
            self.register_buffer("u", torch.empty(c_out))
            self.register_buffer("v", torch.empty(c_in * kernel * kernel))
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self, gain: float = 0.02) -> None:
        """Xavier-normal weights, zero bias; singular vectors start at random and take a few power iterations."""
        nn.init.xavier_normal_(self.weight, gain=gain)
        nn.init.zeros_(self.bias)
        if self.spectral:
            self.u.copy_(F.normalize(torch.randn_like(self.u), dim=0))
            self.v.copy_(F.normalize(torch.randn_like(self.v), dim=0))
            for _ in range(10):
                self._iterate()

    @torch.no_grad()
    def _iterate(self) -> None:
        u, v = vs_ops.power_iteration(self.weight.flatten(1), self.u, self.v)
        self.u.copy_(u)
        self.v.copy_(v)

    def effective_weight(self) -> Tensor:
        """The weight that convolves: `weight`, or `weight` over its largest singular value; never iterates."""
        return vs_ops.spectral_normalize(self.weight, self.u, self.v) if self.spectral else self.weight

    def next_weight(self) -> Tensor:
        """`effective_weight` after the power iteration that a call in training makes."""
        if self.spectral and self.training:
            self._iterate()
        return self.effective_weight()

    def forward(self, x: Tensor) -> Tensor:
        """Convolve (N, C_in, H, W); in training with spectral norm this advances `u` and `v` by one iteration."""
        return F.conv2d(x, self.next_weight(), self.bias, self.stride, self.padding)


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
    """Leaky ReLU with the slope that all networks share."""
    return F.leaky_relu(x, LEAKY_SLOPE)


def upsample(x: Tensor) -> Tensor:
    """Nearest-neighbour up-sampling by 2: (N, C, H, W) -> (N, C, 2H, 2W)."""
    return F.interpolate(x, scale_factor=2, mode="nearest")


def resize_nearest(x: Tensor, size: Sequence[int]) -> Tensor:
    """Nearest-neighbour resizing to (H, W); returns the input itself when it has that size."""
    return x if list(x.shape[-2:]) == list(size) else F.interpolate(x, size=list(size), mode="nearest")


class ConvNormAct(nn.Module):
    """Convolution, instance norm, leaky ReLU."""

    def __init__(self, c_in: int, c_out: int, kernel: int = 3, *, stride: int = 1, spectral: bool) -> None:
        super().__init__()
        self.conv = Conv2d(c_in, c_out, kernel, stride=stride, spectral=spectral)
        self.norm = InstanceNorm2d(c_out)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C_in, H, W) -> (N, C_out, H / stride, W / stride)."""
        return leaky_relu(self.norm(self.conv(x)))


class Spade(nn.Module):
    """Spatially-adaptive normalisation (Park et al., 2019) conditioned on one or several maps, one after the other.

    Instance norm without learned scale, then for each map i: x * (1 + gamma_i) + beta_i, where gamma_i and beta_i are
    the two halves of one convolution of the map, resized to x. Fewer maps than projections may be given: the first
    ones are used.
    """

    def __init__(self, channels: int, map_channels: Sequence[int], kernel: int) -> None:
        super().__init__()
        self.projections = nn.ModuleList(Conv2d(c, 2 * channels, kernel) for c in map_channels)

    def forward(self, x: Tensor, maps: Sequence[Tensor], negative_slope: float | None = None) -> Tensor:
        """Normalise and modulate (N, C, H, W); `negative_slope` adds a leaky ReLU to the same pass."""
        size = x.shape[-2:]
        modulations = [
            _project(projection, m, size) for projection, m in zip(self.projections, maps, strict=False)
        ]  # each (N, 2C, H, W)
        return vs_ops.spade(x, modulations, eps=NORM_EPS, negative_slope=negative_slope)


def _project(projection: nn.Module, m: Tensor, size: Sequence[int]) -> Tensor:
    # A 1x1 convolution and nearest up-sampling commute: convolving the small map does less work.
    if isinstance(projection, Conv2d) and projection.weight.shape[-1] == 1 and m.shape[-1] < size[-1]:
        return resize_nearest(projection(m), size)
    return projection(resize_nearest(m, size))  # type: ignore[no-any-return]


class SpadeResidualBlock(nn.Module):
    """Pre-activation residual block: (SPADE, leaky ReLU, convolution) twice, hidden width min(in, out).

    When the width changes, the shortcut is SPADE and a 1x1 convolution without activation.
    """

    def __init__(
        self, c_in: int, c_out: int, map_channels: Sequence[int], *, kernel: int, spade_kernel: int, spectral: bool
    ) -> None:
        super().__init__()
        hidden = min(c_in, c_out)
        self.norm_0 = Spade(c_in, map_channels, spade_kernel)
        self.conv_0 = Conv2d(c_in, hidden, kernel, spectral=spectral)
        self.norm_1 = Spade(hidden, map_channels, spade_kernel)
        self.conv_1 = Conv2d(hidden, c_out, kernel, spectral=spectral)
        self.norm_s = Spade(c_in, map_channels, spade_kernel) if c_in != c_out else None
        self.conv_s = Conv2d(c_in, c_out, 1, spectral=spectral) if c_in != c_out else None

    def forward(self, x: Tensor, maps: Sequence[Tensor]) -> Tensor:
        """(N, C_in, H, W) and conditioning maps -> (N, C_out, H, W)."""
        dx = self.conv_0(self.norm_0(x, maps, LEAKY_SLOPE))
        dx = self.conv_1(self.norm_1(dx, maps, LEAKY_SLOPE))
        if self.norm_s is None or self.conv_s is None:
            return x + dx  # type: ignore[no-any-return]
        return self.conv_s(self.norm_s(x, maps)) + dx  # type: ignore[no-any-return]


class ResidualBlock(nn.Module):
    """Residual block of the flow network: convolution, norm, leaky ReLU, convolution, norm; identity shortcut."""

    def __init__(self, channels: int, kernel: int = 3, *, spectral: bool) -> None:
        super().__init__()
        self.conv_0 = Conv2d(channels, channels, kernel, spectral=spectral)
        self.norm_0 = InstanceNorm2d(channels)
        self.conv_1 = Conv2d(channels, channels, kernel, spectral=spectral)
        self.norm_1 = InstanceNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)."""
        dx = leaky_relu(self.norm_0(self.conv_0(x)))
        return x + self.norm_1(self.conv_1(dx))  # type: ignore[no-any-return]


def width(filters: int, max_filters: int, level: int) -> int:
    """Channels at a level: `filters` at level 0, doubled for each level and capped."""
    return min(max_filters, filters << level)


def has_power_iteration(module: nn.Module) -> bool:
    """Whether a call of `module` changes spectral-norm buffers now (then the order of calls matters)."""
    return module.training and any(isinstance(m, Conv2d) and m.spectral for m in module.modules())


@torch.no_grad()
def effective_weights(module: nn.Module) -> Mapping[str, Tensor]:
    """Parameters by name as the network uses them: spectrally normalised where it normalises (no iteration is made).

    These are what an average of weights should average: the averaged network then needs no spectral norm.
    """
    normalised = {
        f"{name}.weight" if name else "weight": m.effective_weight()
        for name, m in module.named_modules()
        if isinstance(m, Conv2d) and m.spectral
    }
    return {name: normalised.get(name, p.detach()) for name, p in module.named_parameters()}
