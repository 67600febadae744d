"""A run that torchrun's processes train again and again, until one attempt comes to its end: it stays the same run.

torchrun starts all processes anew when one is lost. They have the same command line, so that it is for them to find
out that the run has begun: its environment.json says in which launch of torchrun.
"""

import os
from collections.abc import Mapping

from vs_config import option_path
from vs_runtime.errors import RunDirectoryError
from vs_runtime.ranks import Ranks, ranks_of
from vs_runtime.ranks.members import LAUNCH
from vs_runtime.run_directory import DEFAULT_ROOT, RunDirectory, read_environment

from vs_train.request import Request, Start, choose_directory, stem_of

GROUP = "group"
"""The key of a run's environment under which the launch is named that has begun it."""


def group_of(ranks: Ranks) -> dict[str, str]:
    """Return what the environment of a run that begins here says of the launch; nothing without torchrun."""
    if not os.environ.get(LAUNCH):
        return {}
    from vs_runtime.ranks.store import launch_name

    name = launch_name(ranks)
    return {} if name is None else {GROUP: name}


def choose_run(request: Request, start: Start | None) -> tuple[RunDirectory, bool]:
    """Return the directory of a run, as `choose_directory` does, and whether the run has begun.

    Others than the first process have no say in it: it tells them.
    """
    resumed, ranks = request.resume is not None, ranks_of(os.environ)
    if not ranks.first:
        return RunDirectory(DEFAULT_ROOT), resumed
    own = {} if resumed else group_of(ranks)
    earlier = _begun(request, stem_of(start), own) if own else None
    return (choose_directory(request, start), resumed) if earlier is None else (earlier, True)


def _begun(request: Request, stem: str, own: Mapping[str, str]) -> RunDirectory | None:
    """Return the run that this launch has begun already."""
    if request.out is not None:
        places = [option_path(request.out)]
    else:
        places = sorted((path for path in DEFAULT_ROOT.glob("*") if path.name.startswith(f"{stem}-")), reverse=True)
    return next((run for run in map(RunDirectory, places) if _is_of(run, own)), None)


def _is_of(run: RunDirectory, group: Mapping[str, str]) -> bool:
    try:
        environment = read_environment(run).get("environment", {})
    except RunDirectoryError:
        return False
    return {GROUP: environment.get(GROUP)} == group
