"""Profiles of a few steps of a run, as Chrome's tracing and Perfetto show them."""

import contextlib
import gzip
import tempfile
from collections.abc import Iterator
from pathlib import Path

import attrs
import torch
from torch.profiler import ProfilerActivity, profile
from vs_runtime.files import write_atomically
from vs_training.config import RunConfig

from vs_train.outputs import Outputs

FOLDER = "profile"
"""What of a run's directory profiles go into."""


@attrs.define(kw_only=True)
class Profile:
    """A profile of the steps from a first one to a last one, both counted from 1; what it sees changes no bit of them.

    Attributes:
        steps: the first and the last; empty: of none.
        out: where it is written and told of; of several processes the first one alone has a profile.
        began: the step that it began with: a later one than the first where a run was resumed among them.
        done: the last step that is in it.
    """

    steps: tuple[int, ...]
    out: Outputs
    began: int = 0
    done: int = 0
    running: profile | None = None

    def before(self, step: int) -> None:
        """Begin, if this is the first of the steps that are done here."""
        if self.running is None and self.steps and self.steps[0] <= step <= self.steps[1]:
            activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if torch.cuda.is_available() else [])]
            self.running, self.began = profile(activities=activities, record_shapes=True), step
            self.running.start()

    def after(self, step: int) -> None:
        """End and write, if this was the last step."""
        if self.running is not None:
            self.done = step
            if step == self.steps[1]:
                self.end()

    def end(self) -> None:
        """Write what there is, if there is anything."""
        if self.running is None:
            return
        running, self.running = self.running, None
        running.stop()
        if self.done:
            path = self.out.run.path / FOLDER / f"steps-{self.began:08d}-{self.done:08d}.json.gz"
            path.parent.mkdir(exist_ok=True)
            write_atomically(path, _trace(running, path.parent))
            self.out.progress.message(
                f"profile of steps {self.began} to {self.done}: {path} (ui.perfetto.dev shows it)"
            )


@contextlib.contextmanager
def profiled(config: RunConfig, out: Outputs) -> Iterator[Profile]:
    """Yield a profile that is written at its last step, or where a run ends before."""
    wanted = Profile(steps=() if out.files is None else config.profile_steps, out=out)
    try:
        yield wanted
    finally:
        with contextlib.suppress(OSError):  # what has ended the run is worth more
            wanted.end()


def _trace(finished: profile, folder: Path) -> bytes:
    """Return a trace as gzipped JSON; PyTorch can only write it to a file."""
    with tempfile.TemporaryDirectory(dir=folder) as place:
        whole = Path(place) / "trace.json"
        finished.export_chrome_trace(str(whole))
        return gzip.compress(whole.read_bytes(), mtime=0)
