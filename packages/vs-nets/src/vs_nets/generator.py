"""The vid2vid generator (Wang et al., 2018): a SPADE image generator that continues from its own past frames."""

import math
from collections.abc import Iterator
from typing import ClassVar, assert_never

import attrs
import torch
import torch.nn.functional as F
import vs_ops
from torch import Tensor, nn
from vs_config import Check, Problem, check_fields, choice, table, truth, whole

from vs_nets.embedder import Embedder, EmbedderConfig
from vs_nets.errors import ShapeError
from vs_nets.flow import AnyFlow, FlowConfig, FlowNetwork, GivenFlow
from vs_nets.label_map import Label, join_labels, shrink_label
from vs_nets.layers import (
    NOTHING_GENERATED,
    ActivationCheckpointing,
    Conv2d,
    SpadeResidualBlock,
    leaky_relu,
    width,
)
from vs_nets.limits import MAX_CHANNELS, MAX_FRAMES, MAX_HALVINGS
from vs_nets.references import References
from vs_nets.spectral import normalised_at_once
from vs_nets.synthesis import GenerateFrame, History, Motion, Synthesis, Warp

FRAME_CHANNELS = 3
Maps = tuple[Tensor, ...]


def _check_embedder(config: "SpadeCombination") -> Iterator[Problem]:
    deep, needed = config.embedder.downsamples, config.levels - 1
    if deep < needed:
        yield Problem("embedder.downsamples", expected=f"at least levels - 1, {needed}", got=deep)


@attrs.frozen(kw_only=True)
class SpadeCombination:
    """Combination by SPADE: the warped frame and the mask condition the last levels further."""

    kind: ClassVar[str] = "spade"
    levels: int = whole(3, "how many of the last levels see them", low=1, high=MAX_HALVINGS)
    embedder: EmbedderConfig = table(lambda: EmbedderConfig(arch="unet"), "embedder of the warped frame and the mask")
    raw_output: bool = truth(False, "run the last levels a second time without them, for further losses")

    CHECKS: ClassVar[tuple[Check, ...]] = (Check(("levels", "embedder"), _check_embedder),)

    def __attrs_post_init__(self) -> None:
        check_fields(self)


@attrs.frozen(kw_only=True)
class LinearCombination:
    """Combination by blending: mask * hallucinated + (1 - mask) * warped."""

    kind: ClassVar[str] = "linear"
    raw_output: bool = truth(True, "give what is hallucinated losses of its own, wherever a frame is warped")


Combination = SpadeCombination | LinearCombination


def spade_of(combination: Combination) -> SpadeCombination | None:
    """Return how warped frames condition the last levels; None where they are blended in instead."""
    match combination:
        case SpadeCombination():
            return combination
        case LinearCombination():
            return None
        case _ as never:
            assert_never(never)


@attrs.frozen(kw_only=True)
class LabelStart:
    """Start of the first frame from a 3x3 convolution of the label map, resized to the bottleneck."""

    kind: ClassVar[str] = "label"


@attrs.frozen(kw_only=True)
class ConstantStart:
    """Start of the first frame from a learned constant (a linear layer of a latent vector that is always zero)."""

    kind: ClassVar[str] = "constant"
    height: int = whole(4, "rows of the bottleneck: height / 2^levels", low=1, high=4096)
    width: int = whole(8, "columns of the bottleneck", low=1, high=4096)


Start = LabelStart | ConstantStart


def _check_downsamples(config: "GeneratorConfig") -> Iterator[Problem]:
    if config.image_downsamples > config.levels:
        yield Problem("image_downsamples", expected=f"at most levels, {config.levels}", got=config.image_downsamples)


def _check_combination(config: "GeneratorConfig") -> Iterator[Problem]:
    spade, highest = spade_of(config.combination), config.image_downsamples + 1
    if spade is not None and spade.levels > highest:
        yield Problem("combination.levels", expected=f"at most image_downsamples + 1, {highest}", got=spade.levels)


def _check_given_flow(config: "GeneratorConfig") -> Iterator[Problem]:
    match config.flow, config.combination:
        case GivenFlow(), LinearCombination():
            hint = "blended by a given mask, whatever is seen twice would only ever be copied, and blur"
            expected = "'spade' with flow.kind = 'given'"
            yield Problem("combination.kind", hint, expected=expected, got="linear")


