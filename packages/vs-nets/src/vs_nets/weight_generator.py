"""The weight generator of few-shot vid2vid (Wang et al., NeurIPS 2019): from references of a subject to weights.

Each reference goes through two encoders, one for its frame and one for its label. At each level their features are
merged into a C x C matrix (`vs_ops.reference_matrix`), and small linear networks turn the rows of that matrix into
weights of the main branch. Features of several references are merged by attention first, with the target's label as the
query.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import ClassVar, Literal, NamedTuple

import attrs
import torch
import vs_ops
from torch import Tensor, nn
from vs_config import Check, Problem, check_fields, real, table, truth, whole

from vs_nets.layers import (
    NORM_EPS,
    CallBlock,
    ConvNormAct,
    GeneratedBlock,
    GeneratedConv,
    Linear,
    call_block,
    leaky_relu,
)
from vs_nets.limits import MAX_HALVINGS, MAX_LAYERS
from vs_nets.spectral import normalised_at_once

LABEL_EPS = 0.1
"""Eps of the instance norms in the label encoder of the weight generator; everywhere else it is 1e-5.

Labels of faces and poses are sparse: most of an edge map is zero, and its features are constant, or nearly so, over a
whole channel. An instance norm divides by sqrt(variance + eps), so that where the variance vanishes gradients grow by
up to 1/sqrt(eps): 316-fold at 1e-5 for each of the norms in a row, which float16 does not hold, but 3.2-fold at 0.1.
The talk "Mixed Precision Training for Video Synthesis" names this one change as what makes the few-shot network train
in mixed precision. It is not stored in the weights: it is part of the configuration.
"""

Shape = tuple[int, int, int, int]
"""Of the weight of a convolution: (C_out, C_in, k, k)."""


@attrs.frozen(kw_only=True)
class AttentionConfig:
    """Merging of several references: attention over all their positions, after `downsamples` convolutions."""

    downsamples: int = whole(2, "stride-2 convolutions before references are merged", low=1, high=MAX_HALVINGS)


def _check_something(config: "WeightGeneratorConfig") -> Iterator[Problem]:
    if not (config.spade or config.embedder or config.convolutions):
        yield Problem("", "nothing is generated: make spade, embedder or convolutions true")


@attrs.frozen(kw_only=True)
class WeightGeneratorConfig:
    """Shape of the weight generator, and the parts whose weights it makes; the defaults are those for faces."""

    levels: int = whole(4, "how many of the last levels get weights", low=1, high=MAX_HALVINGS)
    spade: bool = truth(True, "generate the weights of SPADE's label projections")
    embedder: bool = truth(True, "generate convolutions of the label embedder")
    convolutions: bool = truth(False, "generate the main branch's convolutions too")
    hidden_layers: int = whole(2, "linear layers in front of the last one that makes weights", low=1, high=MAX_LAYERS)
    label_eps: float = real(
        LABEL_EPS,
        "eps of the label encoder's instance norms; 0.1 keeps float16 gradients finite",
        low=0,
        high=1e3,
        open_low=True,
    )
    attention: AttentionConfig | None = table(
        None, "merge several references; none: the one with the nearest label is used"
    )

    CHECKS: ClassVar[tuple[Check, ...]] = (Check(("spade", "embedder", "convolutions"), _check_something),)

    def __attrs_post_init__(self) -> None:
        check_fields(self)


class Generated(NamedTuple):
    """Everything that the main branch takes from the references of each sample."""

    start: Tensor
    """(N, C, H / 2^downsamples, W / 2^downsamples): the frame's deepest features."""
    embedder: tuple[GeneratedConv, ...]
    """Convolutions of the label embedder, by level."""
    blocks: tuple[GeneratedBlock, ...]
    """Weights of the main branch's blocks, by level."""


class ReferenceFeatures(NamedTuple):
    """Features of references where several of them are merged: (B, C, H / 2^a, W / 2^a) each."""

    image: Tensor
    label: Tensor


class ReferenceEncoder(nn.Module):
    """One of the two encoders: a first convolution, stride-2 convolutions, and convolutions back to fewer channels.

    There is no up-sampling: everything behind the last stride-2 convolution has the lowest resolution. It is called in
    two parts, since references may be merged in between, behind the first `merge_at` stride-2 convolutions.
    """

    def __init__(
        self, channels: int, widths: Sequence[int], kernel: int, *, merge_at: int, spectral: bool, eps: float = NORM_EPS
    ) -> None:
        super().__init__()
        self.merge_at = merge_at
        self.first = ConvNormAct(channels, widths[0], kernel, spectral=spectral, eps=eps)
        self.down = nn.ModuleList(
            ConvNormAct(c_in, c_out, kernel, stride=2, spectral=spectral, eps=eps) for c_in, c_out in pairwise(widths)
        )
        self.up = nn.ModuleList(
            ConvNormAct(c_out, c_in, kernel, spectral=spectral, eps=eps) for c_in, c_out in pairwise(widths)
        )

    def forward(self, x: Tensor, part: Literal["begin", "finish"]) -> tuple[Tensor, ...]:
        """Encode (B, C, H, W) -> ("begin") features to merge -> ("finish") those of every level, finest widths first.

        The last of those are the deepest features; all of them have the lowest resolution.
        """
        if part == "begin":
            begin = (self.first, *self.down[: self.merge_at])
            with normalised_at_once(*begin):
                for layer in begin:
                    x = layer(x)
            return (x,)
        deeper = self.down[self.merge_at :]
        with normalised_at_once(*deeper, self.up):
            for down in deeper:
                x = down(x)
            levels = [x]
            for up in reversed(self.up):
                levels.append(up(levels[-1]))
        return tuple(reversed(levels))


