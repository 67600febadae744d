"""The flow network: where in the previous frame a pixel comes from, and whether to trust that."""

import math
from itertools import pairwise

import torch
from attrs import field, frozen
from attrs.validators import ge, gt, lt
from torch import Tensor, nn

from vs_nets.layers import Conv2d, ConvNormAct, ResidualBlock, upsample, width


@frozen(kw_only=True)
class FlowConfig:
    """Shape of the flow network."""

    filters: int = field(default=32, validator=ge(1), metadata={"help": "channels at full resolution"})
    max_filters: int = field(default=1024, validator=ge(1), metadata={"help": "cap of the channels"})
    downsamples: int = field(default=5, validator=ge(1), metadata={"help": "how often the resolution is halved"})
    residual_blocks: int = field(default=6, validator=ge(0), metadata={"help": "blocks at the lowest resolution"})
    multiplier: float = field(
        default=40.0, validator=[gt(0), lt(math.inf)], metadata={"help": "pixels for one unit of the head"}
    )


def _encoder(config: FlowConfig, channels: int, spectral: bool) -> nn.Sequential:
    widths = [width(config.filters, config.max_filters, i) for i in range(config.downsamples + 1)]
    first = ConvNormAct(channels, widths[0], spectral=spectral)
    down = (ConvNormAct(c_in, c_out, stride=2, spectral=spectral) for c_in, c_out in pairwise(widths))
    return nn.Sequential(first, *down)


class FlowNetwork(nn.Module):
    """Labels of all frames and past frames -> flow (N, 2, H, W) in pixels and mask (N, 1, H, W) in [0, 1].

    Labels and frames are concatenated along channels, oldest first. Mask 1 means: use the hallucinated pixel.
    """

    def __init__(self, config: FlowConfig, label_channels: int, frame_channels: int, *, spectral: bool) -> None:
        super().__init__()
        widths = [width(config.filters, config.max_filters, i) for i in range(config.downsamples + 1)]
        self.multiplier = config.multiplier
        self.encode_labels = _encoder(config, label_channels, spectral)
        self.encode_frames = _encoder(config, frame_channels, spectral)
        self.blocks = nn.ModuleList(ResidualBlock(widths[-1], spectral=spectral) for _ in range(config.residual_blocks))
        self.up = nn.ModuleList(
            ConvNormAct(widths[i + 1], widths[i], spectral=spectral) for i in reversed(range(config.downsamples))
        )
        self.flow_head = Conv2d(widths[0], 2)
        self.mask_head = Conv2d(widths[0], 1)

    def forward(self, labels: Tensor, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Estimate flow and mask in float32."""
        x = self.encode_labels(labels) + self.encode_frames(frames)
        for block in self.blocks:
            x = block(x)
        for up in self.up:
            x = up(upsample(x))
        flow = self.flow_head(x).float() * self.multiplier
        return flow, torch.sigmoid(self.mask_head(x).float())
