"""The command line in the processes of the tests, with something that happens in one of them."""

import contextlib
import io
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
import torch
import vs_data
from faults import merged, run_config
from rank_processes import RankProcesses, whole
from vs_config import render_config
from vs_data import DataError
from vs_runtime.ranks import Ranks
from vs_train import training
from vs_train.cli import main

TINY: dict[str, Any] = {
    "data": {"height": 16, "width": 32},
    "loader": {"batch_size": 4, "workers": 0},
    "memory": {"micro_batches": 4},
    "distributed": {"reduce": "ordered", "timeout": 20},
    "run": {"steps": 4, "sample_every": 90, "checkpoint_every": 90},
}


@attrs.frozen
class Said:
    """How a command has ended in one process."""

    status: int
    out: str
    err: str

    @property
    def errors(self) -> list[str]:
        return [line for line in self.err.splitlines() if "error: " in line]


@attrs.frozen
class Event:
    """Something that happens in one process in its step number `step`, from 1, or when it reads for it; 0: at once."""

    rank: int
    step: int
    happens: Callable[..., None]
    reading: bool = False


def write_config(folder: Path, **changes: Any) -> Path:
    path = folder / "tiny.toml"
    path.write_text(render_config(run_config(**merged(TINY, changes))))
    return path


def commanded(
    processes: RankProcesses,
    *words: str,
    event: Event | None = None,
    ranks: int = 2,
    again: bool = False,
    folder: Path = Path(),
    **variables: str,
) -> list[Said]:
    """Run `train:vid2vid` with these words in so many processes; `again`: after a failure, in the same launch."""
    arguments = (["vid2vid", *words], event, variables, folder)
    return whole(processes.run(command, *arguments, ranks=ranks, joins=False, again=again))


def command(
    ranks: Ranks, words: list[str], event: Event | None, variables: dict[str, str], folder: Path = Path()
) -> Said:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name, value in variables.items():
            patch.setenv(name, value) if value else patch.delenv(name)
        if event is not None and event.rank == ranks.rank:
            plant(patch, event)
        status = main(words)
    return Said(status, out.getvalue(), err.getvalue())


def plant(patch: pytest.MonkeyPatch, event: Event) -> None:
    if event.step == 0:
        event.happens()
        return
    train_clip, load_clips = training.train_clip, vs_data.load_clips
    steps = iter(range(1, 10**6))

    def trained(state: Any, *arguments: Any) -> Any:
        if next(steps) == event.step:
            event.happens(state)
        return train_clip(state, *arguments)

    def loaded(*arguments: Any, **options: Any) -> Iterator[Any]:
        for step, clip in enumerate(load_clips(*arguments, **options), start=1):
            if step == event.step:
                event.happens()
            yield clip

    if event.reading:
        patch.setattr(vs_data, "load_clips", loaded)
    else:
        patch.setattr(training, "train_clip", trained)


def be_terminated(*_: Any) -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def be_late(*_: Any) -> None:
    time.sleep(2)


def hang(*_: Any) -> None:
    time.sleep(5)


def lose_data(*_: Any) -> None:
    raise DataError("cannot be read", file="images/a/1.png")


def differ(state: Any) -> None:
    with torch.no_grad():
        next(state.generator.parameters())[0] += 1e-6


def diverge(state: Any) -> None:
    """The first weight is not finite in this process only."""
    with torch.no_grad():
        next(state.discriminator.parameters())[0] = float("nan")


def spoil_average(state: Any) -> None:
    """A number of the EMA is not finite in this process only."""
    with torch.no_grad():
        next(state.generator_ema.parameters())[0] = float("nan")


def run_out_of_memory(*_: Any) -> None:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 3.00 GiB")


def be_elsewhere() -> None:
    """Look for files in a directory that no other process is in."""
    elsewhere = Path("elsewhere")
    elsewhere.mkdir()
    os.chdir(elsewhere)


def be_terminated_soon() -> None:
    threading.Timer(1, be_terminated).start()


def overflow(state: Any) -> None:
    """The next gradient of a weight of the discriminator overflows in this process only."""
    weight = next(p for p in state.discriminator.parameters() if p.ndim == 4)
    handle = weight.register_hook(lambda gradient: (handle.remove(), gradient * float("inf"))[1])


def leave_range(state: Any) -> None:
    """The next pass of the discriminator is not finite in this process only, as after a late power iteration."""
    head = state.discriminator.image.scales[0].head
    handle = head.register_forward_hook(lambda *given: (handle.remove(), given[-1] * float("nan"))[1])


def comes_or_not(ranks: Ranks, words: list[str], missing: int, event: Event | None = None) -> Said | None:
    """Run the command but in one process."""
    return None if ranks.rank == missing else command(ranks, ["vid2vid", *words], event, {})
