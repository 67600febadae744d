"""The few-shot vid2vid generator (Wang et al., NeurIPS 2019): a subject seen in a few frames, rendered in motion.

One model serves all subjects and any number K of references. `encode_references` computes what depends on the subject
alone; the value that it returns goes into every frame, so that nothing about a subject is hidden in the network.
"""

import functools
from collections.abc import Iterator, Sequence
from typing import ClassVar, assert_never

import attrs
import torch
import vs_ops
from torch import Tensor, nn
from torch.utils import _pytree as pytree
from vs_config import Check, Problem, check_fields, choice, table, truth, whole

from vs_nets.embedder import Embedder, EmbedderConfig
from vs_nets.errors import ShapeError, VsNetsError
from vs_nets.flow import FewShotFlowNetwork, FlowConfig, few_shot_flow
from vs_nets.generator import FRAME_CHANNELS, Combination, Maps, SpadeCombination, check_size, spade_of
from vs_nets.label_map import Label, dense_label
from vs_nets.layers import (
    NOTHING_GENERATED,
    ActivationCheckpointing,
    Conv2d,
    GeneratedBlock,
    SpadeResidualBlock,
    leaky_relu,
    width,
)
from vs_nets.limits import MAX_CHANNELS, MAX_FRAMES, MAX_HALVINGS
from vs_nets.references import References, check_references, nearest_reference, pick_reference
from vs_nets.spectral import normalised_at_once
from vs_nets.synthesis import GenerateFrame, History, Synthesis, Warp
from vs_nets.weight_generator import (
    Generated,
    MainBranch,
    ReferenceFeatures,
    WeightGenerator,
    WeightGeneratorConfig,
    lay_out,
)


def _check_combined_levels(config: "FewShotGeneratorConfig") -> Iterator[Problem]:
    spade, most = spade_of(config.combination), config.downsamples + 1
    if spade is not None and spade.levels > most:
        yield Problem("combination.levels", expected=f"at most downsamples + 1, {most}", got=spade.levels)


def _check_flow(config: "FewShotGeneratorConfig") -> Iterator[Problem]:
    if config.frames != 2 and not config.separate_flow:
        hint = "the previous frames' flow network takes other inputs than the reference's, and must be one of its own"
        yield Problem("separate_flow", hint, expected=f"true with frames = {config.frames}", got=False)


def _check_attention(config: "FewShotGeneratorConfig") -> Iterator[Problem]:
    attention, most = config.weights.attention, config.downsamples
    if attention is not None and attention.downsamples > most:
        got = attention.downsamples
        yield Problem("weights.attention.downsamples", expected=f"at most downsamples, {most}", got=got)


def _check_generated_levels(config: "FewShotGeneratorConfig") -> Iterator[Problem]:
    levels = config.weights.levels
    if levels > config.downsamples:
        yield Problem("weights.levels", expected=f"at most downsamples, {config.downsamples}", got=levels)
        return
    for level in range(levels):
        narrow, wide = _width(config, level), _width(config, level + 1)
        if wide != 2 * narrow:
            hint = f"level {level} has {narrow} and level {level + 1} {wide}; raise max_filters or lower weights.levels"
            yield Problem("weights.levels", hint, expected="levels that double the channels", got=levels)
            return


def _check_generated_embedder(config: "FewShotGeneratorConfig") -> Iterator[Problem]:
    weights, embedder = config.weights, config.embedder
    if not weights.embedder or weights.levels > config.downsamples:
        return
    if embedder.arch == "unet":
        expected = "'encoderdecoder' or 'encoder' where weights of the embedder are generated"
        yield Problem("embedder.arch", expected=expected, got=embedder.arch)
    elif embedder.downsamples < weights.levels:
        expected = f"at least weights.levels, {weights.levels}"
        yield Problem("embedder.downsamples", expected=expected, got=embedder.downsamples)
    else:
        yield from _check_embedder_widths(config)


