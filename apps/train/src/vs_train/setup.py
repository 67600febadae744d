"""From a configuration to everything that training needs, checked, before anything is written or costs GPU time."""

from collections.abc import Callable

import attrs
import torch
import vs_optim as optim
import vs_runtime as runtime
from vs_data import Clip, ClipSource, open_source
from vs_runtime.ranks import ONE, Ranks
from vs_training.checks import check_data, check_sequences, check_trust
from vs_training.config import TrainConfig, label_spec
from vs_training.graphs import settle_graphs
from vs_training.init import InitReport
from vs_training.memory import check_memory
from vs_training.networks import build_recipe, build_state
from vs_training.state import Recipe, TrainState
from vs_training.validation import read_validation_clip


def _ignore(_: str) -> None:
    """Say nothing."""


@attrs.frozen(kw_only=True, eq=False)
class Prepared:
    """A run that is ready to start.

    Attributes:
        source: where training clips come from.
        held_out: where held-out clips come from.
        validation: one unbatched held-out clip, for pictures.
        state: the state before the first step.
        recipe: what a step needs and never changes.
        plan: the cores that the process and its loader workers run on.
        notes: choices that were made, with their reasons, in words.
        begun: what the state has taken from a trained model; None: it has fresh weights.
    """

    config: TrainConfig
    source: ClipSource
    held_out: ClipSource
    validation: Clip
    state: TrainState
    recipe: Recipe
    plan: runtime.AffinityPlan
    notes: tuple[str, ...]
    begun: InitReport | None = None


def prepare(
    config: TrainConfig, *, check: bool = True, watch: Callable[[str], None] = _ignore, ranks: Ranks = ONE
) -> Prepared:
    """Check everything that can be wrong with the input and build a state of step 0 with fresh weights. Writes nothing.

    Sets the process's seeds, its TF32 switches and the search for convolution algorithms.

    Args:
        config: what to train.
        check: open every file of a folder; names are compared in any case.
        watch: told, in words, how far the looking at files has come.
        ranks: the processes that share each batch.

    Raises:
        VsDataError: the data are missing or bad.
        DeviceError: the device is not there.
        VsTrainingError: clips are longer than the sequences, or these have too few frames for the references.
        ConfigError: the memory is too small for the networks, or CUDA graphs are asked for where there are none.
        WeightsError: the weights of the perceptual network are missing or are others.
        PrecisionError, AdamError: the precision or the optimizer asked for cannot be had here.
    """
    device = runtime.choose_device(config.device)
    plan = _plan_cores(config, device, ranks)
    runtime.seed_everything(config.seed)
    precision = optim.resolve_precision(config.precision, device)
    optim.apply_math_mode(precision)
    runtime.search_convolutions(device, wanted=config.memory.search_convolutions)
    checked = check_data(config.data, watch) if check else ()
    source, held_out = open_source(config.data, "train"), open_source(config.data, "val")
    short = check_sequences(config, source)
    labels = label_spec(config.labels, source)
    check_memory(config, labels, device, ranks)
    references = 0 if config.references is None else config.references.min
    recipe = build_recipe(config, labels, precision, device, ranks)
    graphs = settle_graphs(config, device, ranks)
    state, adam_notes = build_state(config, labels, precision, device, capturable=graphs, ranks=ranks)
    notes = (*adam_notes, *(["frames are updated by CUDA graphs"] if graphs else []))
    return Prepared(
        config=config,
        source=source,
        held_out=held_out,
        validation=read_validation_clip(held_out, frames=config.run.sample_frames, references=references),
        state=state,
        recipe=recipe,
        plan=plan,
        notes=(
            *checked,
            *check_trust(config, source),
            *short,
            f"device {device}",
            *_precision_notes(precision, device),
            *notes,
            *plan.reasons,
        ),
    )


def _precision_notes(precision: optim.Precision, device: torch.device) -> tuple[str, ...]:
    slow = optim.slowness(precision, device)
    return (optim.describe(precision), *(() if slow is None else (slow,)))


def _plan_cores(config: TrainConfig, device: torch.device, ranks: Ranks) -> runtime.AffinityPlan:
    topology = runtime.read_topology()
    return runtime.plan_affinity(
        topology,
        runtime.allowed_cpus(),
        process_index=ranks.local_rank,
        processes_on_node=ranks.local_count,
        workers=config.loader.workers,
        gpu_index=runtime.gpu_index_of(topology, device),
        policy=config.run.affinity.policy,
    )
