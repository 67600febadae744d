"""The configuration of a training run, composed from those of the packages."""

from __future__ import annotations

import itertools
from typing import ClassVar, Literal

import torch
import vs_nets as nets
from attrs import field, frozen
from vs_config import Check, ChecksError, check_fields, choice, real, truth, whole
from vs_data import ClipSource, FacesConfig, FloatMaps, FolderConfig, LabelInfo, LoaderConfig, StreetConfig
from vs_optim import (
    AdamConfig,
    ConstantSchedule,
    EmaConfig,
    LinearSchedule,
    PrecisionConfig,
    ScalerConfig,
    StepSchedule,
)
from vs_runtime import AffinityConfig, derive_seed

MOST_STEPS = 10**8 - 1
"""Steps of the longest training: names of checkpoints have eight digits."""

LONGEST_CLIP = 3_000
"""Frames that are held in memory at once; the procedural sequences have no more."""

LARGEST_NORM = 1e30
"""Of a gradient; float32 ends at 3e38, and squares are summed up."""


@frozen(kw_only=True)
class LabelConfig:
    """How class ids become channels."""

    dont_care: bool = truth(False, "give pixels without a class a channel of their own; else all theirs are 0")


@frozen(kw_only=True)
class OptimConfig:
    """Optimizers, learning rates and the average of the generator."""

    generator: AdamConfig = field(factory=AdamConfig, metadata={"help": "Adam of the generator"})
    discriminator: AdamConfig = field(factory=AdamConfig, metadata={"help": "Adam of the discriminators"})
    schedule: ConstantSchedule | StepSchedule | LinearSchedule = field(
        factory=ConstantSchedule, metadata={"help": "factor on both learning rates, by training step (clip)"}
    )
    ema: EmaConfig = field(factory=EmaConfig, metadata={"help": "average of the generator; one update a frame"})
    scaler: ScalerConfig = field(factory=ScalerConfig, metadata={"help": "loss scaling, where float16 asks for it"})
    generator_clip_norm: float | None = real(
        None,
        "longest gradient of the generator, after unscaling; longer ones are shortened to it",
        low=0,
        high=LARGEST_NORM,
        open_low=True,
        optional=True,
    )
    discriminator_clip_norm: float | None = real(
        None,
        "longest gradient of the discriminators, after unscaling",
        low=0,
        high=LARGEST_NORM,
        open_low=True,
        optional=True,
    )


@frozen(kw_only=True)
class MemoryConfig:
    """What is traded for memory or speed without changing a result."""

    checkpoint: Literal["none", "blocks", "all"] = choice(
        "none",
        "recompute activations in the backward pass: of no part, residual blocks, or all encoders too",
        ("none", "blocks", "all"),
    )
    channels_last: bool = truth(True, "memory layout; faster in low precision")
    micro_batches: int = whole(
        1, "equal parts that a batch is computed in one after the other; the gradients are summed up", low=1, high=4096
    )
    search_convolutions: bool = field(
        default=True,
        metadata={"help": "CUDA: try cuDNN's algorithms once for each shape; some seconds and memory at first"},
    )


def _check_initial_length(config: CurriculumConfig) -> None:
    if config.initial_length > config.max_length:
        raise ValueError(f"initial_length is {config.initial_length}: at most max_length, {config.max_length}")


@frozen(kw_only=True)
class CurriculumConfig:
    """Length of the training clips by training step: one frame, then clips that double up to a longest one."""

    flow_steps: int = whole(
        0, "few-shot: steps that train nothing but the flow network, before all others", low=0, high=MOST_STEPS
    )
    single_frame_steps: int = whole(0, "steps on single frames, before those on clips", low=0, high=MOST_STEPS)
    initial_length: int = whole(4, "frames of a clip after that", low=1, high=LONGEST_CLIP)
    double_every: int = whole(1000, "steps between doublings", low=1, high=MOST_STEPS)
    max_length: int = whole(16, "frames of the longest clip", low=1, high=LONGEST_CLIP)

    CHECKS: ClassVar[tuple[Check, ...]] = (Check(("initial_length", "max_length"), _check_initial_length),)

    def __attrs_post_init__(self) -> None:
        check_fields(self)


@frozen(kw_only=True)
class ReferencesConfig:
    """How many examples of its subject each clip comes with; few-shot only. Their times are drawn at random."""

    fewest: int = whole(1, "smallest number of references, drawn per batch", low=1, high=64)
    most: int = whole(1, "largest number of references", low=1, high=64)

    def __attrs_post_init__(self) -> None:
        if self.fewest > self.most:
            raise ValueError(f"fewest is {self.fewest}: at most `most`, {self.most}")


