"""The configuration of a training run, composed from those of the packages."""

from collections.abc import Iterator, Mapping
from typing import ClassVar, Literal, assert_never, get_args

import attrs
import torch
import vs_nets as nets
from vs_config import (
    Check,
    Problem,
    Range,
    check_fields,
    choice,
    choices,
    numbers,
    path,
    real,
    table,
    truth,
    whole,
)
from vs_data import (
    ClassIds,
    ClipSource,
    DancersConfig,
    FacesConfig,
    FloatMaps,
    FolderConfig,
    LabelInfo,
    LoaderConfig,
    NoFlowConfig,
    ShardsConfig,
    StoredConfig,
    StreetConfig,
    VideoConfig,
)
from vs_data.labels import know_boxes
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

from vs_training.curriculum import LONGEST_CLIP, MAX_STEPS, CurriculumConfig

MAX_NORM = 1e30
"""Of a gradient; float32 ends at 3e38, and squares are summed up."""


@attrs.frozen(kw_only=True)
class LabelConfig:
    """The way class ids become channels."""

    dont_care: bool = truth(False, "give pixels without a class a channel of their own; else all theirs are 0")


@attrs.frozen(kw_only=True)
class InitConfig:
    """The weights that networks begin with in place of fresh ones: a trained model's. A run reads them once."""

    from_: str | None = path(
        None, "a model directory or a run, whose weights are taken as far as they fit", optional=True
    )
    parts: Literal["all", "generator", "discriminator"] = choice(
        "all", "which networks take them", ("all", "generator", "discriminator")
    )
    strict: bool = truth(False, "refuse a model of which anything does not fit as a whole")


@attrs.frozen(kw_only=True)
class OptimConfig:
    """Optimizers, learning rates and the EMA of the generator."""

    generator: AdamConfig = table(AdamConfig, "Adam of the generator")
    discriminator: AdamConfig = table(AdamConfig, "Adam of the discriminators")
    schedule: ConstantSchedule | StepSchedule | LinearSchedule = table(
        ConstantSchedule, "factor on both learning rates, by training step (clip)"
    )
    ema: EmaConfig = table(EmaConfig, "exponential moving average of the generator's weights; one update a frame")
    scaler: ScalerConfig = table(ScalerConfig, "loss scaling, where float16 asks for it")
    generator_clip_norm: float | None = real(
        None,
        "longest gradient of the generator, after unscaling; longer ones are shortened to it",
        low=0,
        high=MAX_NORM,
        open_low=True,
        optional=True,
    )
    discriminator_clip_norm: float | None = real(
        None,
        "longest gradient of the discriminators, after unscaling",
        low=0,
        high=MAX_NORM,
        open_low=True,
        optional=True,
    )


@attrs.frozen(kw_only=True)
class MemoryConfig:
    """Trades for memory or speed that change no result."""

    checkpoint: Literal["none", "blocks", "all"] = choice(
        "none",
        "recompute activations in the backward pass: of no part, residual blocks, or all encoders too",
        ("none", "blocks", "all"),
    )
    channels_last: bool = truth(True, "memory layout; faster in low precision")
    micro_batches: int = whole(
        1,
        "equal parts that a batch is computed in one after the other; several processes share them",
        low=1,
        high=4096,
    )
    search_convolutions: bool = truth(
        True, "CUDA: try cuDNN's algorithms once for each shape; some seconds and memory at first"
    )


@attrs.frozen(kw_only=True)
class PerformanceConfig:
    """Ways to be faster that change no result beyond rounding."""

    keep_memory: bool = truth(
        True, "CPU: keep freed memory for the next step, where the C library is glibc; the system's is slow when fresh"
    )
    give_way: bool = truth(
        True, "CPU: let threads that wait for each other sleep while other processes are at work; no bit depends on it"
    )
    graphs: Literal["auto", "on", "off"] = choice(
        "off",
        "CUDA: launch a frame's update as a whole, by CUDA graphs; auto: where that can be done; no GPU has tried it",
        ("auto", "on", "off"),
    )
    compile: bool = truth(
        False, "compile the blocks of the generator: minutes when a run begins; measure first whether steps get faster"
    )


