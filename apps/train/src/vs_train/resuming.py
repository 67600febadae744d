"""Going on with a run: everything is read and checked before anything is written, so that refused means untouched."""

from collections.abc import Callable, Mapping
from typing import Any

import vs_runtime as runtime
from vs_config import refuse
from vs_runtime.errors import RunDirectoryError
from vs_runtime.metrics_log import MetricsLog
from vs_runtime.run_directory import RunDirectory, check_layout, fixed_at_start
from vs_training.errors import VsTrainingError
from vs_training.fixed import FIXED, first_difference, fixed_part
from vs_training.saved import restore_state
from vs_training.state import TrainState

from vs_train.beginning import begin
from vs_train.setup import Prepared

METRICS = "metrics"
"""The key under which a checkpoint holds the fingerprint of metrics.jsonl."""


def resume_state(run: RunDirectory, prepared: Prepared, message: Callable[[str], None]) -> TrainState:
    """Return the state that a run goes on from: that of its newest intact checkpoint, or without one the first.

    Nothing is written. Sets the process's random state.

    Args:
        run: The run, which this process holds.
        prepared: Made of the run's configuration.
        message: Told where the run goes on from, and what was left out.

    Raises:
        RunDirectoryError: config.toml, environment.json or metrics.jsonl are damaged, or of another run.
        NoCheckpoint: There are checkpoints, and all of them are damaged.
        VsTrainingError: The checkpoint does not fit, or the run has more steps behind it than asked for.
    """
    check_layout(run)
    _require_same(run, fixed_at_start(run), prepared, "the run's environment.json")
    loaded = newest_checkpoint(run)
    log = MetricsLog(run.metrics)
    if loaded is None:
        log.check(0)
        message(f"{run.path} has no checkpoint to go on from: starting anew")
        return begin(prepared).state
    for path, reason in loaded.skipped:
        message(f"{path} cannot be used: {reason}; the checkpoint before it is used instead")
    steps = prepared.config.run.steps
    if loaded.step > steps:
        raise refuse("run.steps", f"at least {loaded.step}, the steps that the run in {run.path} has done", steps)
    state = state_of(run, prepared, loaded)
    log.check(loaded.step, loaded.state.get(METRICS))
    message(f"going on from {loaded.path}")
    return state


def newest_checkpoint(run: RunDirectory) -> runtime.LoadedCheckpoint | None:
    """Return the newest checkpoint that is intact; None where none has been written yet.

    Raises:
        NoCheckpoint: There are checkpoints, and all of them are damaged: to start anew would overwrite what somebody
            may still want to save.
    """
    try:
        return runtime.load_latest(run.checkpoints)
    except runtime.NoCheckpoint as error:
        if error.skipped:
            raise
        return None


def state_of(run: RunDirectory, prepared: Prepared, loaded: runtime.LoadedCheckpoint) -> TrainState:
    """Return the state in a checkpoint, once it is known to be of this run.

    Raises:
        RunDirectoryError: It was written for another configuration.
        VsTrainingError: It does not fit.
    """
    fixed = _table_in(loaded, FIXED, "fixed part of the configuration")
    _table_in(loaded, METRICS, "fingerprint of the metrics")
    _require_same(run, fixed, prepared, str(loaded.path))
    own = {key: value for key, value in loaded.state.items() if key not in (FIXED, METRICS)}
    state = restore_state(prepared.state, own)
    if state.step != loaded.step:
        raise VsTrainingError(f"{loaded.path}: is damaged: its state is of step {state.step}")
    return state


def _table_in(loaded: runtime.LoadedCheckpoint, key: str, what: str) -> Mapping[str, Any]:
    match loaded.state:
        case Mapping() as saved:
            table = saved.get(key, {})
        case _:
            raise VsTrainingError(f"{loaded.path}: is not the checkpoint of a run")
    match table:
        case Mapping() as found:
            return found
        case _:
            raise VsTrainingError(f"{loaded.path}: is damaged: its {what} is no mapping")


def to_save(learnt: Mapping[str, Any], prepared: Prepared, log: MetricsLog) -> dict[str, Any]:
    """Return what a checkpoint holds: the state, and what it knows its config.toml and metrics.jsonl by."""
    return {**learnt, FIXED: fixed_part(prepared.config), METRICS: log.fingerprint()}


def _require_same(run: RunDirectory, saved: Mapping[str, Any], prepared: Prepared, where: str) -> None:
    difference = first_difference(saved, prepared.config)
    if difference is not None:
        message = f"{run.config}: {difference}, says {where}; put back what belongs to the run, or start a new one"
        raise RunDirectoryError(message, path=run.path)
