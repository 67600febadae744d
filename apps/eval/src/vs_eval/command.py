"""What `vid2vid` does: check the input, roll out, score, write the report, show its tables."""

from pathlib import Path

import attrs
from rich.console import Console
from vs_config.resolve import ConfigError
from vs_data import VsDataError, open_source
from vs_metrics import ClassColours, VsMetricsError
from vs_nets import GeneratorConfig, LabelSpec, VsNetsError, build_ema, class_kind
from vs_ops import VsOpsError
from vs_runtime import VsRuntimeError
from vs_training.config import TrainConfig

from vs_eval.errors import VsEvalError
from vs_eval.evaluation import evaluate_source, plan_clips, training_colours, write_report
from vs_eval.opening import Request, open_evaluation, warn
from vs_eval.output import report_directory
from vs_eval.report import broken_frames
from vs_eval.runs import load_ema
from vs_eval.scoring import EvaluationSpec
from vs_eval.terminal import say, show_progress, show_report

INPUT_ERRORS = (
    VsEvalError,
    ConfigError,
    VsDataError,
    VsMetricsError,
    VsNetsError,
    VsOpsError,
    VsRuntimeError,
    OSError,
)
"""What wrong input raises; everything else is a defect and keeps its stack trace."""


def evaluate(request: Request, console: Console) -> Path:
    """Do what the command line asks for; returns the report's directory. All input is checked before it is written."""
    opened = open_evaluation(request, GeneratorConfig)
    source, labels, device, facts = opened.source, opened.labels, opened.device, opened.facts
    average = build_ema(opened.generator, label_channels=labels.channels)
    generator = load_ema(average, opened.checkpoint, device)
    warn(facts.notices)
    say(console, f"{opened.run.path}, step {opened.checkpoint.step}, on {device}")
    colours = _class_colours(opened.config, labels, console)
    spec = EvaluationSpec(labels=labels, past=opened.generator.frames - 1, colours=colours, device=device)
    plans = plan_clips(source, clips=request.clips, frames=request.frames)
    with report_directory(opened.out) as draft:
        with show_progress(console, clips=len(plans), frames=sum(plan.frames for plan in plans)) as advance:
            report, files = evaluate_source(generator, source, plans, spec, draft, advance, fps=facts.fps)
        broken = broken_frames([report])
        write_report(report, files, attrs.evolve(facts, notices=(*facts.notices, *broken)), draft)
    show_report(report, console)
    warn(broken)
    say(console, f"report: {opened.out / 'report.html'}")
    return opened.out


def _class_colours(config: TrainConfig, labels: LabelSpec, console: Console) -> ClassColours | None:
    kind = class_kind(labels)
    if kind is None:
        return None
    say(console, f"baseline: mean colour of each of {kind.classes} classes in training frames")
    return training_colours(open_source(config.data, "train"), kind)
