"""What `vid2vid` does: check the input, roll out, score, write the report, show its tables."""

import sys
from pathlib import Path
from typing import Literal

import torch
from attrs import frozen
from rich.console import Console
from vs_data import VsDataError, open_source
from vs_metrics import ClassColours, VsMetricsError
from vs_nets import LabelSpec, VsNetsError, class_kind
from vs_ops import VsOpsError
from vs_runtime import LoadedCheckpoint, VsRuntimeError, choose_device, describe_environment
from vs_train.config import TrainConfig, label_spec
from vs_train.config_io import ConfigError
from vs_train.run_directory import RunDirectory, RunDirectoryError, latest_run, open_run, read_run_config

from vs_eval.errors import OptionError, VsEvalError
from vs_eval.evaluation import Facts, evaluate_source, plan_clips, training_colours, write_report
from vs_eval.output import check_output, report_directory
from vs_eval.runs import load_average, read_checkpoint
from vs_eval.scoring import EvaluationSpec
from vs_eval.terminal import say, show_progress, show_report

INPUT_ERRORS = (
    VsEvalError,
    ConfigError,
    RunDirectoryError,
    VsDataError,
    VsMetricsError,
    VsNetsError,
    VsOpsError,
    VsRuntimeError,
    OSError,
)
"""What wrong input raises; everything else is a defect and keeps its stack trace."""


@frozen(kw_only=True)
class Request:
    """What the command line asks for."""

    run: Path | None
    out: Path | None
    checkpoint: int | None
    device: Literal["auto", "cpu", "cuda"]
    clips: int | None
    frames: int | None


def evaluate(request: Request, console: Console) -> Path:
    """Do what the command line asks for; returns the report's directory. All input is checked before it is written."""
    device = choose_device(request.device)
    for option, value in (("--clips", request.clips), ("--frames", request.frames)):
        if value is not None and value < 1:
            raise OptionError(option, f"must be at least 1, got {value}")
    run = latest_run() if request.run is None else open_run(request.run)
    config = read_run_config(run, TrainConfig)
    checkpoint = read_checkpoint(run, request.checkpoint)
    out = request.out or run.path / "eval" / f"step-{checkpoint.step:08d}"
    check_output(out)
    source = open_source(config.data, "val")
    labels = label_spec(config.labels, source)
    generator = load_average(config, labels, checkpoint, device)
    facts = _facts(run, checkpoint, config, device)
    for notice in facts.notices:
        print(f"warning: {notice}", file=sys.stderr)
    say(console, f"{run.path}, step {checkpoint.step}, on {device}")
    colours = _class_colours(config, labels, console)
    spec = EvaluationSpec(labels=labels, past=config.generator.frames - 1, colours=colours, device=device)
    plans = plan_clips(source, clips=request.clips, frames=request.frames)
    with report_directory(out) as draft:
        with show_progress(console, clips=len(plans), frames=sum(plan.frames for plan in plans)) as advance:
            report, files = evaluate_source(generator, source, plans, spec, draft, advance, fps=facts.fps)
        write_report(report, files, facts, draft)
    show_report(report, console)
    say(console, f"report: {out / 'report.html'}")
    return out


def _class_colours(config: TrainConfig, labels: LabelSpec, console: Console) -> ClassColours | None:
    kind = class_kind(labels)
    if kind is None:
        return None
    say(console, f"baseline: mean colour of each of {kind.classes} classes in training frames")
    return training_colours(open_source(config.data, "train"), kind)


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
