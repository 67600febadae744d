"""Train the arms of the accuracy experiment, each in a process of its own, several at a time, and go on with them."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import attrs
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from vs_config import render_config
from vs_config.signals import StopRequest
from vs_runtime.run_directory import is_run, read_run_config
from vs_train.progress import show_duration
from vs_training.config import TrainConfig
from vs_training.curriculum import images_between

from vs_bench.accuracy.arm import HELD_OUT
from vs_bench.accuracy.plan import AccuracyError, Arm

_LAST_BYTES = 16384
_POLL_SECONDS = 0.5
_LINE_SECONDS = 30.0
_ARM = "vs_bench.accuracy.arm"


class Stopped(Exception):  # noqa: N818  nothing has failed
    """Somebody asked to stop; what has been trained is kept.

    Attributes:
        signal: by which signal, such as `SIGTERM`.
        out: where what has been trained is.
    """

    def __init__(self, signal: str, out: Path) -> None:
        super().__init__(f"stopped ({signal}); the same command with --out {out} goes on")
        self.signal = signal
        self.out = out


@attrs.frozen(kw_only=True)
class Setting:
    """How the arms are run.

    Attributes:
        out: the directory of the experiment: a run directory for each arm, `configs/` and `logs/`.
        jobs: how many arms are trained at a time.
        clips: how many held-out clips are generated; None: all.
        frames: at most so many frames of each; None: all.
    """

    out: Path
    jobs: int
    clips: int | None = None
    frames: int | None = None


@attrs.frozen(kw_only=True)
class Standing:
    """How far the experiment has come.

    Attributes:
        finished: arms that are trained and evaluated.
        arms: all of them.
        running: those at work, by name.
        done: the part of all frames that has been trained on, 0 to 1.
        seconds_left: an estimate, None while unknown.
    """

    finished: int
    arms: int
    running: tuple[str, ...]
    done: float
    seconds_left: float | None

    def __str__(self) -> str:
        """One line for people."""
        left = "" if self.seconds_left is None else f", about {show_duration(self.seconds_left)} left"
        return f"{self.finished} of {self.arms} arms finished, training {', '.join(self.running) or 'none'}{left}"


def is_finished(arm: Arm, out: Path) -> bool:
    """Whether an arm has been trained and evaluated."""
    return (arm.run(out).path / HELD_OUT).is_file()


def check_arms(arms: Sequence[Arm], out: Path) -> None:
    """See that what is in `out` belongs to this experiment; nothing is written.

    Raises:
        AccuracyError: an arm there has another configuration.
    """
    for arm in arms:
        run = arm.run(out)
        if is_run(run.path) and read_run_config(run, TrainConfig) != arm.config:
            message = f"{run.path}: was trained by another configuration; choose another --out"
            raise AccuracyError(message)


def run_arms(arms: Sequence[Arm], setting: Setting, stop: StopRequest, show: Callable[[Standing], None]) -> None:
    """Train and evaluate all arms that are not finished, at most `setting.jobs` at a time.

    Raises:
        AccuracyError: an arm failed; the others were stopped, and go on when this is called again.
        Stopped: `stop` asked for it; every arm at work has written a checkpoint.
    """
    for name in ("configs", "logs"):
        (setting.out / name).mkdir(parents=True, exist_ok=True)
    waiting = [arm for arm in arms if not is_finished(arm, setting.out)]
    running: dict[str, subprocess.Popen[bytes]] = {}
    estimate = _estimator(arms, setting.out)
    try:
        while waiting or running:
            if stop.requested is not None:
                raise Stopped(stop.requested, setting.out)
            while waiting and len(running) < setting.jobs:
                arm = waiting.pop(0)
                running[arm.name] = _start(arm, setting)
            show(estimate(tuple(running)))
            time.sleep(_POLL_SECONDS)
            for name in [name for name, process in running.items() if process.poll() is not None]:
                _check_exit(name, running.pop(name).returncode, setting.out)
    finally:
        _end(running.values())


def _start(arm: Arm, setting: Setting) -> subprocess.Popen[bytes]:
    config = setting.out / "configs" / f"{arm.name}.toml"
    config.write_text(render_config(arm.config), "utf-8")
    options = {"--fault-bits": arm.level.fault_bits, "--clips": setting.clips, "--frames": setting.frames}
    given = [word for option, value in options.items() if value is not None for word in (option, str(value))]
    command = [sys.executable, "-m", _ARM, str(arm.run(setting.out).path), "--config", str(config), *given]
    with (setting.out / "logs" / f"{arm.name}.log").open("ab") as log:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)


def _check_exit(name: str, status: int, out: Path) -> None:
    if status == 0:
        return
    log = out / "logs" / f"{name}.log"
    lines = log.read_text("utf-8", "replace").strip().splitlines()
    message = f"{name} failed with status {status}: {lines[-1] if lines else 'it said nothing'} (all of it: {log})"
    raise AccuracyError(message)


def _end(processes: Collection[subprocess.Popen[bytes]]) -> None:
    """Ask those that still run to stop after their step, and wait for the checkpoints that they write."""
    for process in processes:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
    for process in processes:
        process.wait()


def _estimator(arms: Sequence[Arm], out: Path) -> Callable[[tuple[str, ...]], Standing]:
    """How far everything has come as a function of what is running; the pace is that since this call."""
    total = sum(_frames(arm, arm.config.run.steps) for arm in arms)
    began, first = time.monotonic(), _frames_done(arms, out)

    def estimate(running: tuple[str, ...]) -> Standing:
        done, seconds = _frames_done(arms, out), time.monotonic() - began
        return Standing(
            finished=sum(is_finished(arm, out) for arm in arms),
            arms=len(arms),
            running=running,
            done=done / total,
            seconds_left=(total - done) * seconds / (done - first) if done > first else None,
        )

    return estimate


def _frames_done(arms: Sequence[Arm], out: Path) -> int:
    return sum(_frames(arm, steps_done(arm.run(out).metrics)) for arm in arms)


def _frames(arm: Arm, steps: int) -> int:
    return images_between(arm.config.curriculum, 0, steps) * arm.config.loader.batch_size


def steps_done(metrics: Path) -> int:
    """The step of the last whole line of a run's metrics.jsonl, however long the file is; 0 without one."""
    if not metrics.is_file():
        return 0
    with metrics.open("rb") as file:
        file.seek(max(0, file.seek(0, 2) - _LAST_BYTES))
        lines = file.read().split(b"\n")[:-1]
    return int(json.loads(lines[-1])["step"]) if lines else 0


@contextmanager
def show_standing(console: Console) -> Iterator[Callable[[Standing], None]]:
    """Show how far the experiment has come: a bar on a terminal, else a line whenever an arm ends and now and then."""
    if not console.is_terminal:
        yield _plain_lines(console)
        return
    with Progress(BarColumn(), TextColumn("{task.description}"), console=console, transient=True) as bar:
        task = bar.add_task("", total=1.0)
        yield lambda standing: bar.update(task, completed=standing.done, description=str(standing))


def _plain_lines(console: Console) -> Callable[[Standing], None]:
    due = 0.0
    shown: tuple[str, ...] | None = None

    def show(standing: Standing) -> None:
        nonlocal due, shown
        if standing.running != shown or time.monotonic() >= due:
            due, shown = time.monotonic() + _LINE_SECONDS, standing.running
            console.print(str(standing), markup=False, highlight=False, soft_wrap=True)

    return show
