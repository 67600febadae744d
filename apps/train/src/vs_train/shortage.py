"""What is said when memory is too small, and what the GPU held when it was."""

import contextlib
import gzip
import json
import os
from collections.abc import Iterator
from pathlib import Path

import torch
import vs_runtime as runtime
from vs_config import shown
from vs_runtime.files import write_atomically
from vs_runtime.ranks import ranks_of
from vs_runtime.run_directory import RunDirectory
from vs_training.config import TrainConfig
from vs_training.errors import VsTrainingError
from vs_training.saved import SHOWN_CHARACTERS

from vs_train.commands import plan_command, resume_command


@contextlib.contextmanager
def memory_explained(config: TrainConfig, run: RunDirectory) -> Iterator[None]:
    """Say what to do about memory that is too small, to the other processes too.

    Raises:
        VsTrainingError: it is.
    """
    try:
        yield
    except Exception as error:
        if not runtime.is_out_of_memory(error):
            raise
        raise VsTrainingError(_too_little_memory(error, config, run)) from error


def _too_little_memory(error: Exception, config: TrainConfig, run: RunDirectory) -> str:
    match error:
        case torch.OutOfMemoryError():
            whose, snapshot = "the GPU's memory", write_snapshot(run)
        case _:
            whose, snapshot = "the memory of this computer", None
    begun = run.path.exists()
    command = resume_command(config.generator.kind, run, "memory.checkpoint=blocks")
    go_on = f" and go on with: {command}" if begun else ""
    plan = f"; what fits says: {plan_command(run)}" if begun else "; what fits says: hatch run train:plan"
    held = "" if snapshot is None else f"; what the GPU held is in {snapshot}"
    return (
        f"{whose} is too small ({_first_line(error)}): choose memory.checkpoint=blocks (or all){go_on}; or start a run "
        "with a smaller loader.batch_size, curriculum.max_length, data.height and data.width, or generator.filters"
        f"{plan}{held}"
    )


def write_snapshot(run: RunDirectory) -> Path | None:
    """Write the blocks of the GPU's memory into a run as JSON, and return the file; None where that cannot be.

    PyTorch's own tool for such snapshots takes them pickled, which nothing here is: see the README.
    """
    if not run.path.is_dir():
        return None
    path = run.path / f"memory-rank-{ranks_of(os.environ).rank}.json.gz"
    try:
        held = torch.cuda.memory._snapshot()
        write_atomically(path, gzip.compress(json.dumps(held, default=str).encode("utf-8"), mtime=0))
    except Exception:
        return None
    return path


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return shown(lines[0], SHOWN_CHARACTERS)