class WeightHead(nn.Module):
    """Head of one convolution: (N, R, R) -> its weights, each row of the matrix those of one group of outputs.

    The rows are read in the order weights, bias; what is left over is not used.
    """

    def __init__(self, rows: int, hidden: int, shape: Shape, *, hidden_layers: int, spectral: bool) -> None:
        super().__init__()
        self.shape = shape
        for_each_row = math.ceil((math.prod(shape) + shape[0]) / rows)
        widths = [rows, *[hidden] * hidden_layers, for_each_row]
        self.layers = nn.ModuleList(Linear(c_in, c_out, spectral=spectral) for c_in, c_out in pairwise(widths))

    def forward(self, matrix: Tensor) -> GeneratedConv:
        """Generate weight (N, *shape) and bias (N, shape[0])."""
        x = self.layers[0](matrix)
        for layer in self.layers[1:]:
            x = layer(leaky_relu(x))
        values, count = x.flatten(1), math.prod(self.shape)
        return GeneratedConv(
            weight=values[:, :count].unflatten(1, self.shape), bias=values[:, count : count + self.shape[0]]
        )


class ReferenceAttention(nn.Module):
    """Query and keys of the attention over references: two encoders of labels."""

    def __init__(self, channels: int, widths: Sequence[int], kernel: int, *, spectral: bool) -> None:
        super().__init__()
        self.query = _label_encoder(channels, widths, kernel, spectral)
        self.key = _label_encoder(channels, widths, kernel, spectral)

    def forward(self, label: Tensor, part: Literal["query", "key"]) -> Tensor:
        """Encode labels: (B, C, H, W) -> (B, widths[-1], H / 2^a, W / 2^a)."""
        features: Tensor = (self.query if part == "query" else self.key)(label)
        return features


def _label_encoder(channels: int, widths: Sequence[int], kernel: int, spectral: bool) -> nn.Sequential:
    down = (ConvNormAct(c_in, c_out, kernel, stride=2, spectral=spectral) for c_in, c_out in pairwise(widths))
    return nn.Sequential(ConvNormAct(channels, widths[0], kernel, spectral=spectral), *down)


@attrs.frozen(kw_only=True)
class MainBranch:
    """Shape of the network that weights are made for, as far as the weight generator has to know it.

    Attributes:
        widths: channels of the main branch at each level, finest first.
        map_channels: channels of the label's conditioning map at each level.
        embedder_shapes: shape of the label embedder's convolution at each generated level.
        kernel: kernel size of the main branch's convolutions.
        spade_kernel: kernel size of SPADE's projections; the encoders of references have it too.
    """

    widths: Sequence[int]
    map_channels: Sequence[int]
    embedder_shapes: Sequence[Shape]
    kernel: int
    spade_kernel: int


class Made(NamedTuple):
    """A convolution whose weights are made: their shape, and the level of the matrix that they are made from."""

    shape: Shape
    matrix: int


def _made_at(config: WeightGeneratorConfig, main: MainBranch, level: int) -> dict[str, Made]:
    """Return the convolutions whose weights are made at a level, by name.

    Those of the main branch are made from the matrix of their own level, all else from the next one's.
    """
    narrow, wide = main.widths[level], main.widths[level + 1]
    maps, kernel, k = main.map_channels[level], main.spade_kernel, main.kernel
    made = {}
    if config.embedder:
        made["embedder"] = Made(main.embedder_shapes[level], level + 1)
    if config.spade:
        made["norm_0"] = made["norm_s"] = Made((2 * wide, maps, kernel, kernel), level + 1)
        made["norm_1"] = Made((2 * narrow, maps, kernel, kernel), level + 1)
    if config.convolutions:
        made["conv_0"] = Made((narrow, wide, k, k), level)
        made["conv_1"] = Made((narrow, narrow, k, k), level)
        made["conv_s"] = Made((narrow, wide, 1, 1), level)
    return made


