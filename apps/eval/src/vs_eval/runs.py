"""From a run directory to a generator that can be evaluated."""

import json
from collections.abc import Mapping
from typing import Any

import torch
import vs_nets as nets
from torch import nn
from vs_runtime import (
    DamagedCheckpoint,
    LoadedCheckpoint,
    NoCheckpoint,
    checkpoints_by_step,
    load_checkpoint,
    load_latest,
)
from vs_runtime.run_directory import RunDirectory, read_environment
from vs_training.config import TrainConfig
from vs_training.errors import VsTrainingError
from vs_training.fixed import FIXED, first_difference
from vs_training.saved import EMA, current_format, load_network

from vs_eval.errors import OptionError, RunError


def read_checkpoint(run: RunDirectory, step: int | None) -> LoadedCheckpoint:
    """Read the checkpoint of a step, or the newest that is intact (its `skipped` names newer, damaged ones).

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
    there = checkpoints_by_step(run.checkpoints)
    path = there.get(step)
    if path is None:
        known = ", ".join(map(str, there)) or "none"
        raise OptionError("--checkpoint", f"{run.path} has no checkpoint of step {step}; it has: {known}")
    try:
        return load_checkpoint(path)
    except DamagedCheckpoint as error:
        raise RunError(
            path, f"is damaged: {error.reason}; leave --checkpoint out to use the newest intact one"
        ) from None


def load_ema(
    config: nets.AnyGeneratorConfig, labels: nets.LabelSpec, checkpoint: LoadedCheckpoint, device: torch.device
) -> nets.AnyGenerator:
    """Load the EMA of a checkpoint's generator, in evaluation mode on a device.

    Args:
        config: the generator's.
        labels: how labels enter it.
        checkpoint: where the weights are.
        device: where to.

    Raises:
        RunError: the checkpoint is not one of this configuration.
    """
    network = nets.build_ema(config, label_channels=labels.channels)
    load_weights(network, EMA, checkpoint)
    return network.requires_grad_(False).to(device).eval()


def load_weights(network: nn.Module, name: str, checkpoint: LoadedCheckpoint) -> None:
    """Take the weights of a network from a checkpoint, by the name that it has there.

    Raises:
        RunError: the checkpoint is not one of this configuration.
    """
    try:
        load_network(network, name, saved_state(checkpoint))
    except VsTrainingError as error:
        raise RunError(checkpoint.path, str(error)) from None


def saved_state(checkpoint: LoadedCheckpoint) -> Mapping[str, Any]:
    """Return what a checkpoint holds, as it would be saved now.

    Raises:
        RunError: that is not the state of a training.
    """
    match checkpoint.state:
        case Mapping() as saved:
            return current_format(saved)
        case _:
            raise RunError(checkpoint.path, "holds no state of a training")


def require_same(run: RunDirectory, checkpoint: LoadedCheckpoint, config: TrainConfig) -> None:
    """See that a run's configuration is the one that its checkpoint was trained with.

    Raises:
        RunError: config.toml was damaged or edited, or the checkpoint is of another run.
    """
    match saved_state(checkpoint).get(FIXED, {}):
        case Mapping() as saved:
            difference = first_difference(saved, config)
        case _:
            difference = "it is damaged"
    if difference is not None:
        raise RunError(run.config, f"{difference}, says {checkpoint.path.name}; put back what belongs to the run")


def training_facts(run: RunDirectory) -> Mapping[str, Any]:
    """Read when a run was begun and resumed, on what, and with which revision, as its environment.json says.

    Raises:
        RunDirectoryError: the file is no longer what it was when the run was opened.
    """
    # Fractions as text: nobody writes any there but by hand, and one might be infinite.
    known = json.loads(json.dumps(read_environment(run)), parse_float=str, parse_constant=str)
    return {key: known[key] for key in ("started", "resumed", "environment") if key in known}
