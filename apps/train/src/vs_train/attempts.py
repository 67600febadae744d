"""A run that torchrun's processes train again and again, until one attempt comes to its end: it stays the same run.

torchrun starts all processes anew when one is lost. They have the same command line, so that it is for them to find
out that the run has begun: its environment.json says in which group of processes. Each machine counts its own restarts,
so that a first attempt may be a later one of another machine: then the run is younger than torchrun is.
"""

import os
import socket
from collections.abc import Mapping

from vs_config import option_path
from vs_runtime.errors import RunDirectoryError
from vs_runtime.ranks import ranks_of
from vs_runtime.ranks.members import ATTEMPT, launcher_start
from vs_runtime.run_directory import DEFAULT_ROOT, RunDirectory, read_environment

from vs_train.request import Request, Start, choose_directory

GROUP = "group"
"""The key of a run's environment under which its group of processes is named."""


def group_of(environment: Mapping[str, str]) -> dict[str, str]:
    """Return what a run's environment says of the group of processes that torchrun has started; nothing without it."""
    name = environment.get("TORCHELASTIC_RUN_ID")
    if name is None:
        return {}
    # Processes whose place of meeting is given by hand have no name: torchrun itself is what they have in common.
    return {GROUP: f"{socket.gethostname()}-{os.getppid()}" if name == "none" else name}


def choose_run(request: Request, start: Start | None) -> tuple[RunDirectory, bool]:
    """Return the directory of a run, as `choose_directory` does, and whether the run has begun.

    Others than the first process have no say in it: it tells them.
    """
    resumed = request.resume is not None
    if not ranks_of(os.environ).first:
        return RunDirectory(DEFAULT_ROOT), resumed
    if not resumed and ATTEMPT in os.environ:
        earlier = _begun(request, "" if start is None else start.stem)
        if earlier is not None:
            return earlier, True
    return choose_directory(request, start), resumed


def _begun(request: Request, stem: str) -> RunDirectory | None:
    """Return the run that an earlier attempt of the same processes has begun."""
    if request.out is not None:
        places = [option_path(request.out)]
    else:
        places = sorted((path for path in DEFAULT_ROOT.glob("*") if path.name.startswith(f"{stem}-")), reverse=True)
    own = group_of(os.environ)
    return next((run for run in map(RunDirectory, places) if own and _is_of(run, own)), None)


def _is_of(run: RunDirectory, group: Mapping[str, str]) -> bool:
    try:
        environment = read_environment(run).get("environment", {})
    except RunDirectoryError:
        return False
    later = os.environ[ATTEMPT] != "0" or run.environment.stat().st_mtime > launcher_start()
    return later and {GROUP: environment.get(GROUP)} == group
