"""What the commands that evaluate have in common: roll out, write the report, show its tables."""

from collections.abc import Callable
from pathlib import Path

import attrs
import vs_nets as nets
from rich.console import Console
from vs_config import ConfigError
from vs_data import VsDataError
from vs_metrics import ClassColours, VsMetricsError
from vs_ops import VsOpsError
from vs_optim import VsOptimError
from vs_runtime import VsRuntimeError
from vs_synthesis import Model, VsSynthesisError
from vs_training.errors import VsTrainingError

from vs_eval.errors import VsEvalError
from vs_eval.facts import with_notices
from vs_eval.opening import ConfigKind, Opened, warn
from vs_eval.output import report_directory
from vs_eval.parts import Evaluation, write_report
from vs_eval.report import broken_frames
from vs_eval.scoring import EvaluationSpec
from vs_eval.terminal import Advance, say, show_progress, show_tables
from vs_eval.videos import Setting

INPUT_ERRORS = (
    VsEvalError,
    ConfigError,
    VsDataError,
    VsMetricsError,
    nets.VsNetsError,
    VsOpsError,
    VsOptimError,
    VsRuntimeError,
    VsSynthesisError,
    VsTrainingError,
    OSError,
)
"""What wrong input raises; everything else is a defect and keeps its stack trace."""


@attrs.frozen(kw_only=True, eq=False)
class Task:
    """A task: what is to be evaluated.

    Attributes:
        spec: how labels enter it.
        videos: how many sequences are rolled out.
        frames: how many frames are generated in all.
        roll_out: rolls out, scores and draws all of them.
    """

    spec: EvaluationSpec
    videos: int
    frames: int
    roll_out: Callable[[Setting, Advance], Evaluation]


def announce(opened: Opened[ConfigKind], console: Console) -> None:
    """Say what is going to be evaluated, and what goes otherwise than asked for."""
    warn(opened.facts.notices)
    say(console, f"{opened.trained.title}, on {opened.model.device}")


def evaluation_spec(model: Model, colours: ClassColours | None = None) -> EvaluationSpec:
    """Return how a model is shown clips; `colours`: see `EvaluationSpec`."""
    return EvaluationSpec(labels=model.labels, past=model.config.past, colours=colours, device=model.device)


def write_evaluation(opened: Opened[ConfigKind], task: Task, console: Console) -> Path:
    """Do a task, write its report and show its tables; return the report's directory."""
    facts = opened.facts
    with report_directory(opened.out) as draft:
        bind = opened.model.generator.bind
        setting = Setting(bind=bind, source=opened.source, spec=task.spec, directory=draft, fps=facts.fps)
        with show_progress(console, clips=task.videos, frames=task.frames) as advance:
            found = task.roll_out(setting, advance)
        broken = broken_frames(part.report for part in found.parts)
        write_report(found, with_notices(facts, *broken), draft)
    show_evaluation(found, console)
    warn(broken)
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
