"""Networks on which steps are measured: built once, and trained in any level, by any optimizer, with any batch."""

from collections.abc import Callable, Generator, Mapping
from typing import Any

import attrs
import torch
import vs_optim as optim
from vs_config import resolve_config
from vs_data import Clip, ClipSource, load_clips, move, open_source
from vs_runtime.ranks import ONE, Ranks
from vs_training.config import TrainConfig, label_spec
from vs_training.networks import build_recipe, build_state
from vs_training.state import Recipe, TrainState

from vs_bench.step.stepper import next_state, read_batch
from vs_bench.step.subject import PRECISIONS, Level

Optimizers = optim.Pair[torch.optim.Optimizer]

NO_WARM_UP = "curriculum.flow_steps=0"
"""Whole steps are measured, not those that train a flow network alone."""


@attrs.frozen(kw_only=True, eq=False)
class Stage:
    """Networks with their optimizers, what their steps need, and where clips come from."""

    config: TrainConfig
    device: torch.device
    state: TrainState
    recipe: Recipe
    source: ClipSource


def config_of(document: Mapping[str, Any], *overrides: str) -> TrainConfig:
    """Return the configuration of a document of `Scale` with something else in it."""
    return resolve_config(TrainConfig, document, (NO_WARM_UP, *overrides), "bench:tables")


def sized(height: int, width: int) -> tuple[str, str]:
    """Return the overrides that make frames of a size."""
    return f"data.height={height}", f"data.width={width}"


def set_up(config: TrainConfig, device: torch.device, ranks: Ranks = ONE) -> Stage:
    """Build the networks, which several processes may train together."""
    torch.manual_seed(config.seed)
    source = open_source(config.data, "train")
    labels, precision = label_spec(config.labels, source), precision_of("O0", device)
    state, _ = build_state(config, labels, precision, device, ranks=ranks)
    return Stage(
        config=config,
        device=device,
        state=state,
        recipe=build_recipe(config, labels, precision, device, ranks),
        source=source,
    )


def precision_of(level: Level, device: torch.device) -> optim.Precision:
    """Return what a level is on a device."""
    return optim.resolve_precision(PRECISIONS[level], device)


def one_clip(stage: Stage, *, batch: int, frames: int) -> Callable[[], Clip]:
    """Return a call that hands out the same batch of clips again and again, on the device already."""
    clip = move(read_batch(stage.config, stage.source, batch=batch, frames=frames), stage.device)
    return lambda: clip


def loaded_clips(stage: Stage, *, batch: int, frames: int, workers: int) -> Generator[Clip, None, None]:
    """Yield batches of clips as training reads them, on the device; close it, which ends the workers."""
    most = 0 if stage.config.references is None else stage.config.references.max
    loaded = load_clips(
        stage.source,
        attrs.evolve(stage.config.loader, batch_size=batch, workers=workers),
        seed=stage.config.seed,
        length_of=lambda _: frames,
        references_of=(lambda _: most) if most else None,
        pin_memory=stage.device.type == "cuda",
    )
    try:
        for clip in loaded:
            yield move(clip, stage.device)
    finally:
        loaded.close()


def step_of(
    stage: Stage,
    clip_of: Callable[[], Clip],
    *,
    level: Level = "O0",
    optimizers: Optimizers | None = None,
) -> Callable[[], None]:
    """Return one training step as a call without arguments; what it trains are the networks of the stage."""
    precision = precision_of(level, stage.device)
    recipe = attrs.evolve(stage.recipe, precision=precision)
    state = attrs.evolve(
        stage.state,
        scaling=optim.initial_scaling(stage.config.optim.scaler, precision),
        optimizers=optimizers or stage.state.optimizers,
    )

    def run() -> None:
        nonlocal state
        state = next_state(state, clip_of(), recipe, stage.config)

    return run
