"""The command line: `python -m vs_eval vid2vid [RUN]`."""

import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import NoReturn

import torch
from attrs import frozen
from cyclopts import App, CycloptsError
from rich.console import Console
from vs_data import VsDataError, open_source
from vs_nets import VsNetsError
from vs_runtime import LoadedCheckpoint, describe_environment
from vs_train.config import TrainConfig, label_spec
from vs_train.config_io import ConfigError  # type: ignore[attr-defined]
from vs_train.run_directory import RunDirectory, RunDirectoryError, read_run_config  # type: ignore[attr-defined]

import vs_eval
from vs_eval.errors import OptionError, VsEvalError
from vs_eval.evaluation import Facts, evaluate_source, plan_clips, training_colours, write_report
from vs_eval.output import check_output, report_directory
from vs_eval.runs import choose_device, find_run, load_average, read_checkpoint
from vs_eval.scoring import EvaluationSpec, class_kind
from vs_eval.terminal import open_console, say, show_progress, show_report

app = App(
    name="vs-eval",
    help="Evaluate a trained generator on held-out clips.",
    version=vs_eval.__version__,
    help_flags=["--help", "-h"],
)

INPUT_ERRORS = (VsEvalError, ConfigError, RunDirectoryError, VsDataError, VsNetsError)
"""What wrong input raises; everything else is a defect and keeps its stack trace."""


@frozen(kw_only=True)
class Request:
    """What the command line asks for."""

    run: Path | None
    out: Path | None
    checkpoint: int | None
    device: str
    clips: int | None
    frames: int | None


@app.command
def vid2vid(
    run: Path | None = None,
    *,
    out: Path | None = None,
    checkpoint: int | None = None,
    device: str = "auto",
    clips: int | None = None,
    frames: int | None = None,
) -> None:
    """Roll the averaged generator of a run over whole held-out clips; write videos, pictures, scores and a page.

    Args:
        run: The run directory; default: the run below ./runs that wrote a checkpoint last.
        out: Where the report goes; default: RUN/eval/step-XXXXXXXX. A report that is there is replaced.
        checkpoint: Training step of the checkpoint; default: the newest one that is intact.
        device: auto (a GPU where there is one), cpu, cuda or cuda:N.
        clips: How many held-out clips; default: all of them.
        frames: At most so many frames of each clip; default: all of them.
    """
    request = Request(run=run, out=out, checkpoint=checkpoint, device=device, clips=clips, frames=frames)
    evaluate(request, open_console())


def evaluate(request: Request, console: Console) -> Path:
    """Do what the command line asks for; returns the report's directory. All input is checked before it is written."""
    device = choose_device(request.device)
    for option, value in (("--clips", request.clips), ("--frames", request.frames)):
        if value is not None and value < 1:
            raise OptionError(option, f"must be at least 1, got {value}")
    run = find_run(request.run)
    config = read_run_config(run, TrainConfig)
    checkpoint = read_checkpoint(run, request.checkpoint)
    out = request.out or run.path / "eval" / f"step-{checkpoint.step:08d}"
    check_output(out)
    source = open_source(config.data, "val")
    labels = label_spec(config.labels, source.class_counts)
    generator = load_average(config, labels, checkpoint, device)
    facts = _facts(run, checkpoint, config, device)
    for notice in facts.notices:
        print(f"warning: {notice}", file=sys.stderr)
    say(console, f"{run.path}, step {checkpoint.step}, on {device}")
    kind = class_kind(labels)
    colours = None if kind is None else training_colours(open_source(config.data, "train"), kind)
    spec = EvaluationSpec(labels=labels, past=config.generator.frames - 1, colours=colours, device=device)
    plans = plan_clips(source, clips=request.clips, frames=request.frames)
    with report_directory(out) as draft:
        with show_progress(console, clips=len(plans), frames=sum(plan.frames for plan in plans)) as advance:
            report, files = evaluate_source(generator, source, plans, spec, draft, advance, fps=facts.fps)
        write_report(report, files, facts, draft)
    show_report(report, console)
    say(console, f"report: {out / 'report.html'}")
    return out


def _facts(run: RunDirectory, checkpoint: LoadedCheckpoint, config: TrainConfig, device: torch.device) -> Facts:
    return Facts(
        run=str(run.path),
        config=str(run.config),
        checkpoint=str(checkpoint.path),
        step=checkpoint.step,
        device=str(device),
        weights="average of the generator (EMA)",
        data=config.data.kind,
        fps=float(config.run.video_fps),
        environment=describe_environment(),
        notices=tuple(
            f"{path.name} is damaged ({why}); step {checkpoint.step} is used instead"
            for path, why in checkpoint.skipped
        ),
    )


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line; exit status 2 and one line on stderr for wrong input, 130 or 143 when stopped."""
    signal.signal(signal.SIGTERM, _stop)
    try:
        app(arguments, print_error=False, exit_on_error=False, result_action="return_value")
    except INPUT_ERRORS as error:
        _fail(str(error))
    except CycloptsError as error:
        _fail(" ".join(str(error).split()))
    except KeyboardInterrupt:
        print("stopped; nothing was written", file=sys.stderr)
        raise SystemExit(130) from None
    raise SystemExit(0)


def _stop(number: int, _: FrameType | None) -> NoReturn:
    """Leave by an exception, so that whatever has been begun is cleaned up."""
    raise SystemExit(128 + number)


def _fail(message: str) -> NoReturn:
    for line in message.splitlines():
        print(f"error: {line}", file=sys.stderr)
    raise SystemExit(2)
