"""Processes on this machine, started and watched by torchrun's own launcher."""

import logging
import os
import signal
import sys
import uuid
from collections.abc import Callable, Sequence

from torch.distributed.elastic.multiprocessing import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from vs_runtime.affinity import allowed_cpus
from vs_runtime.ranks.members import LAUNCHER

_LEAVE = "TORCH_ELASTIC_SHUTDOWN_TIMEOUT"
_LEAVE_SECONDS = 300
"""Time for a last step and its checkpoint, once a stop was asked for; torchrun's own is 30."""


def launch(
    module: str, arguments: Sequence[str], *, processes: int, max_restarts: int, tell: Callable[[str], object]
) -> int:
    """Run `python -m MODULE ARGUMENTS` in so many processes, as torchrun does, and return the exit status of the first.

    Args:
        module: the program.
        arguments: its command line.
        processes: how many; they share the threads of computation, unless OMP_NUM_THREADS says how many each has.
        max_restarts: how often all are started again when one has failed.
        tell: told, in words, of a process that a signal has ended.
    """
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, len(allowed_cpus()) // processes)))
    os.environ.setdefault(_LEAVE, str(_LEAVE_SECONDS))
    os.environ[LAUNCHER] = str(os.getpid())
    _quieten()
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        run_id=str(uuid.uuid4()),
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=max_restarts,
    )
    try:
        elastic_launch(config, sys.executable)("-m", module, *arguments)
    except SignalException as stop:
        return 128 + stop.sigval
    except ChildFailedError as error:
        return _status(error, tell)
    finally:
        del os.environ[LAUNCHER]
    return 0


def _quieten() -> None:
    """Leave it to the processes to say what was wrong: the launcher's own words about it are many and say less."""
    for name in logging.root.manager.loggerDict:
        if name.startswith("torch.distributed.elastic"):
            logging.getLogger(name).setLevel(logging.CRITICAL)


def _status(error: ChildFailedError, tell: Callable[[str], object]) -> int:
    rank, first = error.get_first_failure()
    if first.exitcode < 0:
        tell(f"rank {rank} (process {first.pid}) was ended by {signal.Signals(-first.exitcode).name}")
    said = [failure.exitcode for _, failure in sorted(error.failures.items()) if failure.exitcode > 0]
    return said[0] if said else 128 - first.exitcode
