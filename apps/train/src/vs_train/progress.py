"""How a run shows itself while it trains: a live display on a terminal, plain lines in a pipe or a log file."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Protocol, TextIO

import attrs
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, TaskProgressColumn, TextColumn
from rich.progress import Progress as Bar
from rich.text import Text
from vs_config import shown


@attrs.frozen(kw_only=True)
class ProgressReport:
    """What is shown about one training step.

    Attributes:
        step: Steps done, counted from 1.
        total_steps: Steps of the whole run.
        losses: The main losses by name, in the order to show them.
        images_per_second: Generated frames per second, lately.
        skipped: Optimizer steps skipped so far because of an overflow.
        replays: Updates computed again so far because of an overflow.
        scales: The loss scale of each network by name; empty when there is no scaling.
        gradient_norms: The norm of each network's gradient by name.
        underflow: The share of each network's gradient that underflows, by name; empty where it is not measured.
        memory_bytes: Memory in use: of the GPU, or of this process.
        seconds_left: Estimate of the time to the end; None while unknown.
        stage: What the curriculum is doing, in a word or two (`4 frames`); may be empty.
    """

    step: int
    total_steps: int
    losses: Mapping[str, float]
    images_per_second: float
    skipped: int
    replays: int = 0
    scales: Mapping[str, float] = attrs.field(factory=dict)
    gradient_norms: Mapping[str, float] = attrs.field(factory=dict)
    underflow: Mapping[str, float] = attrs.field(factory=dict)
    memory_bytes: int
    seconds_left: float | None
    stage: str = ""


class Progress(Protocol):
    """Where the training loop reports to."""

    def update(self, report: ProgressReport) -> None:
        """Show a step; called after every one, and cheap."""

    def message(self, text: str) -> None:
        """Show a line that stays: a checkpoint written, samples saved, a warning."""


def _no_notice() -> str:
    return ""


@contextlib.contextmanager
def show_progress(stream: TextIO | None = None, *, notice: Callable[[], str] = _no_notice) -> Iterator[Progress]:
    """Show progress in the way that suits a stream (stderr unless given): live on a terminal, else as plain lines.

    `notice` is asked again and again for a line that people should see at once, such as that a stop was asked for.
    """
    stream = sys.stderr if stream is None else stream
    show = terminal_progress if stream.isatty() else plain_progress
    with show(stream, notice=notice) as progress:
        yield progress


@contextlib.contextmanager
def terminal_progress(stream: TextIO, *, notice: Callable[[], str] = _no_notice) -> Iterator[Progress]:
    """Show a bar with a line of figures below it, redrawn in place; messages scroll above it."""
    console = Console(file=stream)
    columns = (TextColumn("step"), MofNCompleteColumn(), BarColumn(bar_width=None), TaskProgressColumn())
    bar = Bar(*columns, console=console, expand=True)
    terminal = _Terminal(console, bar, notice)
    live = Live(
        get_renderable=terminal.render,
        console=console,
        refresh_per_second=4,
        redirect_stdout=False,  # through the display's lock: a loader's worker that was forked while it was held would
        redirect_stderr=False,  # wait for it for ever as soon as it printed anything
    )
    with live:
        yield terminal


@contextlib.contextmanager
def plain_progress(
    stream: TextIO,
    *,
    notice: Callable[[], str] = _no_notice,
    interval_s: float = 10.0,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Progress]:
    """Write a line of figures for the first step, the last, and every `interval_s` seconds; no control characters."""
    yield _Plain(stream, notice, interval_s, clock)


class _Terminal:
    def __init__(self, console: Console, bar: Bar, notice: Callable[[], str]) -> None:
        self._console = console
        self._bar = bar
        self._notice = notice
        self._task = bar.add_task("step", total=None)
        self._figures = ""

    def update(self, report: ProgressReport) -> None:
        self._bar.update(self._task, completed=report.step, total=report.total_steps)
        self._figures = figures(report)

    def message(self, text: str) -> None:
        self._console.print(Text(shown(text)))

    def render(self) -> RenderableType:
        return Group(
            self._bar, *(Text(shown(line), overflow="fold") for line in (self._figures, self._notice()) if line)
        )


class _Plain:
    def __init__(
        self, stream: TextIO, notice: Callable[[], str], interval_s: float, clock: Callable[[], float]
    ) -> None:
        self._stream = stream
        self._notice = notice
        self._noticed = ""
        self._interval = interval_s
        self._clock = clock
        self._due = -float("inf")

    def update(self, report: ProgressReport) -> None:
        now = self._clock()
        if now >= self._due or report.step == report.total_steps:
            self._due = now + self._interval
            self.message(f"step {report.step}/{report.total_steps}  {figures(report)}")
        notice = self._notice()
        if notice and notice != self._noticed:
            self._noticed = notice
            self.message(notice)

    def message(self, text: str) -> None:
        print(shown(text), file=self._stream, flush=True)


def figures(report: ProgressReport) -> str:
    """Return everything about a step but its number, in one line."""
    parts = [
        report.stage,
        "  ".join(f"{name} {value:.4g}" for name, value in report.losses.items()),
        f"{report.images_per_second:.3g} images/s",
        f"{report.skipped} skipped" if report.skipped or report.scales else "",
        f"{report.replays} replayed" if report.replays else "",
        " ".join(f"scale {name} {scale:g}" for name, scale in report.scales.items()),
        " ".join(f"gradient {name} {norm:.3g}" for name, norm in report.gradient_norms.items()),
        " ".join(f"underflow {name} {100 * share:.3g}%" for name, share in report.underflow.items()),
        show_bytes(report.memory_bytes),
        "" if report.seconds_left is None else f"{show_duration(report.seconds_left)} left",
    ]
    return " · ".join(part for part in parts if part)


def show_bytes(count: float) -> str:
    """Return a size with a unit: `1.4 GiB`."""
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.3g} {unit}"
        count /= 1024
    return f"{count:.3g} GiB"


def show_duration(seconds: float) -> str:
    """Return a time as `42s`, `3m10s`, `2h05m` or `4d07h`."""
    whole = max(0, round(seconds))
    minutes, hours, days = whole // 60, whole // 3600, whole // 86400
    if days:
        return f"{days}d{hours % 24:02}h"
    if hours:
        return f"{hours}h{minutes % 60:02}m"
    return f"{minutes}m{whole % 60:02}s" if minutes else f"{whole}s"


def memory_in_use(device: str) -> int:
    """Return the bytes that PyTorch holds on a CUDA device, or that this process holds in memory on any other."""
    if device.startswith("cuda"):
        import torch

        return torch.cuda.memory_reserved(device)
    import psutil  # type: ignore[import-untyped]

    return int(psutil.Process().memory_info().rss)


@attrs.frozen
class Pace:
    """How fast work gets done lately: the times, in seconds, at which the last few amounts of it were complete.

    Attributes:
        marks: (time, images done since the start) of the last observations, the oldest first.
    """

    marks: tuple[tuple[float, int], ...] = ()


_MARKS = 30


def observe(pace: Pace, now: float, images: int) -> Pace:
    """Return the pace after `images` more images were complete at time `now`; begin with 0 images."""
    done = pace.marks[-1][1] if pace.marks else 0
    return Pace((*pace.marks[-_MARKS + 1 :], (now, done + images)))


def images_per_second(pace: Pace) -> float:
    """Return the rate over the last observations, 0 while there are fewer than two."""
    if len(pace.marks) < 2:
        return 0.0
    (start, first), (end, last) = pace.marks[0], pace.marks[-1]
    return (last - first) / max(end - start, 1e-9)


def seconds_left(pace: Pace, images_left: int) -> float | None:
    """Return the time that the images still to come need at this pace; None while it is unknown."""
    rate = images_per_second(pace)
    return images_left / rate if rate > 0 else None