def _check_embedder_widths(config: "FewShotGeneratorConfig") -> Iterator[Problem]:
    for level in range(config.weights.levels + 1):
        got, needed = config.embedder.width(level), _width(config, level)
        if got != needed:
            expected = f"filters and max_filters that give {needed} channels at level {level}, as the generator has"
            yield Problem("embedder", "weights of the embedder are generated", expected=expected, got=got)
            return


def _width(config: "FewShotGeneratorConfig", level: int) -> int:
    return width(config.filters, config.max_filters, min(level, config.downsamples))


@attrs.frozen(kw_only=True)
class FewShotGeneratorConfig:
    """Shape of the few-shot generator; the defaults are the published ones for faces at 512x512."""

    kind: ClassVar[str] = "few-shot"
    downsamples: int = whole(5, "how often the references are halved", low=1, high=MAX_HALVINGS)
    filters: int = whole(32, "channels at full resolution", low=1, high=MAX_CHANNELS)
    max_filters: int = whole(1024, "cap of the channels", low=1, high=MAX_CHANNELS)
    kernel: int = choice(3, "kernel of the residual blocks", (1, 3, 5, 7))
    spade_kernel: int = choice(1, "kernel of SPADE's projections and reference encoders", (1, 3, 5))
    frames: int = whole(2, "frames it sees: the current and past ones", low=2, high=MAX_FRAMES)
    spectral_norm: bool = truth(True, "spectral norm on all but heads and first layers")
    embedder: EmbedderConfig = table(EmbedderConfig, "embedder of the label map")
    weights: WeightGeneratorConfig = table(WeightGeneratorConfig, "what is generated from the references")
    flow: FlowConfig = table(few_shot_flow, "flow network")
    separate_flow: bool = truth(False, "a flow network of its own for the previous frame; a must beyond 2 frames")
    combination: Combination = table(
        lambda: SpadeCombination(levels=2), "how warped reference and previous frame are combined with what is made up"
    )
    separate_embedder: bool = truth(True, "an embedder of its own for the warped previous frame, where it is embedded")

    CHECKS: ClassVar[tuple[Check, ...]] = (
        Check(("combination", "downsamples"), _check_combined_levels),
        Check(("frames", "separate_flow"), _check_flow),
        Check(("weights", "downsamples"), _check_attention),
        Check(("weights", "downsamples", "filters", "max_filters"), _check_generated_levels),
        Check(("weights", "embedder", "downsamples", "filters", "max_filters"), _check_generated_embedder),
    )

    def __attrs_post_init__(self) -> None:
        check_fields(self)

    def width(self, level: int) -> int:
        """Return the channels of the main branch at a level (0 is full resolution); past the deepest they stay."""
        return _width(self, level)

    @property
    def stride(self) -> int:
        """Height and width of the frames must be divisible by this."""
        warped = 0 if self.spade is None else self.spade.embedder.downsamples
        return int(2 ** max(self.downsamples, self.embedder.downsamples, self.flow.downsamples, warped))

    @property
    def spade(self) -> SpadeCombination | None:
        """How warped frames condition the last levels; None where they are blended in instead."""
        return spade_of(self.combination)


@attrs.frozen(kw_only=True, eq=False)
class SeparateSubject:
    """A subject whose references each have weights of their own: one reference, or the nearest of several.

    `generated` holds the N * K weights, sample by sample.
    """

    references: References
    generated: Generated


@attrs.frozen(kw_only=True, eq=False)
class AttendedSubject:
    """A subject whose references are merged for each frame: their N * K features and keys, sample by sample."""

    references: References
    features: ReferenceFeatures
    keys: Tensor


Subject = SeparateSubject | AttendedSubject
"""What is computed once for a subject."""


