"""The flow network: where in the previous frame a pixel comes from, and whether to trust that."""

from itertools import pairwise
from typing import ClassVar, TypeAlias

import attrs
import torch
from torch import Tensor, nn
from vs_config import real, whole

from vs_nets.label_map import Label
from vs_nets.layers import Conv2d, ConvNormAct, PreActivationBlock, ResidualBlock, width
from vs_nets.limits import MAX_CHANNELS, MAX_HALVINGS, MAX_LAYERS
from vs_nets.spectral import normalised_at_once


@attrs.frozen(kw_only=True)
class FlowConfig:
    """Flow that a network estimates; its shape."""

    kind: ClassVar[str] = "estimated"
    filters: int = whole(32, "channels at full resolution", low=1, high=MAX_CHANNELS)
    max_filters: int = whole(1024, "cap of the channels", low=1, high=MAX_CHANNELS)
    downsamples: int = whole(5, "how often the resolution is halved", low=1, high=MAX_HALVINGS)
    residual_blocks: int = whole(6, "blocks at the lowest resolution", low=0, high=MAX_LAYERS)
    multiplier: float = real(40.0, "pixels for one unit of the head", low=0, high=1e6, open_low=True)


@attrs.frozen(kw_only=True)
class GivenFlow:
    """Flow that comes with the labels, as simulators know it: there is no flow network."""

    kind: ClassVar[str] = "given"


AnyFlow: TypeAlias = FlowConfig | GivenFlow


def few_shot_flow() -> FlowConfig:
    """Return the published shape for faces, few-shot."""
    return FlowConfig(downsamples=3, multiplier=20.0)


def _encoder(config: FlowConfig, channels: int, spectral: bool) -> nn.Sequential:
    widths = [width(config.filters, config.max_filters, i) for i in range(config.downsamples + 1)]
    first = ConvNormAct(channels, widths[0], spectral=spectral)
    down = (ConvNormAct(c_in, c_out, stride=2, spectral=spectral) for c_in, c_out in pairwise(widths))
    return nn.Sequential(first, *down)


class FlowNetwork(nn.Module):
    """Flow network of vid2vid: labels and past frames -> flow (N, 2, H, W) in pixels, mask (N, 1, H, W) in [0, 1].

    Labels of all frames, and past frames, are concatenated along channels, oldest first. Mask 1 means: use the
    hallucinated pixel.
    """

    def __init__(self, config: FlowConfig, label_channels: int, frame_channels: int, *, spectral: bool) -> None:
        super().__init__()
        widths = [width(config.filters, config.max_filters, i) for i in range(config.downsamples + 1)]
        self.multiplier = config.multiplier
        self.encode_labels = _encoder(config, label_channels, spectral)
        self.encode_frames = _encoder(config, frame_channels, spectral)
        self.blocks = nn.ModuleList(ResidualBlock(widths[-1], spectral=spectral) for _ in range(config.residual_blocks))
        self.up, self.flow_head, self.mask_head = _decoder(config, spectral)

    def forward(self, labels: Label, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Estimate flow and mask, in float32."""
        with normalised_at_once(self):
            return _decode(self, self.encode_labels(labels) + self.encode_frames(frames))


class FewShotFlowNetwork(nn.Module):
    """Flow network of few-shot vid2vid: labels, and frames to warp -> flow (N, 2, H, W), mask (N, 1, H, W) in [0, 1].

    All of them are concatenated along channels: label, other labels and other frames, oldest first.
    """

    def __init__(self, config: FlowConfig, channels: int, *, spectral: bool) -> None:
        super().__init__()
        deepest = width(config.filters, config.max_filters, config.downsamples)
        self.multiplier = config.multiplier
        self.encode = _encoder(config, channels, spectral)
        self.blocks = nn.ModuleList(
            PreActivationBlock(deepest, spectral=spectral) for _ in range(config.residual_blocks)
        )
        self.up, self.flow_head, self.mask_head = _decoder(config, spectral)

    def forward(self, label: Tensor, labels: Tensor, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Estimate flow and mask, in float32."""
        with normalised_at_once(self):
            return _decode(self, self.encode(torch.cat([label, labels, frames], dim=1)))


def _decoder(config: FlowConfig, spectral: bool) -> tuple[nn.ModuleList, Conv2d, Conv2d]:
    """Build the convolutions behind each up-sampling, and the heads of flow and mask."""
    widths = [width(config.filters, config.max_filters, i) for i in range(config.downsamples + 1)]
    up = nn.ModuleList(
        ConvNormAct(widths[i + 1], widths[i], spectral=spectral) for i in reversed(range(config.downsamples))
    )
    return up, Conv2d(widths[0], 2), Conv2d(widths[0], 1)


def _decode(network: FlowNetwork | FewShotFlowNetwork, x: Tensor) -> tuple[Tensor, Tensor]:
    """Apply residual blocks, up-sampling, and the heads."""
    for block in network.blocks:
        x = block(x)
    for up in network.up:
        x = up(x, upsample=True)
    flow = network.flow_head(x).float() * network.multiplier
    return flow, torch.sigmoid(network.mask_head(x).float())
