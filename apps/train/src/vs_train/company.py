"""A command in several processes, started by torchrun: the first one speaks for all, the others are silent.

An error of another one comes to the first as soon as it waits for that process. Only who has nobody left to speak for
it says so itself, with its rank. What was said already is not said again when all are started again.
"""

import contextlib
import os
import sys
import threading
from collections.abc import Callable

from vs_config import report_error
from vs_config.commands import EXIT_INPUT, Report
from vs_config.processes import end_with_parent
from vs_config.streams import dropped_streams
from vs_runtime import RanksError
from vs_runtime.ranks import parted, ranks_of
from vs_runtime.ranks.members import LAUNCHER


def run_in_company(run: Callable[[Report], int]) -> int:
    """Run a command as one of the processes that torchrun has started, and return the exit status.

    Args:
        run: runs it, and tells of errors by what it is given.

    Where our own launcher has started it, the command ends with that.
    """
    try:
        ranks = ranks_of(os.environ)
    except RanksError as error:
        return report_error(error) if _would_speak() else EXIT_INPUT
    if launcher := os.environ.get(LAUNCHER):
        threading.Thread(target=end_with_parent, args=(int(launcher),), daemon=True).start()
    if ranks.count == 1:
        return run(report_error)
    from vs_runtime.ranks.store import said_before

    stream = sys.stderr

    def report(error: BaseException | str, *, status: int, label: str) -> int:
        if ranks.first and not said_before(ranks, f"{label}: {error}"):
            report_error(error, status=status, label=label)
        spoken_for = parted(ranks, f"rank {ranks.rank}: {error}") or ranks.first
        if not spoken_for:
            report_error(error, status=status, label=f"[rank {ranks.rank}] {label}", file=stream)
        return status

    # The stack trace of a defect is written outside of this.
    with contextlib.nullcontext() if ranks.first else dropped_streams():
        return run(report)


def _would_speak() -> bool:
    """Return whether this is the first process of its machine, as far as the environment tells."""
    told = [os.environ[name] for name in ("LOCAL_RANK", "RANK") if os.environ.get(name)]
    return not told or "0" in told
