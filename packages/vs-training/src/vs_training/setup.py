"""From a configuration to everything that training needs, checked, before anything is written or costs GPU time."""

import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeVar

import attrs
import torch
import vs_nets as nets
import vs_optim as optim
import vs_runtime as runtime
from vs_data import (
    Clip,
    ClipRequest,
    ClipSource,
    FolderConfig,
    SequenceInfo,
    SourceConfig,
    VsDataError,
    check_lengths,
    check_roots,
    every_so_often,
    look_at_folder,
    open_source,
)

from vs_training.config import MemoryConfig, ReferencesConfig, TrainConfig, label_spec
from vs_training.curriculum import left_out_at_last, references_inside
from vs_training.errors import VsTrainingError
from vs_training.memory import check_memory
from vs_training.step import Recipe, TrainState

Network = TypeVar("Network", bound=torch.nn.Module)

SHOWN_CHARACTERS = 160
"""Most of what PyTorch says of weights that do not fit: it names every one of them."""


def _ignore(_: str) -> None:
    """Say nothing."""


@attrs.frozen(kw_only=True, eq=False)
class Prepared:
    """A run that is ready to start.

    Attributes:
        source: where training clips come from.
        validation: one unbatched held-out clip, for pictures.
        state: the state before the first step.
        recipe: what a step needs and never changes.
        plan: the cores that the process and its loader workers run on.
        notes: choices that were made, with their reasons, in words.
    """

    config: TrainConfig
    source: ClipSource
    validation: Clip
    state: TrainState
    recipe: Recipe
    plan: runtime.AffinityPlan
    notes: tuple[str, ...]


def prepare(config: TrainConfig, *, check: bool = True, watch: Callable[[str], None] = _ignore) -> Prepared:
    """Check everything that can be wrong with the input and build the state of step 0. Writes nothing.

    Sets the process's seeds, its TF32 switches and the search for convolution algorithms.

    Args:
        config: what to train.
        check: open every file of a folder; names are compared in any case.
        watch: told, in words, how far the looking at files has come.

    Raises:
        VsDataError: the data are missing or bad.
        DeviceError: the device is not there.
        VsTrainingError: clips are longer than the sequences, or these have too few frames for the references.
        ConfigError: the memory is too small for the networks.
        WeightsError: the weights of the perceptual network are missing or are others.
        PrecisionError, AdamError: the precision or the optimizer asked for cannot be had here.
    """
    device = runtime.choose_device(config.device)
    plan = _plan_cores(config, device)
    runtime.seed_everything(config.seed)
    precision = optim.resolve_precision(config.precision, device)
    optim.apply_math_mode(precision)
    runtime.search_convolutions(device, wanted=config.memory.search_convolutions)
    checked = check_data(config.data, watch) if check else ()
    source, validation_source = open_source(config.data, "train"), open_source(config.data, "val")
    short = _check_lengths(config, source)
    labels = label_spec(config.labels, source)
    check_memory(config, labels, device)
    recipe = build_recipe(config, labels, precision, device)
    state, adam_notes = build_state(config, labels, precision, device)
    return Prepared(
        config=config,
        source=source,
        validation=_validation_clip(config, validation_source),
        state=state,
        recipe=recipe,
        plan=plan,
        notes=(*checked, *short, f"device {device}", *_precision_notes(precision, device), *adam_notes, *plan.reasons),
    )


def _precision_notes(precision: optim.Precision, device: torch.device) -> tuple[str, ...]:
    slow = optim.slowness(precision, device)
    return (optim.describe(precision), *(() if slow is None else (slow,)))


def check_data(config: SourceConfig, watch: Callable[[str], None]) -> tuple[str, ...]:
    """Open every file of a folder before any step is made of them; what was found, in words.

    Raises:
        DataError: something is wrong; the first finding, and how many more there are.
    """
    if not isinstance(config, FolderConfig):
        return ()
    notes: list[str] = []
    for split in check_roots(config):
        notes += look_at_folder(config, split, progress=every_so_often(f"looking at the {split} data", watch))
    return tuple(notes)


def build_recipe(
    config: TrainConfig, labels: nets.LabelSpec, precision: optim.Precision, device: torch.device
) -> Recipe:
    """What the steps of a run need and never change, the perceptual network among it.

    Raises:
        WeightsError: the weights of the perceptual network are missing or are others.
    """
    perceptual = nets.build_perceptual(config.objective.perceptual)
    return Recipe(
        labels=labels,
        objective=config.objective,
        perceptual=perceptual if perceptual is None else laid_out(perceptual.to(device), config.memory),
        precision=precision,
        ema=config.optim.ema,
        device=device,
        channels_last=config.memory.channels_last,
        scaler=config.optim.scaler,
        micro_batches=config.memory.micro_batches,
        generator_clip_norm=config.optim.generator_clip_norm,
        discriminator_clip_norm=config.optim.discriminator_clip_norm,
        underflow_every=config.run.underflow_every,
        flow_steps=config.curriculum.flow_steps,
    )


