"""Patch discriminators: of single frames beside their labels, and of frames over time."""

from collections.abc import Callable, Sequence

import attrs
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vs_nets.discriminator_config import DiscriminatorConfig, PatchConfig, TemporalConfig
from vs_nets.label_map import Label, convolve_label, dense_label
from vs_nets.layers import Conv2d, InstanceNorm2d, leaky_relu, width
from vs_nets.spectral import has_power_iteration, normalised_at_once

Pyramid = tuple[Tensor, ...]
"""The same tensor at each scale of a discriminator, finest first."""

Condition = tuple[Label, ...]
"""An encoded label at each scale of a discriminator, finest first; the finest may hold class ids."""


@attrs.frozen(kw_only=True)
class DiscriminatorOutput:
    """Output of a multi-scale discriminator for a batch: logits of each scale, features of each scale and layer."""

    logits: tuple[Tensor, ...]
    features: tuple[tuple[Tensor, ...], ...]


@attrs.frozen(kw_only=True)
class RealFakeOutputs:
    """Outputs of one discriminator for the real and for the generated video, at the same time in both."""

    real: DiscriminatorOutput
    fake: DiscriminatorOutput


class _PatchDiscriminator(nn.Module):
    """One scale: 4x4 convolutions with instance norm and leaky ReLU, and a 3x3 head."""

    def __init__(self, config: PatchConfig, channels: int) -> None:
        super().__init__()
        # The last convolution has more channels too, though it keeps the size: `filters * 2^i` at layer i, capped.
        widths = [width(config.filters, config.max_filters, i) for i in range(config.layers + 1)]
        strides = [2] * config.layers + [1]
        inputs = [channels, *widths[:-1]]
        spectral = config.spectral_norm
        self.convs = nn.ModuleList(
            Conv2d(c_in, c_out, 4, stride=stride, spectral=spectral)
            for c_in, c_out, stride in zip(inputs, widths, strides, strict=True)
        )
        self.norms = nn.ModuleList(InstanceNorm2d(c) for c in widths)
        self.head = Conv2d(widths[-1], 1, 3, spectral=spectral)

    def forward(
        self, condition: Label | None, images: Tensor, convolved: Tensor | None = None
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Return logits and the features of each layer for images (B, C, H, W).

        `condition` is (N, C', H, W), the same for all B / N images of a sample, or None. The first convolution, of
        both concatenated, is linear: the condition is convolved once, and added to each convolved image. `convolved`
        is the result of `convolve_condition`, where that is there already.
        """
        features = [self._activate(0, self._first(condition, images, convolved))]
        for i in range(1, len(self.convs)):
            features.append(self._activate(i, self.convs[i](features[-1])))
        return self.head(features[-1]), tuple(features)

    def convolve_condition(self, condition: Label) -> Tensor:
        """Convolve a condition by the first layer's weights for it; never iterates."""
        return self._convolve_condition(condition, self.first_conv.effective_weight())

    def _convolve_condition(self, condition: Label, weight: Tensor) -> Tensor:
        conv = self.first_conv
        return convolve_label(condition, weight[:, : condition.shape[1]], conv.bias, conv.stride, conv.padding)

    @property
    def first_conv(self) -> Conv2d:
        """The convolution that sees condition and image."""
        conv = self.convs[0]
        if not isinstance(conv, Conv2d):
            raise TypeError("the first layer is a convolution")
        return conv

    def _activate(self, i: int, x: Tensor) -> Tensor:
        return leaky_relu(self.norms[i](x))

    def _first(self, condition: Label | None, images: Tensor, convolved: Tensor | None) -> Tensor:
        conv = self.first_conv
        if condition is None:
            features: Tensor = conv(images)
            return features
        weight = conv.next_weight()
        if convolved is None:
            convolved = self._convolve_condition(condition, weight)
        own = F.conv2d(images, weight[:, condition.shape[1] :], None, conv.stride, conv.padding)
        copies = images.shape[0] // condition.shape[0]
        return own + (convolved if copies == 1 else convolved.repeat(copies, 1, 1, 1))


class MultiScaleDiscriminator(nn.Module):
    """The same kind of network on each scale of a pyramid."""

    def __init__(self, config: PatchConfig, channels: int) -> None:
        super().__init__()
        self.scales = nn.ModuleList(_PatchDiscriminator(config, channels) for _ in range(config.scales))

    def forward(
        self, condition: Condition | None, images: Pyramid, convolved: Pyramid | None = None
    ) -> DiscriminatorOutput:
        """Discriminate images, a pyramid of (B, C, H, W), each B / N of them under the same condition of N.

        `convolved` is the result of `convolve_condition`, where that is there already.
        """
        with normalised_at_once(self.scales):
            outputs = [
                net(None if condition is None else condition[i], images[i], None if convolved is None else convolved[i])
                for i, net in enumerate(self.scales)
            ]
        return DiscriminatorOutput(logits=tuple(o[0] for o in outputs), features=tuple(o[1] for o in outputs))

    def convolve_condition(self, condition: Condition) -> Pyramid:
        """Convolve a condition by the first layer of each scale."""
        return tuple(
            net.convolve_condition(each)
            for net, each in zip(self.scales, condition, strict=True)
            if isinstance(net, _PatchDiscriminator)
        )


class Discriminator(nn.Module):
    """All discriminators of a run.

    `image` sees frames beside labels, `temporal[s]` frames over time, `regions[name]` crops of frames.
    """

    def __init__(self, config: DiscriminatorConfig, label_channels: int, frame_channels: int = 3) -> None:
        super().__init__()
        self.config = config
        self.image = MultiScaleDiscriminator(config.image, label_channels + frame_channels)
        temporal = config.temporal
        self.temporal = nn.ModuleList()
        if temporal is not None:
            channels = frame_channels * temporal.frames
            self.temporal.extend(MultiScaleDiscriminator(temporal.patch, channels) for _ in range(temporal.time_scales))
        self.regions = nn.ModuleDict(
            {each.region: MultiScaleDiscriminator(each.patch, frame_channels) for each in config.regions}
        )


def build_discriminator(config: DiscriminatorConfig, *, label_channels: int) -> Discriminator:
    """Return freshly initialised discriminators for encoded labels of `label_channels` channels."""
    return Discriminator(config, label_channels)


def pyramid(x: Tensor, scales: int) -> Pyramid:
    """Return (N, C, H, W) at `scales` scales, each half the one before (bilinear, corners aligned), in float32."""
    levels = [x]
    for _ in range(scales - 1):
        size = [s // 2 for s in levels[-1].shape[-2:]]
        levels.append(F.interpolate(levels[-1].float(), size=size, mode="bilinear", align_corners=True))
    return tuple(levels)


def condition_pyramid(label: Label, scales: int) -> Condition:
    """Return the `pyramid` of an encoded label; class ids stay what they are at the finest scale."""
    return (label, *pyramid(dense_label(label), scales)[1:]) if scales > 1 else (label,)


Discriminate = Callable[
    [MultiScaleDiscriminator, Condition | None, Pyramid, Sequence[Pyramid]], tuple[RealFakeOutputs, ...]
]
"""(discriminator, condition, real, fakes) -> outputs for each fake: `discriminate_both` or `discriminate_fake`."""


def discriminate_both(
    net: MultiScaleDiscriminator, condition: Condition | None, real: Pyramid, fakes: Sequence[Pyramid]
) -> tuple[RealFakeOutputs, ...]:
    """Discriminate real and generated images with gradients for both: the update of the discriminator.

    All of them are stacked into one pass, which convolves the condition and discriminates the real images once. Where
    each call advances a power iteration, the weights differ between passes, and there is a pass for each: real before
    fake, for each fake anew.
    """
    if has_power_iteration(net):
        return tuple(RealFakeOutputs(real=net(condition, real), fake=net(condition, fake)) for fake in fakes)
    of_real, *of_fakes = _unstack(net(condition, _stack([real, *fakes])), 1 + len(fakes))
    return tuple(RealFakeOutputs(real=of_real, fake=of_fake) for of_fake in of_fakes)


def discriminate_fake(
    net: MultiScaleDiscriminator, condition: Condition | None, real: Pyramid, fakes: Sequence[Pyramid]
) -> tuple[RealFakeOutputs, ...]:
    """Discriminate generated images with gradients for them alone: the update of the generator.

    The parameters of `net` must be frozen (`requires_grad` off). Features of the real images carry no gradient. What
    is computed once is as in `discriminate_both`.
    """
    if has_power_iteration(net):
        return tuple(
            RealFakeOutputs(real=_without_gradient(net, condition, real, None), fake=net(condition, fake))
            for fake in fakes
        )
    convolved = None
    if condition is not None:
        with torch.no_grad():
            convolved = net.convolve_condition(condition)
    of_real = _without_gradient(net, condition, real, convolved)
    of_fakes = _unstack(net(condition, _stack(fakes), convolved), len(fakes))
    return tuple(RealFakeOutputs(real=of_real, fake=of_fake) for of_fake in of_fakes)


@torch.no_grad()
def _without_gradient(
    net: MultiScaleDiscriminator, condition: Condition | None, images: Pyramid, convolved: Pyramid | None
) -> DiscriminatorOutput:
    output: DiscriminatorOutput = net(condition, images, convolved)
    return output


def _stack(pyramids: Sequence[Pyramid]) -> Pyramid:
    """Stack pyramids along the batch."""
    return tuple(torch.cat(images) for images in zip(*pyramids, strict=True))


def _unstack(output: DiscriminatorOutput, parts: int) -> tuple[DiscriminatorOutput, ...]:
    """Take apart the output for equal parts stacked along the batch."""
    logits = [x.chunk(parts) for x in output.logits]
    features = [[x.chunk(parts) for x in scale] for scale in output.features]
    return tuple(
        DiscriminatorOutput(
            logits=tuple(chunks[i] for chunks in logits),
            features=tuple(tuple(chunks[i] for chunks in scale) for scale in features),
        )
        for i in range(parts)
    )


def temporal_window(frames: Sequence[Tensor], config: TemporalConfig, scale: int) -> Tensor | None:
    """Concatenate frames for the temporal discriminator of time scale `scale` along channels, oldest first.

    `frames` are (N, C, H, W), oldest first, the newest last; None while too few of them exist.
    """
    step = config.frames**scale
    span = step * (config.frames - 1)
    if len(frames) <= span:
        return None
    return torch.cat(list(frames[len(frames) - 1 - span :: step]), dim=1)


def temporal_memory(config: TemporalConfig | None) -> int:
    """Return how many past frames the temporal discriminators look at."""
    return 0 if config is None else int(config.frames ** (config.time_scales - 1) * (config.frames - 1))