@frozen(kw_only=True)
class RunConfig:
    """How long, what is written when, and what to do when all is lost; nothing here changes what is learned in a step.

    A roll-back does change which clips come after it, see `on_divergence`.
    """

    steps: int = whole(1000, "training steps; one step is one batch of clips", low=1, high=MOST_STEPS)
    sample_every: int = whole(100, "steps between pictures and videos", low=1, high=MOST_STEPS)
    checkpoint_every: int = whole(100, "steps between checkpoints", low=1, high=MOST_STEPS)
    keep_checkpoints: int = whole(2, "newest checkpoints that are kept", low=2, high=10000)
    sample_frames: int = whole(16, "frames of the validation video", low=1, high=LONGEST_CLIP)
    video_fps: int = whole(10, "frames per second of the validation video", low=1, high=240)
    threads: int = whole(0, "CPU threads of the process; 0: one for each core it may use", low=0, high=1024)
    check_data: bool = truth(True, "open every file of a data folder before a new run starts; names always are")
    affinity: AffinityConfig = field(factory=AffinityConfig, metadata={"help": "which cores the process binds to"})
    underflow_every: int = whole(
        20,
        "steps between measurements of underflowing gradients, while losses are scaled; 0: never",
        low=0,
        high=MOST_STEPS,
    )
    on_divergence: Literal["stop", "roll-back"] = choice(
        "stop",
        "stop with a message, or go back to the newest good checkpoint and on from it with other clips",
        ("stop", "roll-back"),
    )
    max_roll_backs: int = whole(3, "roll-backs in the whole run; a further divergence stops it", low=0, high=1000)


def _check_stride(config: TrainConfig) -> None:
    stride, problems = config.generator.stride, []
    for name, size in (("height", config.data.height), ("width", config.data.width)):
        if size % stride:
            lower, upper = size - size % stride, size - size % stride + stride
            near = f"the nearest are {lower} and {upper}" if lower else f"the nearest is {upper}"
            problems.append(
                f"data.{name} is {size}: the generator needs a multiple of {stride} "
                f"(2 to the power of its down-samplings, or an embedder's); {near}"
            )
    if problems:
        raise ChecksError(tuple(problems))


def _check_smallest_size(config: TrainConfig) -> None:
    height, width = config.data.height, config.data.width
    needed = _smallest_size(config)
    if min(height, width) < needed:
        raise ValueError(
            f"data.height and data.width are {height}x{width}: the discriminators and the perceptual network need "
            f"at least {needed} pixels; use fewer scales or layers, or larger frames"
        )


def _check_start(config: TrainConfig) -> None:
    generator, height, width = config.generator, config.data.height, config.data.width
    if isinstance(generator, nets.GeneratorConfig) and isinstance(generator.start, nets.ConstantStart):
        start = generator.start
        bottleneck = (height >> generator.levels, width >> generator.levels)
        if (start.height, start.width) != bottleneck:
            raise ValueError(
                f"generator.start is {start.height}x{start.width}: frames of {height}x{width} "
                f"need {bottleneck[0]}x{bottleneck[1]}"
            )


def _smallest_size(config: TrainConfig) -> int:
    """Pixels that each side must have so that no discriminator or perceptual scale shrinks to nothing."""
    patches = [config.discriminator.image]
    if config.discriminator.temporal is not None:
        patches.append(config.discriminator.temporal.patch)
    # The last 4x4 convolution of stride 1 takes a pixel away and must leave two for an instance norm to mean anything.
    needed = [3 * 2 ** (patch.layers + patch.scales - 1) for patch in patches]
    perceptual = config.objective.perceptual
    if not isinstance(perceptual, nets.NoPerceptual):
        needed.append(16 * 2 ** (perceptual.scales - 1))
    return int(max(needed))


def _check_lengths(config: TrainConfig) -> None:
    if isinstance(config.data, FolderConfig):
        return
    if config.curriculum.max_length > config.data.sequence_length:
        raise ValueError(
            f"curriculum.max_length is {config.curriculum.max_length}: the sequences have "
            f"data.sequence_length = {config.data.sequence_length} frames"
        )


def _check_references(config: TrainConfig) -> None:
    references, generator = config.references, config.generator
    if isinstance(generator, nets.GeneratorConfig):
        if references is not None:
            raise ValueError("references is a table: only generators of kind 'few-shot' take references; remove it")
        if config.curriculum.flow_steps:
            raise ValueError(
                f"curriculum.flow_steps is {config.curriculum.flow_steps}: only the flow network of a generator of "
                "kind 'few-shot' can be trained alone; make it 0"
            )
        return
    if references is None:
        raise ValueError("references is none: generators of kind 'few-shot' need it: fewest = 1, most = 1, for example")
    if generator.weights.attention is not None and references.most == 1:
        raise ValueError(
            "references.most is 1: the attention over references would never be trained; make it 2 or more, or "
            "generator.weights.attention none"
        )