def build_state(
    config: TrainConfig, labels: nets.LabelSpec, precision: optim.Precision, device: torch.device
) -> tuple[TrainState, tuple[str, ...]]:
    """Networks with fresh weights, their optimizers and scalers, and the reasons for the choice of Adam."""
    generator, generator_ema = (laid_out(one.to(device), config.memory) for one in build_generators(config, labels))
    shown = nets.condition_channels(config.generator, labels.channels)
    discriminator = nets.build_discriminator(config.discriminator, label_channels=shown)
    discriminator = laid_out(discriminator.to(device), config.memory)
    generator_ema.load_state_dict(nets.effective_weights(generator))
    generator_optimizer, g_choice = optim.build_adam(generator.parameters(), config.optim.generator)
    discriminator_optimizer, d_choice = optim.build_adam(discriminator.parameters(), config.optim.discriminator)
    state = TrainState(
        generator=generator.train(),
        discriminator=discriminator.train(),
        generator_ema=generator_ema,
        generator_optimizer=generator_optimizer,
        discriminator_optimizer=discriminator_optimizer,
        scaling=optim.initial_pair(config.optim.scaler, precision),
    )
    choices = {"generator": g_choice, "discriminator": d_choice}
    return state, tuple(f"Adam of the {name}: {c.impl} ({c.reason})" for name, c in choices.items())


def laid_out(network: Network, memory: MemoryConfig) -> Network:
    """The network with the weights of its convolutions in the order of memory that its features are to have.

    A convolution answers in the order of its weight, whatever the order of what goes in, and all other layers keep the
    order that they get: so this decides for whole networks. Optimizers and averages take it over, values stay.
    """
    order = torch.channels_last if memory.channels_last else torch.contiguous_format
    return network.to(memory_format=order)  # type: ignore[call-overload,no-any-return] # unknown to PyTorch's stubs


def build_generators(config: TrainConfig, labels: nets.LabelSpec) -> tuple[nets.AnyGenerator, nets.AnyGenerator]:
    """Return a generator with fresh weights, and one that is to hold its average."""
    channels, call = labels.channels, activation_checkpointing(config.memory.checkpoint)
    return (
        nets.build_generator(config.generator, label_channels=channels, checkpointing=call),
        nets.build_ema(config.generator, label_channels=channels),
    )


def activation_checkpointing(policy: Literal["none", "blocks", "all"]) -> nets.ActivationCheckpointing:
    """How the generator calls its parts under a memory policy."""
    if policy == "none":
        return nets.ActivationCheckpointing()
    if policy == "blocks":
        return nets.ActivationCheckpointing(blocks=runtime.checkpointed)
    return nets.ActivationCheckpointing(blocks=runtime.checkpointed, encoders=runtime.checkpointed)


def state_to_save(state: TrainState) -> dict[str, Any]:
    """Everything that a step changes, and the process's random state, as nested plain data and tensors."""
    return {
        "generator": state.generator.state_dict(),
        "discriminator": state.discriminator.state_dict(),
        "average": state.generator_ema.state_dict(),
        "generator_optimizer": optim.adam_state(state.generator_optimizer),
        "discriminator_optimizer": optim.adam_state(state.discriminator_optimizer),
        "scaling": optim.pair_to_dict(state.scaling),
        # The stage of the curriculum and the learning rates are functions of the step; so is the position of the
        # loader, with the number of roll-backs.
        "step": state.step,
        "updates": state.updates,
        "roll_backs": state.roll_backs,
        "random": runtime.random_state(),
    }


def restore_state(state: TrainState, saved: Mapping[str, Any]) -> TrainState:
    """The saved state in the modules and optimizers of `state`; sets the process's random state too.

    Everything is compared with what `state_to_save` would give now before anything is loaded.

    Raises:
        VsTrainingError: something is missing, of another kind, dtype or shape, or is no number.
    """
    try:
        current = _current_format(saved)
        runtime.check_fit(_template(state), current)
        state.generator.load_state_dict(current["generator"])
        state.discriminator.load_state_dict(current["discriminator"])
        state.generator_ema.load_state_dict(current["average"])
        optim.load_adam_state(state.generator_optimizer, current["generator_optimizer"])
        optim.load_adam_state(state.discriminator_optimizer, current["discriminator_optimizer"])
        scaling = optim.pair_from_dict(state.scaling, current["scaling"])
        runtime.restore_random_state(current["random"])
    except (RuntimeError, KeyError, optim.StateError, runtime.StateError) as error:
        first = textwrap.shorten(str(error).strip().splitlines()[-1], SHOWN_CHARACTERS, placeholder=" ...")
        what = f"the checkpoint does not fit the run's config.toml: {first}"
        raise VsTrainingError(f"{what}; put back the file that it was trained with") from error
    counts = {name: current[name] for name in ("step", "updates", "roll_backs")}
    return attrs.evolve(state, scaling=scaling, **counts)