@attrs.frozen(kw_only=True)
class GeneratorConfig:
    """Shape of the vid2vid generator; the defaults are the published ones for Cityscapes at 512x1024."""

    kind: ClassVar[str] = "vid2vid"
    levels: int = whole(7, "how often the first frame is up-sampled", low=1, high=MAX_HALVINGS)
    image_downsamples: int = whole(4, "how often the previous frame is down-sampled", low=0, high=MAX_HALVINGS)
    filters: int = whole(32, "channels at full resolution", low=1, high=MAX_CHANNELS)
    max_filters: int = whole(1024, "cap of the channels", low=1, high=MAX_CHANNELS)
    kernel: int = choice(3, "kernel of the residual blocks", (1, 3, 5, 7))
    spade_kernel: int = choice(1, "kernel of SPADE's projections", (1, 3, 5))
    frames: int = whole(3, "frames it sees: the current and past ones", low=2, high=MAX_FRAMES)
    spectral_norm: bool = truth(True, "spectral norm on all but heads and first layers")
    embedder: EmbedderConfig = table(EmbedderConfig, "embedder of the label map")
    flow: AnyFlow = table(FlowConfig, "whether a network estimates flow and mask, or the data give them")
    combination: Combination = table(SpadeCombination, "how warped and hallucinated content are combined")
    start: Start = table(LabelStart, "what the first frame starts from")
    published_layout: bool = truth(False, "also hold the parameters that the published layout has and never uses")

    CHECKS: ClassVar[tuple[Check, ...]] = (
        Check(("image_downsamples", "levels"), _check_downsamples),
        Check(("combination", "image_downsamples"), _check_combination),
        Check(("flow", "combination"), _check_given_flow),
    )

    def __attrs_post_init__(self) -> None:
        check_fields(self)

    def width(self, level: int) -> int:
        """Return the channels of the main branch at a level (0 is full resolution)."""
        return width(self.filters, self.max_filters, level)

    @property
    def stride(self) -> int:
        """Height and width of the frames must be divisible by this."""
        warped = 0 if self.spade is None else self.spade.embedder.downsamples
        return int(2 ** max(self.embedder.downsamples, _flow_downsamples(self.flow), self.levels, warped))

    @property
    def spade(self) -> SpadeCombination | None:
        """How the warped frame conditions the last levels; None where it is blended in instead."""
        return spade_of(self.combination)

    @property
    def residual_blocks(self) -> int:
        """Residual blocks between the encoder of the previous frame and the main branch."""
        return 2 * math.ceil((self.levels - self.image_downsamples) / 2)

    @property
    def warped_levels(self) -> int:
        """How many of the last levels are conditioned on the warped frame."""
        return 0 if self.spade is None else self.spade.levels


def _flow_downsamples(flow: AnyFlow) -> int:
    match flow:
        case FlowConfig():
            return flow.downsamples
        case GivenFlow():
            return 0
        case _ as never:
            assert_never(never)


