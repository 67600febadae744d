"""A run as a page shows it: everything that its directory holds and that can be read."""

import contextlib
import itertools
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs
import cattrs
from vs_config import ConfigError, DocumentError, read_json, read_text
from vs_runtime import checkpoints_by_step
from vs_runtime.errors import RunDirectoryError
from vs_runtime.run_directory import RunDirectory, open_run, read_environment, read_run_config
from vs_runtime.run_lock import hold_run
from vs_training.config import TrainConfig
from vs_training.quality.course import without_better

from vs_eval.drift.command import MARKER as DRIFT
from vs_eval.errors import VsEvalError
from vs_eval.numerics.opening import MARKER as AUDIT
from vs_eval.output import MARKER
from vs_eval.pages.found import LARGEST, Found, read_found
from vs_eval.pages.history import History, course_of, number, read_history, resumed_at
from vs_eval.report import Table

MANY = 5
"""Notices of one kind that are shown at most."""


@attrs.frozen(kw_only=True)
class FoundAudit:
    """An audit of numerics: its directory, what it says, its tables."""

    directory: Path
    conclusions: tuple[str, ...]
    tables: tuple[Table, ...]


@attrs.frozen(kw_only=True)
class RunView:
    """A run.

    Attributes:
        path: its directory.
        config: its configuration; None: it cannot be read.
        text: the configuration as it stands in the file.
        marker: what environment.json says: times, versions, machine.
        history: what happened in training.
        checkpoints: the steps of those that are there.
        resumed: the first step after each time that it was resumed.
        evaluations: by rising step.
        drifts: over long roll-outs.
        audits: of its numerics.
        running: whether a process is training it now.
        notices: what is damaged, and so not shown.
    """

    path: Path
    config: TrainConfig | None
    text: str
    marker: Mapping[str, Any]
    history: History
    checkpoints: tuple[int, ...]
    resumed: tuple[int, ...]
    evaluations: tuple[Found, ...]
    drifts: tuple[Found, ...]
    audits: tuple[FoundAudit, ...]
    running: bool
    notices: tuple[str, ...]

    @property
    def name(self) -> str:
        """What it is called."""
        return self.path.resolve().name

    @property
    def newest(self) -> Found | None:
        """The evaluation of the latest step."""
        return self.evaluations[-1] if self.evaluations else None

    @property
    def state(self) -> str:
        """Whether it runs, has ended, or was stopped, in words."""
        last, planned = self.history.last, None if self.config is None else self.config.run.steps
        of = "" if planned is None else f" of {planned}"
        if self.running:
            return f"running: step {last}{of}"
        if last == planned:
            return f"finished: {last} steps"
        return f"{'ended by run.patience' if self._is_over() else 'unfinished'}: {last}{of} steps"

    @property
    def took(self) -> str:
        """For how long it was trained, without the time between a stop and going on, in words; empty: nobody knows."""
        times = [(int(line["step"]), number(line.get("time"), math.nan)) for line in self.history.steps]
        pairs = itertools.pairwise((step, time) for step, time in times if math.isfinite(time))
        seconds = sum(max(0.0, after - before) for (_, before), (step, after) in pairs if step not in self.resumed)
        if not seconds:
            return ""
        minutes, hours = seconds / 60, seconds / 3600
        if hours >= 1:
            return f"{hours:.1f} hours"
        return f"{minutes:.0f} minutes" if minutes >= 1 else f"{seconds:.0f} seconds"

    def _is_over(self) -> bool:
        """Whether it got no better for so many validations that it ended with the last one."""
        course = course_of(self.history)
        if self.config is None or not course or course[-1].step != self.history.last:
            return False
        run = self.config.run
        return 0 < run.patience <= without_better(course, run.keep_best)


def look_at_run(path: Path) -> RunView:
    """Read a run; what is damaged in it is left out and said.

    Raises:
        RunDirectoryError: it is none.
    """
    run = open_run(path)
    problems: list[str] = []
    config = _configuration(run, problems)
    marker = read_environment(run)
    history = read_history(run.metrics)
    problems += _first(history.notices)
    times = [str(item.get("time")) for item in marker.get("resumed", ())]
    return RunView(
        path=path,
        config=config,
        text=_text(run.config, problems),
        marker=marker,
        history=history,
        checkpoints=tuple(checkpoints_by_step(run.checkpoints)) if run.checkpoints.is_dir() else (),
        resumed=resumed_at(history, times),
        evaluations=tuple(sorted(_evaluations(run, f"step-*/{MARKER}", problems), key=lambda found: found.step or 0)),
        drifts=tuple(_evaluations(run, f"drift-*/{DRIFT}", problems)),
        audits=tuple(_audits(run, problems)),
        running=_is_held(run),
        notices=tuple(problems),
    )


def _configuration(run: RunDirectory, problems: list[str]) -> TrainConfig | None:
    try:
        return read_run_config(run, TrainConfig)
    except ConfigError as error:
        problems.append(str(error).splitlines()[0])
        return None


def _text(path: Path, problems: list[str]) -> str:
    try:
        return read_text(path)
    except DocumentError as error:
        problems.append(f"{path}: {error.problems[0].message}")
        return ""


def _evaluations(run: RunDirectory, pattern: str, problems: list[str]) -> Iterator[Found]:
    for path in sorted((run.path / "eval").glob(pattern)):
        try:
            yield read_found(path)
        except VsEvalError as error:
            problems.append(str(error))


def _audits(run: RunDirectory, problems: list[str]) -> Iterator[FoundAudit]:
    for path in sorted((run.path / "eval").glob(f"numerics-*/{AUDIT}")):
        try:
            document = read_json(path, max_bytes=LARGEST)
            tables = tuple(cattrs.structure(table, Table) for table in document.get("tables", ()))
            conclusions = tuple(map(str, document.get("conclusions", ())))
            yield FoundAudit(directory=path.parent, conclusions=conclusions, tables=tables)
        except DocumentError as error:
            problems.append(f"{path}: {error.problems[0].message}")
        except (cattrs.BaseValidationError, AttributeError, TypeError, ValueError, KeyError):
            problems.append(f"{path}: is not that of an audit; run it again")


def _is_held(run: RunDirectory) -> bool:
    """Say whether a process trains here; the lock is only tried if a process has left its number in it."""
    with contextlib.suppress(OSError):
        if run.lock.stat().st_size:
            try:
                with hold_run(run):
                    return False
            except RunDirectoryError:
                return True
    return False


def _first(problems: tuple[str, ...]) -> list[str]:
    more = len(problems) - MANY
    return [*problems[:MANY], *([f"and {more} more lines like these"] if more > 0 else [])]
