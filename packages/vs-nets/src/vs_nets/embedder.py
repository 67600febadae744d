"""The label embedder: conditioning maps at every resolution from a label map (or from a warped frame)."""

from collections.abc import Sequence
from typing import Literal

import attrs
import torch
from torch import Tensor, nn
from vs_config import choice, whole

from vs_nets.label_map import Label
from vs_nets.layers import Conv2d, GeneratedConv, HyperConv2d, convolve, leaky_relu, width
from vs_nets.limits import MAX_CHANNELS, MAX_HALVINGS
from vs_nets.spectral import normalised_at_once


@attrs.frozen(kw_only=True)
class EmbedderConfig:
    """Shape of an embedder."""

    arch: Literal["encoder", "encoderdecoder", "unet"] = choice(
        "encoderdecoder",
        "encoder only, encoder and decoder, or both with skip connections",
        ("encoder", "encoderdecoder", "unet"),
    )
    filters: int = whole(32, "channels at full resolution", low=1, high=MAX_CHANNELS)
    max_filters: int = whole(1024, "cap of the channels", low=1, high=MAX_CHANNELS)
    downsamples: int = whole(5, "how often the resolution is halved", low=1, high=MAX_HALVINGS)
    kernel: int = choice(3, "kernel size, odd", (1, 3, 5, 7))

    def width(self, level: int) -> int:
        """Return the channels of the map at a level (0 is full resolution)."""
        return width(self.filters, self.max_filters, min(level, self.downsamples))


class Embedder(nn.Module):
    """Embedder: (N, C, H, W) -> `downsamples + 1` maps, finest first; map i has `config.width(i)` channels at 1 / 2^i.

    The weights of `generated` convolutions come with each call: those of the decoder that make the finest maps, or,
    where there is no decoder, the first stride-2 convolutions.
    """

    def __init__(self, config: EmbedderConfig, channels: int, *, spectral: bool, generated: int = 0) -> None:
        super().__init__()
        n, kernel = config.downsamples, config.kernel
        widths = [config.width(i) for i in range(n + 1)]
        self.arch = config.arch
        self.first = Conv2d(channels, widths[0], kernel, spectral=spectral)
        generated_down = generated if config.arch == "encoder" else 0
        self.down = nn.ModuleList(
            HyperConv2d(kernel, stride=2)
            if i < generated_down
            else Conv2d(widths[i], widths[i + 1], kernel, stride=2, spectral=spectral)
            for i in range(n)
        )
        skips = [config.arch == "unet" and i != n - 1 for i in range(n)]
        self.up = nn.ModuleList(
            HyperConv2d(kernel)
            if i < generated
            else Conv2d(widths[i + 1] * (2 if skips[i] else 1), widths[i], kernel, spectral=spectral)
            for i in range(n if config.arch != "encoder" else 0)
        )

    def forward(self, x: Label, generated: Sequence[GeneratedConv] = ()) -> tuple[Tensor, ...]:
        """Make maps at resolutions H, H/2, ..., H / 2^downsamples; `generated[i]` makes, or takes, that of level i."""
        with normalised_at_once(self):
            return self._maps(x, generated)

    def _maps(self, x: Label, generated: Sequence[GeneratedConv]) -> tuple[Tensor, ...]:
        encoder_only = self.arch == "encoder"
        encoded = [leaky_relu(self.first(x))]
        for i, down in enumerate(self.down):
            encoded.append(leaky_relu(convolve(down, encoded[-1], _at(generated, i) if encoder_only else None)))
        if encoder_only:
            return tuple(encoded)
        decoded = [encoded[-1]]
        for i in reversed(range(len(self.up))):
            y = decoded[-1]  # at resolution i + 1
            if self.arch == "unet" and i != len(self.up) - 1:
                y = torch.cat([y, encoded[i + 1]], dim=1)
            decoded.append(leaky_relu(convolve(self.up[i], y, _at(generated, i), upsample=True)))
        return tuple(reversed(decoded))


def _at(generated: Sequence[GeneratedConv], i: int) -> GeneratedConv | None:
    return generated[i] if i < len(generated) else None