@attrs.frozen(kw_only=True)
class DistributedConfig:
    """Several processes that share each batch, started by torchrun; one by itself has no use for it."""

    reduce: Literal["fast", "ordered"] = choice(
        "fast",
        "how gradients are added up: while the backward pass goes on, or in the order of the parts of a batch "
        "(memory.micro_batches), which gives the same bits for any number of processes",
        ("fast", "ordered"),
    )
    bucket_mb: int = whole(25, "gradients that are sent at once, about", low=1, high=4096, unit="MiB")
    check_every: int = whole(
        500, "steps between comparisons of all that the processes have learnt; 0: never", low=0, high=MAX_STEPS
    )
    shard_optimizer: bool = truth(
        False, "each process has Adam's averages and the EMA of its share of the parameters alone; changes no result"
    )
    timeout: int = whole(600, "how long a process waits for another one", low=1, high=86400, unit="seconds")


def _check_counts(config: "ReferencesConfig") -> Iterator[Problem]:
    if config.min > config.max:
        yield Problem("min", expected=f"at most `max`, {config.max}", got=config.min)


@attrs.frozen(kw_only=True)
class ReferencesConfig:
    """The examples of its subject that each clip comes with; few-shot only. Their times are drawn at random."""

    min: int = whole(1, "smallest number of references, drawn per batch", low=1, high=64)
    max: int = whole(1, "largest number of references", low=1, high=64)

    CHECKS: ClassVar[tuple[Check, ...]] = (Check(("min", "max"), _check_counts),)

    def __attrs_post_init__(self) -> None:
        check_fields(self)


BestBy = Literal["none", "psnr", "ssim", "warping", "epe", "head_psnr", "head_ssim", "reference_epe", "colour"]
"""Measures of a validation that can say which checkpoint is the best, see `vs_training.quality.measures`."""

Tracker = Literal["wandb", "mlflow", "aim"]
"""A program that shows runs, beside TensorBoard."""


def _check_best(config: "RunConfig") -> Iterator[Problem]:
    if config.keep_best != "none" and not config.validate_every:
        hint = "nothing is measured without validations"
        yield Problem("validate_every", hint, expected="1 or more, with keep_best", got=0)
    if config.patience and config.keep_best == "none":
        hint = "psnr, for example: it says what has to get better"
        yield Problem("keep_best", hint, expected="a measure, with patience", got="none")


def _check_profile(config: "RunConfig") -> Iterator[Problem]:
    match config.profile_steps:
        case ():
            pass
        case (int(first), int(last)) if first <= last <= config.steps:
            pass
        case _:
            expected = f"[], or the first step and the last one, in rising order and at most run.steps, {config.steps}"
            yield Problem("profile_steps", "such as [100, 105]", expected=expected, got=config.profile_steps)