class FewShotGenerator(nn.Module):
    """The few-shot generator: (label, history, subject) -> `Synthesis`, the next frame of a subject."""

    def __init__(
        self,
        config: FewShotGeneratorConfig,
        label_channels: int,
        checkpointing: ActivationCheckpointing | None = None,
    ) -> None:
        super().__init__()
        self.config = config
        self.label_channels = label_channels
        self.call = checkpointing or ActivationCheckpointing()
        self.prepared = False
        """Whether subjects serve many frames (see `prepare_for_inference`), for which their weights are laid out."""
        spectral, levels = config.spectral_norm, config.weights.levels
        self.weights = WeightGenerator(
            config.weights, _main_branch(config), (FRAME_CHANNELS, label_channels), spectral=spectral
        )
        self.embed_label = Embedder(
            config.embedder, label_channels, spectral=spectral, generated=levels if config.weights.embedder else 0
        )
        self.up = nn.ModuleList(self._block(level) for level in range(config.downsamples + 1))
        self.last = Conv2d(config.filters, FRAME_CHANNELS, config.kernel)
        self.flow_reference = self._flow(1)
        self.flow_previous = self._flow(config.frames - 1) if config.separate_flow else None
        self.embed_reference = _embed_warped(config)
        self.embed_previous = _embed_warped(config) if config.separate_embedder else None

    def _block(self, level: int) -> SpadeResidualBlock:
        config = self.config
        map_channels = [config.embedder.width(level)]
        if config.spade is not None and level < config.spade.levels:
            map_channels += [config.spade.embedder.width(level)] * 2  # reference and previous frame
        generated = level < config.weights.levels
        return SpadeResidualBlock(
            config.width(level + 1),
            config.width(level),
            map_channels,
            kernel=config.kernel,
            spade_kernel=config.spade_kernel,
            spectral=config.spectral_norm,
            generated_norms=generated and config.weights.spade,
            generated_convs=generated and config.weights.convolutions,
        )

    def _flow(self, others: int) -> FewShotFlowNetwork:
        channels = self.label_channels * (1 + others) + FRAME_CHANNELS * others
        return FewShotFlowNetwork(self.config.flow, channels, spectral=self.config.spectral_norm)

    def encode_references(self, references: References) -> Subject:
        """Compute what depends on the subject alone; in evaluation, once for a whole video.

        With one reference, or without attention, that is the generated weights of each reference; with attention over
        several, their features and keys, which each frame merges by its own query. In training, call it for each frame:
        the weights that it uses change with every update.

        Raises:
            ShapeError: there is no reference, or frames and labels do not fit each other or the network.
        """
        check_references(references, self.label_channels, self.config.stride)
        frames, labels = references.frames.flatten(0, 1), references.labels.flatten(0, 1)
        features = self.weights.begin(frames, labels, self.call.encoders)
        keys = self.weights.keys(labels, self.call.encoders) if references.count > 1 else None
        if keys is not None:
            return AttendedSubject(references=references, features=features, keys=keys)
        generated = self.weights.finish(features, self.call.encoders)
        if self.prepared:
            generated = lay_out(generated, upsamples=self.config.embedder.arch != "encoder")
        return SeparateSubject(references=references, generated=generated)

    def forward(self, label: Label, history: History, subject: Subject) -> Synthesis:
        """Generate the frame of `label` (N, C, H, W), an encoded label map, after the frames in `history`.

        Raises:
            ShapeError: the label has other channels than the network, its size is not divisible by the stride, or the
                references have another size or are of another number of subjects.
        """
        label = dense_label(label)
        check_size(label, self.label_channels, self.config.stride)
        references = subject.references
        if references.frames.shape[:1] + references.frames.shape[-2:] != label.shape[:1] + label.shape[-2:]:
            raise ShapeError(
                f"references have shape {tuple(references.frames.shape)}: expected (N, K, 3, H, W) with N, H and W of "
                f"the label, {tuple(label.shape)}"
            )
        generated, chosen = self._weights_for(label, subject)
        with normalised_at_once(*(self._called(history) if self.call.plain else ())):
            maps: Maps = self.call.encoders(self.embed_label, label, generated.embedder)
            warps = self._warps(label, history, references, chosen)
            extra = [self._embed_warped(embed, warp) for embed, warp in zip(self._embedders(), warps, strict=False)]
            x, x_raw = self._main_branch(generated, maps, extra)
        frame, raw = self._to_frame(x), None if x_raw is None else self._to_frame(x_raw)
        if self.config.spade is None:
            raw = frame if self.config.combination.raw_output else None
            frame = _blend(frame, warps)
        previous = warps[1] if len(warps) > 1 else None
        return Synthesis(
            frame=frame,
            raw=raw,
            flow=None if previous is None else previous.flow,
            mask=None if previous is None else previous.mask,
            warped=None if previous is None else previous.frame,
            reference=warps[0],
            chosen=chosen,
        )

    def bind(self, references: References | None) -> GenerateFrame:
        """Return what generates the frames of a clip, with its references encoded once.

        Raises:
            VsNetsError: the clip has no references.
        """
        if references is None:
            raise VsNetsError("a few-shot generator needs references, and the clip has none")
        return functools.partial(self, subject=self.encode_references(references))

    def _called(self, history: History) -> list[nn.Module]:
        """Return the parts that generate a frame with this history once the weights of its subject are there."""
        called = [self.embed_label, *self.up, self.flow_reference]
        parts: list[nn.Module | None] = [self.embed_reference]
        if len(history.frames) >= self.config.frames - 1:
            parts += [self.flow_previous, self.embed_previous]
        return [*called, *(part for part in parts if part is not None)]

    def _weights_for(self, label: Tensor, subject: Subject) -> tuple[Generated, Tensor]:
        """Return the weights for a target, and (N,) which reference is warped and shown to the discriminators."""
        match subject:
            case AttendedSubject():
                features, attention = self.weights.merge(label, subject.features, subject.keys, self.call.encoders)
                return self.weights.finish(features, self.call.encoders), attention.argmax(1)
            case SeparateSubject():
                return _nearest_weights(label, subject)
            case _ as never:
                assert_never(never)

    def warp_references(self, label: Label, references: References) -> Warp:
        """Fetch every reference through the flow to it: (N, C, H, W) and K references -> a warp of N * K samples.

        This trains the flow network alone; a frame needs the warp of its chosen reference only.
        """
        check_references(references, self.label_channels, self.config.stride)
        repeated = dense_label(label).repeat_interleave(references.count, 0)
        labels, frames = references.labels.flatten(0, 1), references.frames.flatten(0, 1)
        return self._warp(self.flow_reference, repeated, [labels], [frames])

    def _warps(self, label: Tensor, history: History, references: References, chosen: Tensor) -> list[Warp]:
        """Fetch the chosen reference and, once there are enough past frames, the previous frame through flows."""
        past = self.config.frames - 1
        labels = [[pick_reference(references.labels, chosen)]]
        frames: list[Sequence[Tensor]] = [[pick_reference(references.frames, chosen)]]
        if len(history.frames) >= past:
            labels.append([dense_label(each) for each in history.labels[-past:]])
            frames.append(history.frames[-past:])
        if self.prepared and self.flow_previous is None:
            return self._warp_at_once(label, [one for (one,) in labels], [one for (one,) in frames])
        networks = (self.flow_reference, self.flow_reference if self.flow_previous is None else self.flow_previous)
        return [self._warp(flow, label, *seen) for flow, *seen in zip(networks, labels, frames, strict=False)]

    def _warp_at_once(self, label: Tensor, labels: Sequence[Tensor], frames: Sequence[Tensor]) -> list[Warp]:
        """Fetch each of several frames through a flow, all of which are estimated by one network as one batch."""
        count = len(frames)
        warp = self._warp(
            self.flow_reference, label.repeat(count, 1, 1, 1), [torch.cat(list(labels))], [torch.cat(list(frames))]
        )
        each = zip(*(x.chunk(count) for x in (warp.flow, warp.mask, warp.frame)), strict=True)
        return [Warp(flow=flow, mask=mask, frame=frame) for flow, mask, frame in each]

    def _warp(self, flow_network: nn.Module, label: Tensor, labels: Sequence[Tensor], frames: Sequence[Tensor]) -> Warp:
        flow, mask = self.call.encoders(flow_network, label, torch.cat(list(labels), 1), torch.cat(list(frames), 1))
        return Warp(flow=flow, mask=mask, frame=vs_ops.warp(frames[-1], flow))

    def _embedders(self) -> tuple[Embedder, ...]:
        """Return what embeds the warped reference and the warped previous frame; nothing where they are blended in."""
        if self.embed_reference is None:
            return ()
        return self.embed_reference, self.embed_reference if self.embed_previous is None else self.embed_previous

    def _embed_warped(self, embedder: Embedder, warp: Warp) -> Maps:
        maps: Maps = self.call.encoders(embedder, torch.cat([warp.frame, warp.mask], dim=1))
        return maps

    def _main_branch(self, generated: Generated, maps: Maps, extra: Sequence[Maps]) -> tuple[Tensor, Tensor | None]:
        """Make features of the frame and, where it is wanted, of the raw one; `extra`: maps of what was warped."""
        spade, x = self.config.spade, generated.start
        combined = 0 if spade is None else spade.levels
        x_raw: Tensor | None = None
        for level in range(self.config.downsamples, -1, -1):
            weights = generated.blocks[level] if level < len(generated.blocks) else NOTHING_GENERATED
            plain = (maps[min(level, len(maps) - 1)],)
            warped = tuple(each[level] for each in extra) if level < combined else ()
            before = x
            x = self._up(level, x, (*plain, *warped), weights)
            if spade is not None and spade.raw_output and level < combined:
                # After the final branch: each call of a spectrally normalised layer advances its buffers.
                x_raw = self._up(level, before if x_raw is None else x_raw, plain, weights)
        return x, x_raw

    def _up(self, level: int, x: Tensor, maps: Maps, generated: GeneratedBlock) -> Tensor:
        y: Tensor = self.call.blocks(self.up[level], x, maps, generated, level < self.config.downsamples)
        return y

    def _to_frame(self, x: Tensor) -> Tensor:
        return torch.tanh(self.last(leaky_relu(x)).float())


