"""Train the arms of the accuracy experiment, each in a process of its own, several at a time, and go on with them."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

import attrs
from vs_config import render_config
from vs_config.amounts import show_duration
from vs_config.progress import Progress
from vs_config.signals import StopRequest
from vs_runtime.run_directory import is_run, read_run_config
from vs_training.config import TrainConfig
from vs_training.curriculum import images_between

from vs_bench.accuracy.arm import HELD_OUT
from vs_bench.accuracy.evaluation import HeldOut
from vs_bench.accuracy.plan import AccuracyError, Arm

_LAST_BYTES = 16384
_POLL_SECONDS = 0.5
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
    """The way the arms are run.

    Attributes:
        out: the directory of the experiment: a run directory for each arm, `configs/` and `logs/`.
        jobs: how many arms are trained at a time.
        held_out: what of the held-out clips is generated.
    """

    out: Path
    jobs: int
    held_out: HeldOut = attrs.field(factory=HeldOut)


@attrs.frozen(kw_only=True)
class Standing:
    """The progress of the experiment.

    Attributes:
        finished: arms that are trained and evaluated.
        arms: all of them.
        running: those at work, by name.
        frames: what has been trained on.
        total: what is to be trained on in all.
        seconds_left: an estimate, None while unknown.
    """

    finished: int
    arms: int
    running: tuple[str, ...]
    frames: int
    total: int
    seconds_left: float | None


def show_standing(standing: Standing, progress: Progress) -> None:
    """Show how far the experiment has come; it estimates for itself: steps may take longer than a display remembers."""
    running = ", ".join(standing.running) or "none"
    heading = f"{standing.finished} of {standing.arms} arms finished, training {running}:"
    left = "" if standing.seconds_left is None else f"about {show_duration(standing.seconds_left)} left"
    progress.update(standing.frames, standing.total, what=heading, figures=left)


def is_finished(arm: Arm, out: Path) -> bool:
    """Return whether an arm has been trained and evaluated."""
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


def run_arms(arms: Sequence[Arm], setting: Setting, stop: StopRequest, progress: Progress) -> None:
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
            show_standing(estimate(tuple(running)), progress)
            time.sleep(_POLL_SECONDS)
            for name in [name for name, process in running.items() if process.poll() is not None]:
                _check_exit(name, running.pop(name).returncode, setting.out)
    finally:
        _end(running.values())


def _start(arm: Arm, setting: Setting) -> subprocess.Popen[bytes]:
    config = setting.out / "configs" / f"{arm.name}.toml"
    config.write_text(render_config(arm.config), "utf-8")
    limits = setting.held_out
    options = {"--fault-bits": arm.level.fault_bits, "--clips": limits.clips, "--frames": limits.frames}
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
    """Return how far everything has come as a function of what is running; the pace is that since this call."""
    total = sum(_frames(arm, arm.config.run.steps) for arm in arms)
    began, first = time.monotonic(), _frames_done(arms, out)

    def estimate(running: tuple[str, ...]) -> Standing:
        done, seconds = _frames_done(arms, out), time.monotonic() - began
        return Standing(
            finished=sum(is_finished(arm, out) for arm in arms),
            arms=len(arms),
            running=running,
            frames=done,
            total=total,
            seconds_left=(total - done) * seconds / (done - first) if done > first else None,
        )

    return estimate


def _frames_done(arms: Sequence[Arm], out: Path) -> int:
    return sum(_frames(arm, steps_done(arm.run(out).metrics)) for arm in arms)


def _frames(arm: Arm, steps: int) -> int:
    return images_between(arm.config.curriculum, 0, steps) * arm.config.loader.clips


def steps_done(metrics: Path) -> int:
    """Return the step of the last whole line of a run's metrics.jsonl, however long the file is; 0 without one."""
    if not metrics.is_file():
        return 0
    with metrics.open("rb") as file:
        file.seek(max(0, file.seek(0, 2) - _LAST_BYTES))
        lines = file.read().split(b"\n")[:-1]
    return int(json.loads(lines[-1])["step"]) if lines else 0