@attrs.frozen(kw_only=True)
class RunConfig:
    """The length of a run, what is written when, what to do when all is lost; nothing here changes what a step learns.

    A roll-back does change which clips come after it, see `on_divergence`.
    """

    steps: int = whole(1000, "training steps; one step is one batch of clips", low=1, high=MAX_STEPS)
    sample_every: int = whole(100, "steps between pictures and videos", low=1, high=MAX_STEPS)
    checkpoint_every: int = whole(100, "steps between checkpoints", low=1, high=MAX_STEPS)
    keep_checkpoints: int = whole(2, "newest checkpoints that are kept", low=2, high=10000)
    sample_frames: int = whole(16, "length of the validation video", low=1, high=LONGEST_CLIP, unit="frames")
    validate_every: int = whole(
        0, "steps between validations: held-out clips rolled out and scored; 0: never", low=0, high=MAX_STEPS
    )
    validate_clips: int = whole(2, "held-out sequences of a validation, the first ones", low=1, high=10000)
    validate_frames: int = whole(16, "frames of each, from its beginning on", low=2, high=10**6, unit="frames")
    keep_best: BestBy = choice(
        "none", "the measure of validations by which the best checkpoint is kept apart", get_args(BestBy)
    )
    patience: int = whole(0, "validations without a better one that end a run; 0: none do", low=0, high=MAX_STEPS)
    trackers: tuple[Tracker, ...] = choices(
        (), "programs that are told of the run beside TensorBoard: wandb, mlflow, aim", get_args(Tracker)
    )
    profile_steps: tuple[int, ...] = numbers(
        (), "first and last of the steps that a profile is written of", Range(kind=int, low=1, high=MAX_STEPS)
    )
    video_fps: int = whole(10, "rate of the validation video", low=1, high=240, unit="frames per second")
    threads: int = whole(0, "CPU threads of the process; 0: one for each core it may use", low=0, high=1024)
    check_data: bool = truth(True, "open every file of a data folder before a new run starts; names always are")
    affinity: AffinityConfig = table(AffinityConfig, "which cores the process binds to")
    underflow_every: int = whole(
        20,
        "steps between measurements of underflowing gradients, while losses are scaled; 0: never",
        low=0,
        high=MAX_STEPS,
    )
    on_divergence: Literal["stop", "roll-back"] = choice(
        "stop",
        "stop with a message, or go back to the newest good checkpoint and on from it with other clips",
        ("stop", "roll-back"),
    )
    max_roll_backs: int = whole(3, "roll-backs in the whole run; a further divergence stops it", low=0, high=1000)

    CHECKS: ClassVar[tuple[Check, ...]] = (
        Check(("validate_every", "keep_best", "patience"), _check_best),
        Check(("profile_steps", "steps"), _check_profile),
    )

    def __attrs_post_init__(self) -> None:
        check_fields(self)


def _check_stride(config: "TrainConfig") -> Iterator[Problem]:
    stride = config.generator.stride
    for name, size in _sides(config):
        if size % stride:
            lower, upper = size - size % stride, size - size % stride + stride
            near = f"the nearest are {lower} and {upper}" if lower else f"the nearest is {upper}"
            expected = f"a multiple of {stride} (2 to the power of the generator's down-samplings, or an embedder's)"
            yield Problem(f"data.{name}", near, expected=expected, got=size)


def _sides(config: "TrainConfig") -> tuple[tuple[str, int], ...]:
    return ("height", config.data.height), ("width", config.data.width)


def _check_smallest_size(config: "TrainConfig") -> Iterator[Problem]:
    needed = _smallest_size(config)
    for name, size in _sides(config):
        if size < needed:
            expected = f"at least {needed}, which the discriminators and the perceptual network need"
            yield Problem(f"data.{name}", "or use fewer of their scales or layers", expected=expected, got=size)


def _smallest_size(config: "TrainConfig") -> int:
    """Return how many pixels each side must have so that no discriminator or perceptual scale shrinks to nothing."""
    patches = [config.discriminator.image]
    if config.discriminator.temporal is not None:
        patches.append(config.discriminator.temporal.patch)
    needed = [nets.smallest_side(patch) for patch in patches]
    match config.objective.perceptual:
        case nets.NoPerceptual():
            pass
        case nets.FilePerceptual(scales=scales) | nets.RandomPerceptual(scales=scales):
            needed.append(16 * 2 ** (scales - 1))
        case _ as never:
            assert_never(never)
    return int(max(needed))


def _check_start(config: "TrainConfig") -> Iterator[Problem]:
    match config.generator:
        case nets.GeneratorConfig(start=nets.ConstantStart() as start, levels=levels):
            for (name, size), got in zip(_sides(config), (start.height, start.width), strict=True):
                if got != size >> levels:
                    expected = f"{size >> levels}, data.{name} halved as often as generator.levels says"
                    yield Problem(f"generator.start.{name}", expected=expected, got=got)


