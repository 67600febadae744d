"""Programs that start processes: which of these live, found by what they inherit, whatever session they are in."""

import contextlib
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import attrs

PATIENCE = 100.0
"""Seconds for all that is waited for."""

MARK = "VS_TEST_LAUNCH"
"""A variable of the environment that a program and all its offspring have."""


@attrs.frozen(eq=False)
class Launch:
    """A program that runs, and the value of `MARK` that its offspring is known by."""

    process: subprocess.Popen[str]
    mark: str

    def alive(self) -> dict[int, dict[str, str]]:
        """The environments of the program and all its offspring, of workers and launchers too, by process id."""
        found = {}
        for place in Path("/proc").iterdir():
            if place.name.isdigit():
                with contextlib.suppress(OSError):  # it has gone, or is somebody else's; what is dead has no variables
                    variables = dict(
                        entry.split("=", 1) for entry in (place / "environ").read_text().split("\0") if "=" in entry
                    )
                    if variables.get(MARK) == self.mark:
                        found[int(place.name)] = variables
        return found

    def ranks(self) -> dict[int, int]:
        """Those that torchrun has started and that live: rank -> process id."""
        alive = self.alive()
        started = {pid: int(variables["RANK"]) for pid, variables in alive.items() if "RANK" in variables}
        # Workers of a rank inherit its variables.
        return {rank: pid for pid, rank in started.items() if _parent(pid) not in started}

    def ended(self, patience: float = PATIENCE) -> str:
        """Wait for the program, and return what it has said; no process of it is left then."""
        said, _ = self.process.communicate(timeout=patience)
        end = time.monotonic() + 10
        while left := self.alive():
            assert time.monotonic() < end, f"processes are left: {[_command(pid) for pid in left]}"
            time.sleep(0.05)
        return said


@contextlib.contextmanager
def launched(*words: str) -> Iterator[Launch]:
    """Run `python -m WORDS`; none of its processes outlives the test."""
    mark = uuid.uuid4().hex
    command, environment = [sys.executable, "-m", *words], {**os.environ, MARK: mark}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    ) as process:
        launch = Launch(process, mark)
        try:
            yield launch
        finally:
            while alive := launch.alive():
                for pid in alive:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                time.sleep(0.05)


def wait_for_step(folder: Path, step: int) -> None:
    end = time.monotonic() + PATIENCE
    while not (folder / "checkpoints" / f"step-{step:08d}").exists():
        assert time.monotonic() < end, f"step {step} has not come"
        time.sleep(0.02)


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def _command(pid: int) -> str:
    try:
        return f"{pid} {Path(f'/proc/{pid}/cmdline').read_text()}".replace("\0", " ")
    except OSError:
        return str(pid)
