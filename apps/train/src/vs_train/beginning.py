"""Runs that begin from a trained model: its weights in the first state, and what became of each on disk."""

import json

import attrs
from vs_config import ConfigError, option_path
from vs_runtime import VsRuntimeError
from vs_runtime.files import write_atomically
from vs_runtime.run_directory import RunDirectory
from vs_synthesis import VsSynthesisError, read_origin
from vs_training.errors import VsTrainingError
from vs_training.first_layers import label_channels
from vs_training.init import InitReport, Origin, describe_init, init_state

from vs_train.setup import Prepared

INIT = "init.json"
"""The file of a run that names every tensor that was taken from a model, resized or left."""


def begin(prepared: Prepared) -> Prepared:
    """Return a run that is ready to start with the weights of the model that it begins from, if there is one.

    Raises:
        VsTrainingError: there is no such model, it is damaged, or it does not fit.
    """
    config = prepared.config
    if config.init.from_ is None:
        return prepared
    origin = _read(config.init.from_)
    labels = label_channels(config.labels, prepared.source.label_kinds)
    state, report = init_state(prepared.state, origin, config, labels)
    notes = (*prepared.notes, *origin.notices, *describe_init(report), f"{INIT} of the run names every tensor")
    return attrs.evolve(prepared, state=state, begun=report, notes=notes)


def _read(path: str) -> Origin:
    try:
        return read_origin(option_path(path))
    except (VsSynthesisError, VsRuntimeError, ConfigError, ValueError) as error:
        raise VsTrainingError(f"init.from: {error}") from None


def write_report(run: RunDirectory, report: InitReport | None) -> None:
    """Write what a run began with, if that was a model."""
    if report is not None:
        write_atomically(run.path / INIT, json.dumps(attrs.asdict(report), indent=1) + "\n")