def _embed_warped(config: FewShotGeneratorConfig) -> Embedder | None:
    """Build an embedder of a warped frame and its mask; None where warped frames are blended in."""
    if config.spade is None:
        return None
    return Embedder(config.spade.embedder, FRAME_CHANNELS + 1, spectral=config.spectral_norm)


def _blend(frame: Tensor, warps: Sequence[Warp]) -> Tensor:
    """Blend the warped previous frame into what is made up, and then the warped reference, each by its mask.

    The reference has the last word, because it is a real frame: what is taken from the frame before has been warped as
    often as there were frames, and its errors add up.
    """
    for warp in reversed(warps):
        frame = warp.mask * frame + (1 - warp.mask) * warp.frame
    return frame


def _nearest_weights(label: Tensor, subject: SeparateSubject) -> tuple[Generated, Tensor]:
    """Return the weights of the reference that is nearest to each sample's label, and which one it is, (N,)."""
    references = subject.references
    if references.count == 1:
        return subject.generated, torch.zeros(label.shape[0], dtype=torch.int64, device=label.device)
    chosen = nearest_reference(label, references.labels)
    shape = (label.shape[0], references.count)

    def pick(x: Tensor) -> Tensor:
        return pick_reference(x.unflatten(0, shape), chosen)

    return pytree.tree_map_only(Tensor, pick, subject.generated), chosen


def _main_branch(config: FewShotGeneratorConfig) -> MainBranch:
    embedder = config.embedder
    levels = range(config.weights.levels)
    pairs = [(embedder.width(level), embedder.width(level + 1)) for level in levels]
    decodes = embedder.arch != "encoder"
    return MainBranch(
        widths=[config.width(level) for level in range(config.downsamples + 1)],
        map_channels=[embedder.width(level) for level in range(config.downsamples + 1)],
        embedder_shapes=[
            (narrow, wide, embedder.kernel, embedder.kernel)
            if decodes
            else (wide, narrow, embedder.kernel, embedder.kernel)
            for narrow, wide in pairs
        ],
        kernel=config.kernel,
        spade_kernel=config.spade_kernel,
    )
