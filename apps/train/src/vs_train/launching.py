"""`--processes N`: the same command in several processes of this machine."""

from typing import Any

import vs_runtime as runtime
from vs_config import report_error
from vs_runtime.ranks import Ranks
from vs_runtime.ranks.launch import launch
from vs_training.config import TrainConfig
from vs_training.sharing import check_sharing

from vs_train.request import Request


def launch_processes(request: Request, config: Any, *, processes: int, max_restarts: int) -> int:
    """Train what is asked for in several processes, and return the exit status.

    Raises:
        ConfigError: they cannot share a batch.
        RanksError: there are fewer GPUs.
    """
    match config:
        case TrainConfig():
            check_sharing(config, Ranks(count=processes, local_count=processes))
            runtime.check_gpus(runtime.choose_device(config.device), processes)
    return launch("vs_train", words_of(request), processes=processes, max_restarts=max_restarts, tell=report_error)


def words_of(request: Request) -> list[str]:
    """Return the command line of a request."""
    options = {name: getattr(request, name) for name in ("preset", "config", "out", "resume")}
    given = [f"--{name}={value}" for name, value in options.items() if value is not None]
    return [request.command, *given, *request.overrides]