def _check_lengths(config: "TrainConfig") -> Iterator[Problem]:
    match config.data:
        case StoredConfig():
            pass  # its sequences are looked at before a run begins
        case (
            StreetConfig(sequence_length=frames)
            | FacesConfig(sequence_length=frames)
            | DancersConfig(sequence_length=frames)
        ):
            alone = config.curriculum.flow_length if config.curriculum.flow_steps else 0
            for name, length in (("flow_length", alone), ("max_length", config.curriculum.max_length)):
                if length > frames:
                    expected = f"at most data.sequence_length, {frames}"
                    yield Problem(f"curriculum.{name}", expected=expected, got=length)
        case _ as never:
            assert_never(never)


def _check_references(config: "TrainConfig") -> Iterator[Problem]:
    match config.generator:
        case nets.GeneratorConfig():
            yield from _check_without_references(config)
        case nets.FewShotGeneratorConfig() as generator:
            yield from _check_with_references(config.references, generator)
        case _ as never:
            assert_never(never)


def _check_without_references(config: "TrainConfig") -> Iterator[Problem]:
    if config.references is not None:
        hint = "only generators of kind 'few-shot' take references; remove it"
        yield Problem("references", hint, expected="'none'", got=config.references)


def _check_flow_alone(config: "TrainConfig") -> Iterator[Problem]:
    steps, length = config.curriculum.flow_steps, config.curriculum.flow_length
    match config.generator:
        case nets.GeneratorConfig(flow=nets.GivenFlow()) if steps:
            hint = "flow is given: there is no flow network that could be trained"
            yield Problem("curriculum.flow_steps", hint, expected="0", got=steps)
        case nets.GeneratorConfig(frames=frames) if steps and length < frames:
            hint = f"the flow network looks at {frames - 1} frames before the one that it learns of"
            yield Problem("curriculum.flow_length", hint, expected=f"at least generator.frames, {frames}", got=length)


def _check_with_references(
    references: ReferencesConfig | None, generator: nets.FewShotGeneratorConfig
) -> Iterator[Problem]:
    if references is None:
        expected = "a table, which generators of kind 'few-shot' need"
        yield Problem("references", "min = 1 and max = 1, for example", expected=expected, got=None)
    elif generator.weights.attention is not None and references.max == 1:
        hint = "the attention over references would never be trained; or make generator.weights.attention 'none'"
        yield Problem("references.max", hint, expected="2 or more", got=1)


def _check_regions(config: "TrainConfig") -> Iterator[Problem]:
    match config.data:
        case StoredConfig(labels=labels) if not know_boxes(labels):
            hint = "data.labels hold no keypoints: add a kind 'keypoints'"
        case StreetConfig() | FacesConfig():
            hint = "nobody knows where they are in this world"
        case _:
            return
    for index, region in enumerate(config.discriminator.regions):
        yield Problem(f"discriminator.regions[{index}]", f"a {region.region} is found by keypoints, {hint}")


def _check_given_flow(config: "TrainConfig") -> Iterator[Problem]:
    match config.generator, config.data:
        case nets.GeneratorConfig(flow=nets.GivenFlow()), StoredConfig(flow=NoFlowConfig()):
            hint = "data.flow.kind=files reads the motion that a simulator has written"
            yield Problem("data.flow.kind", hint, expected="a teacher, with generator.flow.kind = 'given'", got="none")


def _check_batch(config: "TrainConfig") -> Iterator[Problem]:
    size, parts = config.loader.batch_size, config.memory.micro_batches
    if size != "auto" and size % parts:
        fitting = ", ".join(str(n) for n in range(1, size + 1) if size % n == 0)
        expected = f"a number of equal parts of loader.batch_size, {size} ({fitting})"
        yield Problem("memory.micro_batches", expected=expected, got=parts)


def _check_past(config: "TrainConfig") -> Iterator[Problem]:
    if config.curriculum.past_frames == "average" and config.distributed.shard_optimizer:
        hint = "no process has the whole average, with distributed.shard_optimizer"
        yield Problem("curriculum.past_frames", hint, expected="'generator'", got="average")


