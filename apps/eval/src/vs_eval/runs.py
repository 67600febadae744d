"""From a run directory to a generator that can be evaluated."""

import json
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn
from vs_nets import FewShotGenerator, Generator
from vs_runtime import (
    DamagedCheckpoint,
    LoadedCheckpoint,
    NoCheckpoint,
    StateError,
    check_fit,
    list_checkpoints,
    load_checkpoint,
    load_latest,
)
from vs_runtime.run_directory import FIXED, RunDirectory, read_environment
from vs_training.config import TrainConfig
from vs_training.fixed import first_difference

from vs_eval.errors import OptionError, RunError

AnyGenerator = TypeVar("AnyGenerator", Generator, FewShotGenerator)

SHOWN = 160
"""Most characters of what is said of weights that do not fit."""


def read_checkpoint(run: RunDirectory, step: int | None) -> LoadedCheckpoint:
    """The checkpoint of a step, or without one the newest that is intact (its `skipped` names newer, damaged ones).

    Raises:
        RunError: there is no checkpoint, none is intact, or the one that was asked for is damaged.
        OptionError: there is no checkpoint of that step.
    """
    if step is None:
        try:
            return load_latest(run.checkpoints)
        except NoCheckpoint as error:
            why = "; ".join(f"{path.name}: {reason}" for path, reason in error.skipped) or "nothing has been saved yet"
            raise RunError(run.path, f"has no checkpoint that can be read: {why}") from None
    path = run.checkpoints / f"step-{step:08d}"
    if not path.is_dir():
        known = ", ".join(str(int(found.name.split("-")[1])) for found in _checkpoints(run)) or "none"
        raise OptionError("--checkpoint", f"{run.path} has no checkpoint of step {step}; it has: {known}")
    try:
        return load_checkpoint(path)
    except DamagedCheckpoint as error:
        raise RunError(
            path, f"is damaged: {error.reason}; leave --checkpoint out to use the newest intact one"
        ) from None


def load_ema(average: AnyGenerator, checkpoint: LoadedCheckpoint, device: torch.device) -> AnyGenerator:
    """The averaged generator of a checkpoint, in evaluation mode on a device.

    Args:
        average: a freshly built one (`build_ema`) that takes the weights.
        checkpoint: where they are.
        device: where to.

    Raises:
        RunError: the checkpoint is not one of this configuration.
    """
    load_weights(average, "average", checkpoint)
    return average.requires_grad_(False).to(device).eval()


def load_weights(network: nn.Module, name: str, checkpoint: LoadedCheckpoint) -> None:
    """Take the weights of a network from a checkpoint, by the name that it has there.

    Raises:
        RunError: the checkpoint is not one of this configuration.
    """
    state: Any = checkpoint.state
    weights = state.get(name) if isinstance(state, Mapping) else None
    if not isinstance(weights, Mapping):
        raise RunError(checkpoint.path, f"holds no {name} network")
    try:
        check_fit(network.state_dict(), weights, f"$.{name}")
    except StateError as error:
        first = textwrap.shorten(str(error), SHOWN, placeholder=" ...")
        raise RunError(checkpoint.path, f"does not fit the configuration: {first}") from None
    network.load_state_dict(dict(weights))


def require_same(run: RunDirectory, checkpoint: LoadedCheckpoint, config: TrainConfig) -> None:
    """See that a run's configuration is the one that its checkpoint was trained with.

    Raises:
        RunError: config.toml was damaged or edited, or the checkpoint is of another run.
    """
    state: Any = checkpoint.state
    saved = state.get(FIXED, {}) if isinstance(state, Mapping) else {}
    difference = first_difference(saved, config) if isinstance(saved, Mapping) else "it is damaged"
    if difference is not None:
        raise RunError(run.config, f"{difference}, says {checkpoint.path.name}; put back what belongs to the run")


def training_facts(run: RunDirectory) -> Mapping[str, Any]:
    """When a run was begun and resumed, on what, and with which revision, as its environment.json says.

    Raises:
        RunDirectoryError: the file is no longer what it was when the run was opened.
    """
    # Fractions as text: nobody writes any there but by hand, and one might be infinite.
    known = json.loads(json.dumps(read_environment(run)), parse_float=str, parse_constant=str)
    return {key: known[key] for key in ("started", "resumed", "environment") if key in known}


def _checkpoints(run: RunDirectory) -> list[Path]:
    return [path for path in list_checkpoints(run.checkpoints) if not path.name.endswith(".replaced")]