class Generator(nn.Module):
    """The vid2vid generator: (label, history) -> `Synthesis`, the next frame of a clip.

    Without past frames it is an image generator that starts from the label map; with past frames it starts from an
    encoding of the newest one; with `config.frames - 1` of them it also warps the newest one and combines both. Where
    flow is given, it does so from the first past frame on, and the mask is 1 - confidence.
    """

    def __init__(
        self,
        config: GeneratorConfig,
        label_channels: int,
        checkpointing: ActivationCheckpointing | None = None,
    ) -> None:
        super().__init__()
        self.config = config
        self.label_channels = label_channels
        self.call = checkpointing or ActivationCheckpointing()
        spectral = config.spectral_norm
        self.embed_label = Embedder(config.embedder, label_channels, spectral=spectral)
        self.start = _build_start(config, label_channels)
        self.up = nn.ModuleList(self._block(i, i + 1, i) for i in range(config.levels + 1))
        self.last = Conv2d(config.filters, FRAME_CHANNELS, config.kernel)
        self.first_previous = Conv2d(FRAME_CHANNELS, config.filters, config.kernel)
        self.down = nn.ModuleList(
            self._block(i, i, i + 1, warped=config.published_layout) for i in range(config.image_downsamples + 1)
        )
        middle = config.image_downsamples + 1
        self.middle = nn.ModuleList(self._block(middle, middle, middle) for _ in range(config.residual_blocks))
        self.flow = _build_flow(config, label_channels)
        self.embed_warped = (
            None if config.spade is None else Embedder(config.spade.embedder, FRAME_CHANNELS + 1, spectral=spectral)
        )

    def _block(self, level: int, level_in: int, level_out: int, *, warped: bool = True) -> SpadeResidualBlock:
        config = self.config
        map_channels = [config.embedder.width(level)]
        if warped and config.spade is not None and level < config.spade.levels:
            map_channels.append(config.spade.embedder.width(level))
        return SpadeResidualBlock(
            config.width(level_in),
            config.width(level_out),
            map_channels,
            kernel=config.kernel,
            spade_kernel=config.spade_kernel,
            spectral=config.spectral_norm,
        )

    def forward(self, label: Label, history: History) -> Synthesis:
        """Generate the frame of `label` (N, C, H, W), an encoded label map, after the frames in `history`.

        Raises:
            ShapeError: the label has other channels than the network, or its size is not divisible by the stride; flow
                is to be given, and is not, or is of another size.
        """
        check_size(label, self.label_channels, self.config.stride)
        with normalised_at_once(*(self._called(history) if self.call.plain else ())):
            maps: Maps = self.call.encoders(self.embed_label, label)
            x = self._continue(history, maps) if history.frames else self._begin(label, maps)
            warp = self._warp(label, history) if self._can_warp(history) else None
            return attrs.evolve(self._main_branch(x, maps, warp), maps=maps)

    def bind(self, _: References | None) -> GenerateFrame:
        """Return what generates the frames of a clip: the generator itself, which looks at no references."""
        return self

    def warp_past(self, label: Label, history: History) -> Warp:
        """Fetch the newest past frame by the flow network alone, or through the given flow, as a whole call does.

        Raises:
            ShapeError: the label does not fit, or the history has fewer frames than the flow network looks at.
        """
        check_size(label, self.label_channels, self.config.stride)
        if not self._can_warp(history):
            raise ShapeError(f"history has {len(history.frames)} frames: too few for the flow network")
        return self._warp(label, history)

    def _can_warp(self, history: History) -> bool:
        return len(history.frames) >= (1 if self.flow is None else self.config.frames - 1)

    def _called(self, history: History) -> list[nn.Module]:
        """Return the parts that a call with this history runs."""
        main = self.config.image_downsamples + 1
        called = [self.embed_label, *self.up[:main]]
        called += [*self.down, *self.middle] if history.frames else self.up[main:]
        if self._can_warp(history):
            called += [part for part in (self.flow, self.embed_warped) if part is not None]
        return called

    def _warp(self, label: Label, history: History) -> Warp:
        """Fetch the newest frame through the flow: the given one, or else that of all labels and past frames."""
        if self.flow is None:
            motion = check_motion(history.motion, label)
            warped = vs_ops.warp(history.frames[-1], motion.flow)
            return Warp(flow=motion.flow, mask=1 - motion.confidence, frame=warped)
        past = self.config.frames - 1
        labels = join_labels([*history.labels[-past:], label])
        flow, mask = self.call.encoders(self.flow, labels, torch.cat(history.frames[-past:], dim=1))
        return Warp(flow=flow, mask=mask, frame=vs_ops.warp(history.frames[-1], flow))

    def _map(self, maps: Maps, level: int) -> Tensor:
        return maps[min(level, len(maps) - 1)]

    def _begin(self, label: Label, maps: Maps) -> Tensor:
        """Make features at the resolution of the main branch from the label map alone."""
        x: Tensor = self.start(label)
        for i in range(self.config.levels, self.config.image_downsamples, -1):
            x = self._up(i, x, maps, (self._map(maps, i),))
        return x

    def _continue(self, history: History, maps: Maps) -> Tensor:
        """Make features at the resolution of the main branch from the previous frame and its label map."""
        config = self.config
        before: Maps = history.maps or self.call.encoders(self.embed_label, history.labels[-1])
        x: Tensor = self.first_previous(history.frames[-1])
        for i, block in enumerate(self.down):
            x = self.call.blocks(block, x, (self._map(before, i),))
            if i != config.image_downsamples:
                x = F.avg_pool2d(x, kernel_size=3, stride=2, padding=1)
        for i, block in enumerate(self.middle):
            current = before if i < len(self.middle) // 2 else maps
            x = self.call.blocks(block, x, (self._map(current, config.image_downsamples + 1),))
        return x

    def _main_branch(self, x: Tensor, maps: Maps, warp: Warp | None) -> Synthesis:
        """Run the last levels, make the frame, and combine it with the warped one."""
        extra: Maps = ()
        if warp is not None and self.embed_warped is not None:
            extra = self.call.encoders(self.embed_warped, torch.cat([warp.frame, warp.mask], dim=1))
        x, x_raw = self._last_levels(x, maps, extra)
        frame = self._to_frame(x)
        raw = self._to_frame(x_raw) if x_raw is not None else None
        if warp is None:
            return Synthesis(frame=frame, raw=raw)
        if self.embed_warped is None:
            raw = frame if self.config.combination.raw_output else None
            frame = warp.mask * frame + (1 - warp.mask) * warp.frame
        given = self.flow is None
        return Synthesis(frame=frame, raw=raw, flow=warp.flow, mask=warp.mask, warped=warp.frame, given=given)

    def _last_levels(self, x: Tensor, maps: Maps, extra: Maps) -> tuple[Tensor, Tensor | None]:
        """Make features of the frame and, where it is wanted, of the raw one; `extra`: maps of the warped frame."""
        config = self.config
        with_raw = config.spade is not None and config.spade.raw_output
        x_raw: Tensor | None = None
        for i in range(config.image_downsamples, -1, -1):
            plain = (self._map(maps, i),)
            if with_raw and i < config.warped_levels:
                # Before the final branch: each call of a spectrally normalised layer advances its buffers.
                x_raw = self._up(i, x if x_raw is None else x_raw, maps, plain)
            warped = (self._map(extra, i),) if extra and i < config.warped_levels else ()
            x = self._up(i, x, maps, (*plain, *warped))
        return x, x_raw

    def _up(self, level: int, x: Tensor, maps: Maps, conditions: Maps) -> Tensor:
        """Call the block of a level on features of its resolution, or of half of it, which it up-samples first."""
        upsample = x.shape[-2] << level < maps[0].shape[-2]
        y: Tensor = self.call.blocks(self.up[level], x, conditions, NOTHING_GENERATED, upsample)
        return y

    def _to_frame(self, x: Tensor) -> Tensor:
        return torch.tanh(self.last(leaky_relu(x)).float())


