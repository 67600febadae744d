"""How far long work has come: a live display on a terminal, plain lines in a pipe or a log file."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import IO, Protocol

import attrs
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from vs_config.amounts import show_duration
from vs_config.text import shown

_MARKS = 30
"""Observations that a pace remembers."""

_MARK_SECONDS = 0.5
"""Between the observations of a display's own pace: updates may come by the thousand."""


class Progress(Protocol):
    """The place that long work reports to."""

    def update(self, done: int, total: int | None = None, *, what: str = "", figures: str = "", unit: str = "") -> None:
        """Show how far the work has come; called often, and cheap.

        Args:
            done: What is done in all.
            total: What there is to do; None where nobody knows.
            what: What is being done from now on, if that is something else than before.
            figures: What else there is to say now; unless given, the rate and an estimate of the time left.
            unit: What it is counted in from now on, if that is something else than before.
        """

    def message(self, text: str) -> None:
        """Show a line that stays: something was written, a warning."""


def _no_notice() -> str:
    return ""


@contextlib.contextmanager
def show_progress(
    what: str,
    *,
    unit: str = "",
    stream: IO[str] | None = None,
    notice: Callable[[], str] = _no_notice,
    keep: bool = False,
    at_once: bool = False,
    interval_s: float = 10.0,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Progress]:
    """Show progress in the way that suits a stream: live on a terminal, else as plain lines without control characters.

    A plain line is written every `interval_s` seconds, and when something else begins to be done.

    Args:
        what: What is being done, or counted: `checking`, `step`.
        unit: What the work is counted in: `frames`. There is a rate only where that is said.
        stream: Where to; stderr unless given.
        notice: Asked again and again for a line that people should see at once, such as that a stop was asked for.
        keep: Leave the last state of a live display on the terminal.
        at_once: Write a plain line for the first update and the last one as well.
        interval_s: Seconds between plain lines.
        clock: Tells the time in seconds.
    """
    stream = sys.stderr if stream is None else stream
    work = _Work(what=what, unit=unit, clock=clock, began=clock())
    if not stream.isatty():
        first = -float("inf") if at_once else clock() + interval_s
        yield _Lines(work=work, stream=stream, notice=notice, at_once=at_once, interval=interval_s, due=first)
        return
    display = _Display(work=work, console=Console(file=stream), notice=notice)
    live = Live(
        get_renderable=display.render,
        console=display.console,
        refresh_per_second=4,
        transient=not keep,
        redirect_stdout=False,  # through the display's lock: a loader's worker that was forked while it was held would
        redirect_stderr=False,  # wait for it for ever as soon as it printed anything
    )
    with live:
        yield display


@attrs.frozen
class Pace:
    """The pace of work lately: the times, in seconds, at which the last few amounts of it were complete.

    Attributes:
        marks: (time, amount done since the start) of the last observations, the oldest first.
    """

    marks: tuple[tuple[float, int], ...] = ()


def observe(pace: Pace, now: float, amount: int) -> Pace:
    """Return the pace after `amount` more was complete at time `now`; begin with 0."""
    done = pace.marks[-1][1] if pace.marks else 0
    return Pace((*pace.marks[-_MARKS + 1 :], (now, done + amount)))


def per_second(pace: Pace) -> float:
    """Return the rate over the last observations, 0 while there are fewer than two."""
    if len(pace.marks) < 2:
        return 0.0
    (start, first), (end, last) = pace.marks[0], pace.marks[-1]
    return (last - first) / max(end - start, 1e-9)


def seconds_left(pace: Pace, amount_left: int) -> float | None:
    """Return the time that the rest of the work needs at this pace; None while it is unknown."""
    rate = per_second(pace)
    return amount_left / rate if rate > 0 else None


@attrs.define(kw_only=True)
class _Work:
    """The state of some work, in words."""

    what: str
    unit: str
    clock: Callable[[], float]
    began: float
    done: int = 0
    total: int | None = None
    given: str = ""
    pace: Pace = attrs.field(default=attrs.Factory(lambda self: Pace(((self.began, 0),)), takes_self=True))

    def note(self, done: int, total: int | None, what: str, figures: str, unit: str) -> None:
        now = self.clock()
        if unit not in ("", self.unit):
            self.unit, self.pace = unit, Pace(((now, 0),))
        self.done, self.total, self.given = done, total, figures
        self.what = what or self.what
        time_before, done_before = self.pace.marks[-1]
        if now >= time_before + _MARK_SECONDS:
            self.pace = observe(self.pace, now, done - done_before)

    @property
    def heading(self) -> str:
        return self.what if self.total is None else f"{self.what} {self.done}/{self.total} {self.unit}".rstrip()

    @property
    def figures(self) -> str:
        if self.given:
            return self.given
        if self.total is None:
            return show_duration(self.clock() - self.began)
        left = seconds_left(self.pace, self.total - self.done)
        rate = f"{per_second(self.pace):.3g} {self.unit}/s" if self.unit and left is not None else ""
        return " · ".join(part for part in (rate, "" if left is None else f"{show_duration(left)} left") if part)


@attrs.define(kw_only=True)
class _Display:
    """A bar with a line of figures below it, redrawn in place; messages scroll above it."""

    work: _Work
    console: Console
    notice: Callable[[], str]

    def update(self, done: int, total: int | None = None, *, what: str = "", figures: str = "", unit: str = "") -> None:
        self.work.note(done, total, what, figures, unit)

    def message(self, text: str) -> None:
        self.console.print(Text(shown(text)))

    def render(self) -> RenderableType:
        lines = (Text(shown(line), overflow="fold") for line in (self.work.figures, self.notice()) if line)
        return Group(self._bar(), *lines)

    def _bar(self) -> RenderableType:
        done, total = self.work.done, self.work.total
        bar = Table.grid(expand=True, padding=(0, 1))
        bar.add_column(no_wrap=True)
        bar.add_column(ratio=1)
        bar.add_column(no_wrap=True)
        known = "" if total is None else f"{100 * done / max(total, 1):3.0f}%"
        bar.add_row(Text(shown(self.work.heading)), ProgressBar(total, done, pulse=total is None), known)
        return bar


@attrs.define(kw_only=True)
class _Lines:
    """A line now and then."""

    work: _Work
    stream: IO[str]
    notice: Callable[[], str]
    at_once: bool
    interval: float
    due: float
    noticed: str = ""

    def update(self, done: int, total: int | None = None, *, what: str = "", figures: str = "", unit: str = "") -> None:
        begins = what not in ("", self.work.what)
        self.work.note(done, total, what, figures, unit)
        now = self.work.clock()
        if begins or now >= self.due or (self.at_once and done == total):
            self.due = now + self.interval
            self.message(what if begins else f"{self.work.heading}  {self.work.figures}".rstrip())
        notice = self.notice()
        if notice not in ("", self.noticed):
            self.noticed = notice
            self.message(notice)

    def message(self, text: str) -> None:
        print(shown(text), file=self.stream, flush=True)
