"""A run that torchrun's processes train again and again, until one attempt comes to its end: it stays the same run.

torchrun starts all processes anew when one is lost. They have the same command line, so that it is for them to find
out that the run has begun: its environment.json says in which launch of torchrun.
"""

import hashlib
import os
from collections.abc import Mapping

from vs_config import option_path
from vs_runtime.errors import RunDirectoryError
from vs_runtime.ranks import Ranks, collected, ranks_of, told
from vs_runtime.ranks.members import ATTEMPT, LAUNCH
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


def may_start_again(environment: Mapping[str, str]) -> bool:
    """Return whether torchrun would start processes that end early again; of a SIGTERM to itself they do not know."""
    most, done = (environment.get(name, "") for name in ("TORCHELASTIC_MAX_RESTARTS", ATTEMPT))
    return most.isdecimal() and done.isdecimal() and int(done) < int(most)


def require_seen(ranks: Ranks, run: RunDirectory) -> None:
    """See that all processes have the same run before them, as they read its checkpoints. All have to ask.

    Raises:
        RunDirectoryError: some do not, on machines that do not share a file system or in other directories.
    """
    written = told(ranks, _mark(run))  # nobody looks before it is there
    seen = collected(ranks, _mark(run) == written)
    blind = ", ".join(str(rank) for rank, same in enumerate(seen) if not same)
    if blind:
        what = f"{run.path}: rank {blind} does not find there what rank 0 has written"
        raise RunDirectoryError(
            f"{what}; choose an --out that all processes see, such as an absolute path", path=run.path
        )


def _mark(run: RunDirectory) -> str | None:
    try:
        return hashlib.sha256(run.environment.read_bytes()).hexdigest()
    except OSError:
        return None


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
