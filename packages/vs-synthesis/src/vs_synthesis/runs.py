"""Runs as models: the newest checkpoint that is intact, of the configuration that it was trained with."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from torch import Tensor
from vs_runtime import (
    BEST,
    DamagedCheckpoint,
    LoadedCheckpoint,
    NoCheckpoint,
    checkpoints_by_step,
    find_best,
    load_checkpoint,
    load_latest,
)
from vs_runtime.run_directory import RunDirectory, open_run, read_run_config
from vs_training.config import TrainConfig
from vs_training.fixed import FIXED, first_difference
from vs_training.saved import EMA, current_format

from vs_synthesis.config import model_config
from vs_synthesis.contents import ModelContents, TrainingWeights
from vs_synthesis.errors import ModelError
from vs_synthesis.provenance import provenance_of
from vs_synthesis.settings import settings_of

Which = int | Literal["best"] | None
"""Which checkpoint of a run: that of a training step, the one kept as the best, or the newest one that is intact."""


def read_run(path: Path, *, checkpoint: Which = None, training: bool = True) -> ModelContents:
    """Read what a run has trained.

    Args:
        path: the run's directory.
        checkpoint: which.
        training: also take what training goes on from.

    Raises:
        ModelError: there is no such checkpoint, or none is intact, or it is not one of the run's configuration.
        RunDirectoryError: the directory is no run.
        ConfigError: its config.toml is damaged.
    """
    run = open_run(path)
    config = read_run_config(run, TrainConfig)
    loaded = read_checkpoint(run, checkpoint)
    require_same(run, loaded, config)
    state = saved_state(loaded)
    return ModelContents(
        path=path,
        config=model_config(config),
        generator=_network(loaded, state, EMA),
        training=_training(loaded, state) if training else None,
        provenance=provenance_of(run, config, loaded.step, state),
        settings=settings_of(config),
        checkpoint=loaded.path,
        notices=damaged_notices(loaded, f"step {loaded.step}"),
    )


def which_checkpoint(path: Path) -> tuple[Path, Which]:
    """Return the run that a path is of, and which checkpoint: it may be that of one, `RUN/checkpoints/best`."""
    run = RunDirectory(path.parent.parent)
    if path.parent == run.checkpoints and run.environment.is_file():
        if path.name == BEST:
            return run.path, "best"
        for step, there in checkpoints_by_step(run.checkpoints).items():
            if there == path:
                return run.path, step
    return path, None


def read_checkpoint(run: RunDirectory, which: Which) -> LoadedCheckpoint:
    """Read a checkpoint; of the newest that is intact, `skipped` names newer, damaged ones.

    Raises:
        ModelError: there is no checkpoint, none is intact, not the one asked for, or that one is damaged.
    """
    if which is None:
        try:
            return load_latest(run.checkpoints)
        except NoCheckpoint as error:
            why = "; ".join(f"{path.name}: {reason}" for path, reason in error.skipped) or "nothing has been saved yet"
            raise ModelError(run.path, f"has no checkpoint that can be read: {why}") from None
    path = _find(run, which)
    try:
        return load_checkpoint(path)
    except DamagedCheckpoint as error:
        raise ModelError(
            path, f"is damaged: {error.reason}; leave --checkpoint out to use the newest intact one"
        ) from None


def _find(run: RunDirectory, which: int | Literal["best"]) -> Path:
    there = checkpoints_by_step(run.checkpoints)
    path = find_best(run.checkpoints) if which == "best" else there.get(which)
    if path is None:
        known = ", ".join(map(str, there)) or "none"
        missing = "none is kept as the best (run.keep_best)" if which == "best" else f"there is none of step {which}"
        raise ModelError(run.path, f"--checkpoint: {missing}; there are: {known}")
    return path


def saved_state(checkpoint: LoadedCheckpoint) -> Mapping[str, Any]:
    """Return what a checkpoint holds, as it would be saved now.

    Raises:
        ModelError: that is not the state of a training.
    """
    match checkpoint.state:
        case Mapping() as saved:
            return current_format(saved)
        case _:
            raise ModelError(checkpoint.path, "holds no state of a training")


def require_same(run: RunDirectory, checkpoint: LoadedCheckpoint, config: TrainConfig) -> None:
    """See that a run's configuration is the one that its checkpoint was trained with.

    Raises:
        ModelError: config.toml was damaged or edited, or the checkpoint is of another run.
    """
    match saved_state(checkpoint).get(FIXED, {}):
        case Mapping() as saved:
            difference = first_difference(saved, config)
        case _:
            difference = "it is damaged"
    if difference is not None:
        raise ModelError(run.config, f"{difference}, says {checkpoint.path.name}; put back what belongs to the run")


def damaged_notices(checkpoint: LoadedCheckpoint, instead: str) -> tuple[str, ...]:
    """Say which newer checkpoints were passed over, and what is used instead of them."""
    return tuple(f"{path.name} is damaged ({why}); {instead} is used instead" for path, why in checkpoint.skipped)


def _training(checkpoint: LoadedCheckpoint, state: Mapping[str, Any]) -> TrainingWeights:
    return TrainingWeights(
        generator=_network(checkpoint, state, "generator"), discriminator=_network(checkpoint, state, "discriminator")
    )


def _network(checkpoint: LoadedCheckpoint, state: Mapping[str, Any], name: str) -> Mapping[str, Tensor]:
    """Return the weights of one network by the name that it has in a saved state; their shapes are not looked at."""
    match state.get(name):
        case Mapping() as weights if all(isinstance(tensor, Tensor) for tensor in weights.values()):
            return weights
        case _:
            raise ModelError(checkpoint.path, f"holds no {name} network")