def _check_batch(config: TrainConfig) -> None:
    size, parts = config.loader.batch_size, config.memory.micro_batches
    if size % parts:
        fitting = [n for n in range(1, size + 1) if size % n == 0]
        raise ValueError(
            f"memory.micro_batches is {parts}: loader.batch_size {size} can be computed in equal parts of "
            f"{', '.join(map(str, fitting))}"
        )


@frozen(kw_only=True)
class TrainConfig:
    """Everything that determines a training run."""

    seed: int = whole(0, "seed of weights, data order and augmentation", low=0, high=2**63 - 1)
    device: Literal["auto", "cpu", "cuda"] = choice("auto", "auto: a GPU where there is one", ("auto", "cpu", "cuda"))
    data: StreetConfig | FacesConfig | FolderConfig = field(
        factory=StreetConfig, metadata={"help": "where clips come from"}
    )
    references: ReferencesConfig | None = field(
        default=None, metadata={"help": "examples of the subject: a must for few-shot generators, none for others"}
    )
    loader: LoaderConfig = field(factory=LoaderConfig, metadata={"help": "batches and worker processes"})
    labels: LabelConfig = field(factory=LabelConfig, metadata={"help": "how class ids become channels"})
    generator: nets.GeneratorConfig | nets.FewShotGeneratorConfig = field(
        factory=nets.GeneratorConfig, metadata={"help": "kind and shape of the generator"}
    )
    discriminator: nets.DiscriminatorConfig = field(
        factory=nets.DiscriminatorConfig, metadata={"help": "shape of the discriminators"}
    )
    objective: nets.ObjectiveConfig = field(factory=nets.ObjectiveConfig, metadata={"help": "weights of the losses"})
    optim: OptimConfig = field(factory=OptimConfig, metadata={"help": "optimizers, schedules, average"})
    precision: PrecisionConfig = field(factory=PrecisionConfig, metadata={"help": "O0 or O1"})
    memory: MemoryConfig = field(factory=MemoryConfig, metadata={"help": "memory against time"})
    curriculum: CurriculumConfig = field(factory=CurriculumConfig, metadata={"help": "length of the clips"})
    run: RunConfig = field(factory=RunConfig, metadata={"help": "how long, and what is written when"})

    CHECKS: ClassVar[tuple[Check, ...]] = (
        Check(("data", "generator"), _check_stride),
        Check(("data", "discriminator", "objective"), _check_smallest_size),
        Check(("data", "generator"), _check_start),
        Check(("data", "curriculum"), _check_lengths),
        Check(("generator", "references", "curriculum"), _check_references),
        Check(("loader", "memory"), _check_batch),
    )

    def __attrs_post_init__(self) -> None:
        check_fields(self)


def reference_count(config: ReferencesConfig | None, seed: int, step: int) -> int:
    """Number of references that the clips of training step `step` come with. Pure."""
    if config is None:
        return 0
    generator = torch.Generator().manual_seed(derive_seed(seed, "references", step))
    return int(torch.randint(config.fewest, config.most + 1, (), generator=generator))


def label_spec(config: LabelConfig, source: ClipSource) -> nets.LabelSpec:
    """How the label kinds of a data source enter the networks."""
    return nets.LabelSpec(tuple(_label_kind(config, name, info) for name, info in source.label_kinds.items()))


def _label_kind(config: LabelConfig, name: str, info: LabelInfo) -> nets.LabelKind:
    if isinstance(info, FloatMaps):
        return nets.FloatMap(name=name, channels=info.channels)
    return nets.ClassMap(name=name, classes=info.classes, dont_care=config.dont_care, ignore_id=info.ignore_id)


def images_between(config: CurriculumConfig, start: int, stop: int) -> int:
    """Frames of one clip of each of the steps from `start` to before `stop`, in all; as quick for many as for few."""
    grown = config.flow_steps + config.single_frame_steps
    # The length is constant between these steps: it doubles at most a dozen times.
    doublings = range((config.max_length // config.initial_length).bit_length() + 1)
    edges = (start, stop, grown, *(grown + n * config.double_every for n in doublings))
    inside = sorted({min(max(edge, start), max(start, stop)) for edge in edges})
    return sum((upper - lower) * clip_length(config, lower) for lower, upper in itertools.pairwise(inside))


def clip_length(config: CurriculumConfig, step: int) -> int:
    """Frames of the clips of training step `step` (counted from 0). Pure."""
    step -= config.flow_steps + config.single_frame_steps
    if step < 0:
        return 1
    doublings = step // config.double_every
    return min(config.max_length, config.initial_length << min(doublings, 32))
