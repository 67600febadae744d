"""Processes that make the steps of one revision each, one step at a time and only when they are told to."""

import contextlib
import itertools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, cast

import attrs
from vs_config import shown

from vs_bench.errors import VsBenchError
from vs_bench.results import ROOT
from vs_bench.step.revision import Sources

_PROGRAM = "vs_bench.step.stepper"


@attrs.frozen(kw_only=True, eq=False)
class Worker:
    """A process that makes steps of one revision.

    Attributes:
        name: of the revision.
        process: the process.
        requests: what it reads, line by line.
        answers: what it writes for each line.
        complaints: the file that it writes its errors to.
    """

    name: str
    process: subprocess.Popen[str]
    requests: IO[str]
    answers: IO[str]
    complaints: IO[bytes]

    def ask(self, line: str) -> Any:
        """Send a line, and return the answer, as `answer` does."""
        self.send(line)
        return self.answer()

    def send(self, line: str) -> None:
        """Send a line."""
        with contextlib.suppress(BrokenPipeError):  # it has ended: what it says of that is read with the answer
            self.requests.write(f"{line}\n")
            self.requests.flush()

    def answer(self) -> Any:
        """Return the answer to the line sent last.

        Raises:
            VsBenchError: the process has ended, by an error or otherwise.
        """
        answer = self.answers.readline()
        if not answer:
            raise VsBenchError(f"{self.name}: its step cannot be measured: {self._complaint()}")
        return json.loads(answer)

    def _complaint(self) -> str:
        """Return what the process has died of: what stands below the lines of a traceback, which are indented."""
        status = self.process.wait()
        self.complaints.seek(0)
        lines = self.complaints.read().decode(errors="replace").splitlines()
        last = list(itertools.takewhile(lambda line: not line.startswith(" "), reversed(lines)))
        return shown("; ".join(reversed(last))) if last else f"its process ended with status {status}"


@contextlib.contextmanager
def start_worker(sources: Sources, plan: Mapping[str, Any]) -> Iterator[tuple[Worker, Any]]:
    """Start a process with a revision's packages, and give it with its answer to the plan; it ends with the context.

    It hears of no Ctrl-C, of which this process hears, and ends it. OpenMP's threads wait in it as they do in this
    process, whatever the revision would have them do.

    Raises:
        VsBenchError: the step cannot be built there.
    """
    packages = sorted((sources.folder / "packages").glob("*/src"))
    if not any((one / "vs_training").is_dir() for one in packages):
        raise VsBenchError(f"{sources.name}: it has no packages/vs-training, whose step is measured; name a later one")
    path = [ROOT / "apps" / "bench" / "src", *packages]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, path))}
    with running(sources.name, _PROGRAM, environment) as worker:
        facts = worker.ask(json.dumps(plan))
        if not Path(facts["sources"]).is_relative_to(sources.folder):
            raise VsBenchError(f"{sources.name}: Python takes vs_training from {facts['sources']} instead")
        yield worker, facts


@contextlib.contextmanager
def running(name: str, program: str, environment: Mapping[str, str]) -> Iterator[Worker]:
    """Run a module as a program that answers lines by lines; it ends with the context, and hears of no Ctrl-C."""
    with (
        tempfile.TemporaryFile() as complaints,
        subprocess.Popen(
            [sys.executable, "-P", "-m", program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=complaints,
            text=True,
            env=environment,
            start_new_session=True,
        ) as process,
    ):
        try:
            yield Worker(
                name=name,
                process=process,
                requests=cast(IO[str], process.stdin),
                answers=cast(IO[str], process.stdout),
                complaints=complaints,
            )
        finally:
            process.kill()
