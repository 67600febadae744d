"""The programs that the accuracy experiment measures, run as users run them.

They run in the process that asks for them, since the planted fault has to live where the optimizer steps; what they
are told and what they answer are words on a command line, an exit status and files.
"""

import importlib.util
import runpy
import sys
from collections.abc import Sequence

TRAIN = "vs_train"
EVALUATE = "vs_eval"

DIVERGED = 3
"""Exit status of the training program for values that are not finite."""


def missing_programs() -> list[str]:
    """Return those of the programs that are not installed."""
    return [name for name in (TRAIN, EVALUATE) if importlib.util.find_spec(name) is None]


def run_program(name: str, arguments: Sequence[str]) -> int:
    """Run `python -m NAME ARGUMENTS` in this process, and return its exit status; what it says goes where ours goes."""
    before = sys.argv
    sys.argv = [name, *arguments]
    try:
        runpy.run_module(name, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        return _status_of(end)
    finally:
        sys.argv = before
    return 0


def _status_of(end: SystemExit) -> int:
    match end.code:
        case None:
            return 0
        case int(status):
            return status
        case text:
            print(text, file=sys.stderr)
            return 1