class _LabelStart(nn.Module):
    def __init__(self, config: GeneratorConfig, label_channels: int) -> None:
        super().__init__()
        self.levels = config.levels
        self.conv = Conv2d(label_channels, config.width(config.levels + 1))

    def forward(self, label: Label) -> Tensor:
        x: Tensor = self.conv(shrink_label(label, 2**self.levels))
        return x


class _ConstantStart(nn.Module):
    def __init__(self, config: GeneratorConfig, start: ConstantStart) -> None:
        super().__init__()
        self.constant = nn.Parameter(torch.zeros(config.width(config.levels + 1), start.height, start.width))

    def forward(self, label: Label) -> Tensor:
        return self.constant.expand(label.shape[0], -1, -1, -1)


def _build_start(config: GeneratorConfig, label_channels: int) -> nn.Module:
    match config.start:
        case LabelStart():
            return _LabelStart(config, label_channels)
        case ConstantStart() as start:
            return _ConstantStart(config, start)
        case _ as never:
            assert_never(never)


def _build_flow(config: GeneratorConfig, label_channels: int) -> FlowNetwork | None:
    match config.flow:
        case FlowConfig() as flow:
            seen, past = label_channels * config.frames, FRAME_CHANNELS * (config.frames - 1)
            return FlowNetwork(flow, seen, past, spectral=config.spectral_norm)
        case GivenFlow():
            return None
        case _ as never:
            assert_never(never)


def check_motion(motion: Motion | None, label: Label) -> Motion:
    """Return the motion, or raise `ShapeError` unless it is there and of the size of `label`."""
    if motion is None:
        raise ShapeError("this generator estimates no flow: its history needs the motion to the frame, and has none")
    n, _, height, width = label.shape
    for name, x, channels in (("flow", motion.flow, 2), ("confidence", motion.confidence, 1)):
        if x.shape != (n, channels, height, width):
            raise ShapeError(f"{name} has shape {tuple(x.shape)}: expected {(n, channels, height, width)}")
    return motion


def check_size(label: Label, channels: int, stride: int) -> None:
    """Raise `ShapeError` unless `label` is (N, channels, H, W) with H and W divisible by `stride`."""
    if len(label.shape) != 4 or label.shape[1] != channels:
        raise ShapeError(f"label has shape {tuple(label.shape)}: expected (N, {channels}, H, W)")
    if label.shape[2] % stride or label.shape[3] % stride:
        raise ShapeError(
            f"label has size {label.shape[2]}x{label.shape[3]}: height and width must be divisible by {stride}"
        )
