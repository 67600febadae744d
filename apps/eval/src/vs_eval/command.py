"""What the commands that evaluate have in common: roll out, write the report, show its tables."""

import time
from collections.abc import Callable
from pathlib import Path

import attrs
from rich.console import Console
from vs_metrics import ClassColours
from vs_runtime.ranks import Ranks
from vs_synthesis import Model
from vs_training.quality.scoring import EvaluationSpec

from vs_eval.agreement import UNREAD, ReaderPlan, plan_reader, shared_reader, too_few
from vs_eval.facts import with_notices
from vs_eval.opening import ConfigKind, Opened, warn
from vs_eval.parts import Evaluation, write_report
from vs_eval.report import broken_frames
from vs_eval.sharing import agreed, own_share, shared_report, warn_of_idle
from vs_eval.terminal import Advance, say, show_progress, show_tables
from vs_eval.videos import Setting


@attrs.frozen(kw_only=True, eq=False)
class Task:
    """A task: what is to be evaluated.

    Attributes:
        spec: how labels enter it.
        videos: how many sequences are rolled out.
        frames: how many frames each piece of work generates, which one process does as a whole.
        roll_out: rolls out, scores and draws all of them.
        reader: what reads labels in generated frames, if anything is to.
    """

    spec: EvaluationSpec
    videos: int
    frames: tuple[int, ...]
    roll_out: Callable[[Setting, Advance], Evaluation]
    reader: ReaderPlan | None = None


def announce(opened: Opened[ConfigKind], console: Console) -> None:
    """Say what is going to be evaluated, and what goes otherwise than asked for."""
    warn(opened.facts.notices)
    say(console, f"{opened.trained.title}, on {opened.model.device}")


def with_reader(
    opened: Opened[ConfigKind], *, agreement: bool, frames: int
) -> tuple[Opened[ConfigKind], ReaderPlan | None]:
    """Plan the reader of labels, if agreement is to be judged; where it cannot be, that is said before one is trained.

    Args:
        opened: the run or model.
        agreement: whether it is asked for.
        frames: how many generated frames are scored together, at most.
    """
    if not agreement:
        return opened, None
    seen = opened.trained.seen
    few = too_few(opened.model.labels, frames)
    if seen is None or few is not None:
        why = UNREAD if few is None else few
        return attrs.evolve(opened, facts=with_notices(opened.facts, why)), None
    return opened, plan_reader(opened.model.labels, seen)


def evaluation_spec(model: Model, colours: ClassColours | None = None) -> EvaluationSpec:
    """Return how a model is shown clips; `colours`: see `EvaluationSpec`."""
    return EvaluationSpec(labels=model.labels, past=model.config.past, colours=colours, device=model.device)


def write_evaluation(opened: Opened[ConfigKind], task: Task, console: Console, ranks: Ranks) -> Path:
    """Do a task, write its report and show its tables; return the report's directory."""
    facts, began = opened.facts, time.monotonic()
    warn_of_idle(ranks, len(task.frames))
    with shared_report(ranks, opened.out) as draft:
        plan = task.reader
        reading = None if plan is None else shared_reader(plan, opened.out, draft, console, ranks)
        learnt = time.monotonic() - began
        setting = Setting(
            bind=opened.model.generator.bind,
            source=opened.source,
            spec=task.spec,
            directory=draft,
            fps=facts.fps,
            ranks=ranks,
            reading=reading,
            networks=opened.networks,
        )
        own = sum(task.frames[piece] for piece in own_share(ranks, task.frames))
        with show_progress(console, clips=task.videos, frames=own) as advance:
            found = task.roll_out(setting, advance)
        broken = broken_frames(part.report for part in found.parts)
        agreed(ranks, lambda: write_report(found, with_notices(facts, *broken), draft) if ranks.first else None)
    show_evaluation(found, console)
    warn(broken)
    if reading is not None:
        say(console, f"{learnt:.0f} of {time.monotonic() - began:.0f} seconds went to the reader of labels")
    say(console, f"report: {opened.out / 'report.html'}")
    return opened.out


def show_evaluation(found: Evaluation, console: Console) -> None:
    """Print the tables of all parts, and what could not be measured."""
    for part in found.parts:
        if part.title:
            say(console, "")
            say(console, part.title)
        show_tables(part.tables, console)
    for remark in found.remarks:
        say(console, remark)
