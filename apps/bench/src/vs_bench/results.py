"""Where results go, and what is said of them: when, by which command, of which revision and on which machine.

They go to `docs/benchmarks`, where documents cite them from, only if that is asked for.
"""

import json
import shlex
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import attrs
from vs_runtime import describe_environment

ROOT = Path(__file__).resolve().parents[4]
RESULTS = ROOT / "docs" / "benchmarks"
SCRATCH = ROOT / "runs" / "bench"


@attrs.frozen(kw_only=True)
class Begun:
    """The beginning of measuring: time, revision (under `git`) and machine; what is committed later is another's.

    `machine` is what `describe_environment` says; its revision is `dirty` if code differs from it, but for results and
    documents do not count.
    """

    measured_at: str
    machine: dict[str, Any]

    @property
    def revision(self) -> str | None:
        """The revision, with `-dirty` behind it where code differs from it; None outside a checkout."""
        git = self.machine["git"]
        return None if git is None else git["revision"] + "-dirty" * bool(git["dirty"])


def begin() -> Begun:
    """Return what is to be said of a measurement that begins now."""
    machine = describe_environment(ROOT)
    if machine["git"] is not None:
        machine["git"] = {**machine["git"], "dirty": _code_differs()}
    return Begun(measured_at=datetime.now(UTC).isoformat(timespec="seconds"), machine=machine)


def _code_differs() -> bool | None:
    """Return whether tracked files but documents and results differ from the revision; None if git does not say."""
    command = ["git", "-C", str(ROOT), "diff", "--quiet", "HEAD", "--", ".", ":!docs", ":!*.md"]
    status = subprocess.run(command, check=False, capture_output=True).returncode
    return bool(status) if status in (0, 1) else None


def folder_of(*, store: bool) -> Path:
    """Return where results go: to those that documents cite if they are to be stored, else below `runs/`."""
    return RESULTS if store else SCRATCH


def save_records(
    records: dict[str, object], name: str, *, command: str, folder: Path = RESULTS, begun: Begun | None = None
) -> Path:
    """Write `folder/name.json`: `records` with the command, the time, the revision and the machine; returns the path.

    `begun` is what `begin` said before measuring; None: nothing has been measured that could have changed since.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    content = {"command": command, **attrs.asdict(begun or begin()), **records}
    path.write_text(json.dumps(content, indent=1) + "\n")
    return path


def given_arguments() -> list[str]:
    """Return what this process was given behind the name of the command."""
    return sys.argv[2:]


def command_of(script: str, arguments: Sequence[str] | None = None) -> str:
    """Return the command that repeats this measurement, for example `hatch run bench:ops --rounds 9`."""
    return shlex.join(["hatch", "run", script, *(given_arguments() if arguments is None else arguments)])
