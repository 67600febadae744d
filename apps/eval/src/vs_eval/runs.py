"""From a run directory to a generator that can be evaluated."""

import json
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor
from vs_nets import FewShotGenerator, Generator
from vs_runtime import DamagedCheckpoint, LoadedCheckpoint, NoCheckpoint, list_checkpoints, load_checkpoint, load_latest
from vs_train.run_directory import RunDirectory

from vs_eval.errors import OptionError, RunError

AnyGenerator = TypeVar("AnyGenerator", Generator, FewShotGenerator)

SHOWN = 160
"""Most characters of what PyTorch says of weights that do not fit: it names every one of them."""


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


def load_average(average: AnyGenerator, checkpoint: LoadedCheckpoint, device: torch.device) -> AnyGenerator:
    """The averaged generator of a checkpoint, in evaluation mode on a device.

    Args:
        average: a freshly built one (`build_average`, `build_few_shot_average`) that takes the weights.
        checkpoint: where they are.
        device: where to.

    Raises:
        RunError: the checkpoint is not one of this configuration.
    """
    weights = _average_weights(checkpoint)
    try:
        average.load_state_dict(dict(weights))
    except RuntimeError as error:
        first = textwrap.shorten(str(error).splitlines()[-1], SHOWN, placeholder=" ...")
        what = f"does not fit the run's config.toml: {first}"
        raise RunError(checkpoint.path, f"{what}; put back the file that it was trained with") from None
    return average.requires_grad_(False).to(device).eval()


def training_facts(run: RunDirectory) -> Mapping[str, Any]:
    """When a run was begun and resumed, on what, and with which revision, as its environment.json says.

    Raises:
        RunError: the file is no longer what it was when the run was opened.
    """
    try:
        # Fractions as text: nobody writes any there but by hand, and one might be nan or infinite.
        marker = json.loads(run.environment.read_text("utf-8"), parse_float=str, parse_constant=str)
    except ValueError as error:
        raise RunError(run.environment, f"cannot be read: {error}") from None
    known = marker if isinstance(marker, Mapping) else {}
    return {key: known[key] for key in ("started", "resumed", "environment") if key in known}


def _average_weights(checkpoint: LoadedCheckpoint) -> Mapping[str, Tensor]:
    state: Any = checkpoint.state
    weights = state.get("average") if isinstance(state, Mapping) else None
    if not isinstance(weights, Mapping):
        raise RunError(checkpoint.path, "holds no averaged generator")
    return weights


def _checkpoints(run: RunDirectory) -> list[Path]:
    return [path for path in list_checkpoints(run.checkpoints) if not path.name.endswith(".replaced")]