def _current_format(saved: Mapping[str, Any]) -> dict[str, Any]:
    """A saved state as it would be saved now; older ones lack roll-backs, or have a precision state per network."""
    networks = ("generator", "discriminator")
    old = {network: saved.get(f"{network}_scaler") for network in networks}
    current = {key: value for key, value in saved.items() if key not in [f"{network}_scaler" for network in networks]}
    if "scaling" not in saved and all(isinstance(scaler, Mapping) for scaler in old.values()):
        scalers = {network: {"skips_in_row": 0, **scaler} for network, scaler in old.items() if scaler is not None}
        current["scaling"] = {**scalers, "replays_total": 0}
    return {"roll_backs": 0, **current}


def _template(state: TrainState) -> dict[str, Any]:
    """What a saved state of the same networks looks like, whatever was trained and drawn before it was saved."""
    now = state_to_save(state)
    words, counts, _ = now["random"]["python"]
    return {
        **now,
        "generator_optimizer": _adam_template(state.generator_optimizer),
        "discriminator_optimizer": _adam_template(state.discriminator_optimizer),
        "random": {
            **now["random"],
            "python": (words, counts, runtime.Maybe(0.0)),
            "cuda": runtime.Every(torch.zeros(16, dtype=torch.uint8)),  # a GPU's state has 16 bytes
        },
    }


def _adam_template(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Adam's state, in which a parameter that has not been stepped has none."""
    return {
        "params": [
            runtime.Maybe({"step": 0, "exp_avg": average, "exp_avg_sq": average})
            for group in optimizer.param_groups
            for parameter in group["params"]
            for average in [torch.empty_like(parameter, dtype=torch.float32, device="meta")]
        ]
    }


def _plan_cores(config: TrainConfig, device: torch.device) -> runtime.AffinityPlan:
    topology = runtime.read_topology()
    return runtime.plan_affinity(
        topology,
        runtime.allowed_cpus(),
        workers=config.loader.workers,
        gpu_index=runtime.gpu_index_of(topology, device),
        policy=config.run.affinity.policy,
    )


def _check_lengths(config: TrainConfig, source: ClipSource) -> tuple[str, ...]:
    """See that there are sequences for clips and references; what is to be said of those that are too short."""
    try:
        check_lengths(source, config.curriculum.max_length)
    except VsDataError as error:
        raise VsTrainingError(f"curriculum.max_length: {error}") from error
    notes = [left_out_at_last(config.curriculum, source.sequences, config.run.steps)]
    if config.references is not None:
        check_references(config.references, source.sequences)
        notes.append(references_inside(config.references.most, config.curriculum, source.sequences, config.run.steps))
    return tuple(note for note in notes if note is not None)


def check_references(config: ReferencesConfig, sequences: Sequence[SequenceInfo]) -> None:
    """See that references can show something else than the frame that is to be generated from them.

    Raises:
        VsTrainingError: a sequence has a single frame, or all of them have too few for the most references.
    """
    longest = max(sequences, key=lambda info: info.frames)
    for info in sequences:
        if info.frames == 1:
            raise VsTrainingError(
                f"references: sequence '{info.name}' has 1 frame, which would be its own reference; add frames to it "
                "or remove it"
            )
    if config.most >= longest.frames:
        raise VsTrainingError(
            f"references.most: is {config.most}, but the longest sequence, '{longest.name}', has {longest.frames} "
            f"frames, one of which is generated: at most {longest.frames - 1}"
        )


def _validation_clip(config: TrainConfig, source: ClipSource) -> Clip:
    longest = max(range(len(source.sequences)), key=lambda i: (source.sequences[i].frames, -i))
    frames = source.sequences[longest].frames
    length = min(config.run.sample_frames, frames)
    count = 0 if config.references is None else config.references.fewest
    # From the far end on: the first frames of the clip are not the references themselves.
    references = tuple(frames - 1 - k * frames // count for k in range(count))
    return source.read(ClipRequest(sequence=longest, start=0, length=length, seed=0, references=references))