@attrs.frozen(kw_only=True)
class TrainConfig:
    """Everything that determines a training run."""

    seed: int = whole(0, "seed of weights, data order and augmentation", low=0, high=2**63 - 1)
    device: Literal["auto", "cpu", "cuda"] = choice("auto", "auto: a GPU where there is one", ("auto", "cpu", "cuda"))
    data: StreetConfig | FacesConfig | DancersConfig | FolderConfig | VideoConfig | ShardsConfig = table(
        StreetConfig, "where clips come from"
    )
    references: ReferencesConfig | None = table(
        None, "examples of the subject: a must for few-shot generators, none for others"
    )
    loader: LoaderConfig = table(LoaderConfig, "batches and worker processes")
    labels: LabelConfig = table(LabelConfig, "how class ids become channels")
    generator: nets.GeneratorConfig | nets.FewShotGeneratorConfig = table(
        nets.GeneratorConfig, "kind and shape of the generator"
    )
    discriminator: nets.DiscriminatorConfig = table(nets.DiscriminatorConfig, "shape of the discriminators")
    objective: nets.ObjectiveConfig = table(nets.ObjectiveConfig, "weights of the losses")
    init: InitConfig = table(InitConfig, "the model that training goes on from, if there is one")
    optim: OptimConfig = table(OptimConfig, "optimizers, schedules, EMA")
    precision: PrecisionConfig = table(PrecisionConfig, "O0 or O1")
    memory: MemoryConfig = table(MemoryConfig, "memory against time")
    performance: PerformanceConfig = table(PerformanceConfig, "what makes it faster, and changes no result")
    distributed: DistributedConfig = table(DistributedConfig, "several processes")
    curriculum: CurriculumConfig = table(CurriculumConfig, "length of the clips")
    run: RunConfig = table(RunConfig, "how long, and what is written when")

    RENAMED: ClassVar[Mapping[str, str]] = {"references.fewest": "min", "references.most": "max"}
    CHECKS: ClassVar[tuple[Check, ...]] = (
        Check(("data", "generator"), _check_stride),
        Check(("data", "discriminator", "objective"), _check_smallest_size),
        Check(("data", "generator"), _check_start),
        Check(("data", "curriculum"), _check_lengths),
        Check(("generator", "references"), _check_references),
        Check(("generator", "curriculum"), _check_flow_alone),
        Check(("data", "discriminator"), _check_regions),
        Check(("loader", "memory"), _check_batch),
        Check(("generator", "data"), _check_given_flow),
        Check(("curriculum", "distributed"), _check_past),
    )

    def __attrs_post_init__(self) -> None:
        check_fields(self)


def reference_count(config: ReferencesConfig | None, seed: int, step: int) -> int:
    """Return how many references the clips of training step `step` come with. Pure."""
    if config is None:
        return 0
    generator = torch.Generator().manual_seed(derive_seed(seed, "references", step))
    return int(torch.randint(config.min, config.max + 1, (), generator=generator))


def label_spec(config: LabelConfig, source: ClipSource) -> nets.LabelSpec:
    """Return how the label kinds of a data source enter the networks."""
    return spec_of_kinds(config, source.label_kinds)


def spec_of_kinds(config: LabelConfig, kinds: Mapping[str, LabelInfo]) -> nets.LabelSpec:
    """Return how kinds of labels enter the networks, in their order; `kinds`: what each is, by its name in clips."""
    return nets.LabelSpec(tuple(_label_kind(config, name, info) for name, info in kinds.items()))


def _label_kind(config: LabelConfig, name: str, info: LabelInfo) -> nets.LabelKind:
    match info:
        case ClassIds():
            return nets.ClassMap(name=name, classes=info.classes, dont_care=config.dont_care, ignore_id=info.ignore_id)
        case FloatMaps():
            return nets.FloatMap(name=name, channels=info.channels, title=info.title, pictures=info.pictures)
        case _ as never:
            assert_never(never)
