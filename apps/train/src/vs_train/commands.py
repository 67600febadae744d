"""What people type."""

import shlex

from vs_runtime.run_directory import RunDirectory


def resume_command(command: str, run: RunDirectory, *overrides: str) -> str:
    """Return what to type to go on with a run that `train:COMMAND` trains."""
    return " ".join([f"hatch run train:{command} --resume {shlex.quote(str(run.path))}", *overrides])


def plan_command(run: RunDirectory) -> str:
    """Return what to type to learn what a run takes, and what would fit."""
    return f"hatch run train:plan {shlex.quote(str(run.config))}"


def evaluate_command(command: str, run: RunDirectory) -> str:
    """Return what to type to evaluate a run that `train:COMMAND` trained."""
    return f"hatch run eval:{command} {shlex.quote(str(run.path))}"