class WeightGenerator(nn.Module):
    """The weight generator: references -> weights of the networks that generate frames of their subject."""

    def __init__(
        self, config: WeightGeneratorConfig, main: MainBranch, channels: tuple[int, int], *, spectral: bool
    ) -> None:
        """Build it for frames and labels of `channels` channels."""
        super().__init__()
        self.config = config
        merge_at = config.attention.downsamples if config.attention is not None else 0
        frame_channels, label_channels = channels
        widths, kernel = main.widths, main.spade_kernel
        self.encode_image = ReferenceEncoder(frame_channels, widths, kernel, merge_at=merge_at, spectral=spectral)
        self.encode_label = ReferenceEncoder(
            label_channels, widths, kernel, merge_at=merge_at, spectral=spectral, eps=config.label_eps
        )
        self.made = [_made_at(config, main, level) for level in range(config.levels)]
        self.heads = nn.ModuleList(self._build_heads(main, level, spectral) for level in range(config.levels))
        self.attention = (
            ReferenceAttention(label_channels, widths[: merge_at + 1], kernel, spectral=spectral) if merge_at else None
        )

    def _build_heads(self, main: MainBranch, level: int, spectral: bool) -> nn.ModuleDict:
        heads = nn.ModuleDict()
        for name, made in self.made[level].items():
            heads[name] = WeightHead(
                main.widths[made.matrix],
                main.widths[level + 1],
                made.shape,
                hidden_layers=self.config.hidden_layers,
                spectral=spectral,
            )
        return heads

    def begin(self, frames: Tensor, labels: Tensor, call: CallBlock = call_block) -> ReferenceFeatures:
        """Encode references (B, 3, H, W) and (B, C, H, W) as far as several of them can be merged."""
        (image,) = call(self.encode_image, frames, "begin")
        (label,) = call(self.encode_label, labels, "begin")
        return ReferenceFeatures(image=image, label=label)

    def finish(self, features: ReferenceFeatures, call: CallBlock = call_block) -> Generated:
        """Make weights of the features of B references, or of B merged ones."""
        images = call(self.encode_image, features.image, "finish")
        labels = call(self.encode_label, features.label, "finish")
        # Of the finest matrix only convolutions are made, and of those beyond the generated levels nothing at all.
        wanted = range(0 if self.config.convolutions else 1, self.config.levels + 1)
        matrices = {level: vs_ops.reference_matrix(images[level], labels[level]) for level in wanted}
        with normalised_at_once(self.heads):
            made = [_generate(heads, convs, matrices) for heads, convs in zip(self.heads, self.made, strict=True)]
        return Generated(
            start=images[-1],
            embedder=tuple(convs.pop("embedder") for convs in made) if self.config.embedder else (),
            blocks=tuple(GeneratedBlock(**convs) for convs in made),
        )

    def keys(self, labels: Tensor, call: CallBlock = call_block) -> Tensor | None:
        """Return the keys of references with labels (B, C, H, W), or None without attention."""
        return None if self.attention is None else call(self.attention, labels, "key")

    def merge(
        self, label: Tensor, features: ReferenceFeatures, keys: Tensor, call: CallBlock = call_block
    ) -> tuple[ReferenceFeatures, Tensor]:
        """Merge references by attention.

        Args:
            label: (N, C, H, W), the target's.
            features: of N * K references.
            keys: (N * K, D, H / 2^a, W / 2^a), of `keys`.
            call: how encoders are called.

        Returns:
            The merged features of N samples, and (N, K): how much of the attention each reference has got.
        """
        n = label.shape[0]
        query: Tensor = call(self.attention, label, "query")
        values = torch.cat(features, dim=1)
        merged, attention = vs_ops.attend(query, keys.unflatten(0, (n, -1)), values.unflatten(0, (n, -1)))
        image, label_features = merged.split([features.image.shape[1], features.label.shape[1]], dim=1)
        return ReferenceFeatures(image=image, label=label_features), attention.sum(dim=(2, 3))


def _generate(heads: nn.Module, convs: Mapping[str, Made], matrices: Mapping[int, Tensor]) -> dict[str, GeneratedConv]:
    return {name: head(matrices[convs[name].matrix]) for name, head in heads.named_children()}


def lay_out(generated: Generated, *, upsamples: bool) -> Generated:
    """Lay out generated weights for many frames; `upsamples`: the embedder's convolutions read what is up-sampled."""
    return Generated(
        start=generated.start.contiguous(memory_format=torch.channels_last),
        embedder=tuple((_with_kernel if upsamples else _channels_last)(conv) for conv in generated.embedder),
        blocks=tuple(
            GeneratedBlock(*(None if conv is None else _channels_last(conv) for conv in block))
            for block in generated.blocks
        ),
    )


def _with_kernel(conv: GeneratedConv) -> GeneratedConv:
    kernels = torch.stack([vs_ops.upsampling_kernel(weight) for weight in conv.weight])
    return conv._replace(upsampling=_samples_channels_last(kernels))


def _channels_last(conv: GeneratedConv) -> GeneratedConv:
    return conv._replace(weight=_samples_channels_last(conv.weight))


def _samples_channels_last(x: Tensor) -> Tensor:
    """Return (N, A, B, k, k) with each sample in channels-last order."""
    return x.permute(0, 1, 3, 4, 2).contiguous().permute(0, 1, 4, 2, 3)
