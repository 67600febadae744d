"""Train and evaluate one arm of the accuracy experiment, in a process of its own.

Usage: python tools/bench/accuracy_arm.py RUN --config FILE [--fault-bits N] [--clips N] [--frames N]

Trains by `vs_train` what FILE says into the directory RUN, or goes on with what is there; then rolls the averaged
generator out over held-out clips, as `vs_eval` does, and writes RUN/held-out.json, which marks the arm as finished and
says when this began, of which revision and on which machine. Training that failed on values that are not finite is a
result too: one without scores. The exit status is that of `vs_train`: 0 finished, 2 wrong input, 130 or 143 stopped.
"""

import contextlib
import functools
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import cyclopts
import torch
import torch.nn.functional as F
import vs_nets as nets
from torch import Tensor
from vs_config import Range, load_config, read_toml
from vs_config.commands import run_command
from vs_data import ClipSource, iterate_sequence, open_source
from vs_eval.command import INPUT_ERRORS
from vs_eval.evaluation import COLOUR_FRAMES, ClipPlan, plan_clips, spread_frames, training_colours
from vs_eval.few_shot.evaluation import Setting, begin_video
from vs_eval.few_shot.references import bind_generator, check_counts, reference_frames
from vs_eval.few_shot.scoring import score_subject_frame
from vs_eval.opening import Opened, Request, open_evaluation
from vs_eval.report import summarise
from vs_eval.runs import load_ema
from vs_eval.scoring import (
    ClipScores,
    EvaluationSpec,
    FrameView,
    ScoreFrame,
    evaluate_pieces,
    image_scores,
    score_frame,
)
from vs_metrics import Average, mean_of
from vs_runtime import describe_environment, load_latest, write_atomically
from vs_runtime.run_directory import RunDirectory, is_run
from vs_train import cli
from vs_training.config import TrainConfig, label_spec
from vs_training.networks import build_generators

from vs_bench.accuracy.fault import MOST_BITS, round_mantissa, rounded_weights
from vs_bench.harness import ROOT, Count, option_of

HELD_OUT = "held-out.json"
"""The file that marks an arm as finished."""

REFERENCES = 1
"""How many references a held-out subject is generated from, few-shot."""


class ArmError(Exception):
    """An arm that is not what the experiment takes it for; one line."""


def train_arm(run: RunDirectory, config_file: Path, config: TrainConfig, bits: int | None) -> int:
    """Train, or go on training, by the command line that everybody uses; returns its exit status."""
    where = ["--resume", str(run.path)] if is_run(run.path) else ["--config", str(config_file), "--out", str(run.path)]
    with fault_of(config, bits):
        return cli.main([config.generator.kind, *where])


@contextlib.contextmanager
def fault_of(config: TrainConfig, bits: int | None) -> Iterator[None]:
    """The planted fault for as long as the context lasts; nothing without `bits`."""
    if bits is None:
        yield
        return
    with rounded_weights(list(parameter_shapes(config).values()), bits):
        yield


def parameter_shapes(config: TrainConfig) -> dict[str, torch.Size]:
    """Shapes of the generator's parameters by name, in the order in which its optimizer has them."""
    generator, _ = build_generators(config, label_spec(config.labels, open_source(config.data, "train")))
    return {name: p.shape for name, p in generator.named_parameters()}


def check_planted(names: Sequence[str], weights: Mapping[str, Tensor], bits: int) -> None:
    """See that all of a trained generator's weights are what the fault leaves.

    Raises:
        ArmError: one is not; without its fault the planted arm would say nothing about the experiment.
    """
    for name in names:
        if not torch.equal(round_mantissa(weights[name].cpu(), bits), weights[name].cpu()):
            message = f"the fault was not planted: {name} has more than {bits} bits of mantissa"
            raise ArmError(message)


def evaluate_arm(run: RunDirectory, config: TrainConfig, clips: int | None, frames: int | None) -> dict[str, float]:
    """Name -> score of the averaged generator on held-out clips (see `vs_eval.measures`), and those of the baselines.

    One baseline more than `vs_eval` has is the `mean_frame` of the training data. The generator computes in float32
    here, in whatever it was trained, and sees its own past frames.
    """
    request = Request(run=run.path, out=None, checkpoint=None, device=config.device, clips=clips, frames=frames)
    if config.run.threads:
        torch.set_num_threads(config.run.threads)
    if isinstance(config.generator, nets.FewShotGeneratorConfig):
        scores = _score_subjects(open_evaluation(request, nets.FewShotGeneratorConfig), request)
    else:
        scores = _score_scenes(open_evaluation(request, nets.GeneratorConfig), request)
    return {name: mean_of(average) for name, average in summarise(scores).totals.items() if average.weight > 0}


def _score_scenes(opened: Opened[nets.GeneratorConfig], request: Request) -> list[ClipScores]:
    average = nets.build_ema(opened.generator, label_channels=opened.labels.channels)
    generator = load_ema(average, opened.checkpoint, opened.device)
    kind = nets.class_kind(opened.labels)
    colours = None if kind is None else training_colours(open_source(opened.config.data, "train"), kind)
    past = opened.generator.frames - 1
    spec = EvaluationSpec(labels=opened.labels, past=past, colours=colours, device=opened.device)
    score = beside_mean(score_frame, mean_frame(open_source(opened.config.data, "train")))
    scores = []
    for plan in plan_clips(opened.source, clips=request.clips, frames=request.frames):
        pieces = iterate_sequence(opened.source, plan.sequence, max_frames=plan.frames)
        name = opened.source.sequences[plan.sequence].name
        scores.append(evaluate_pieces(generator, pieces, spec, name=name, score=score))
    return scores


def _score_subjects(opened: Opened[nets.FewShotGeneratorConfig], request: Request) -> list[ClipScores]:
    average = nets.build_ema(opened.generator, label_channels=opened.labels.channels)
    spec = EvaluationSpec(labels=opened.labels, past=opened.generator.frames - 1, device=opened.device)
    bind = bind_generator(load_ema(average, opened.checkpoint, opened.device))
    setting = Setting(bind=bind, source=opened.source, spec=spec, training=None, directory=opened.out)
    plans = plan_clips(opened.source, clips=request.clips, frames=request.frames)
    check_counts((REFERENCES,), [opened.source.sequences[plan.sequence] for plan in plans], request.frames)
    mean = mean_frame(open_source(opened.config.data, "train"))
    return [_score_subject(setting, plan, mean) for plan in plans]


def _score_subject(setting: Setting, plan: ClipPlan, mean: Tensor) -> ClipScores:
    info = setting.source.sequences[plan.sequence]
    references = reference_frames(info.frames, REFERENCES)
    pieces = iterate_sequence(setting.source, plan.sequence, max_frames=plan.frames, references=references)
    generator, pieces = begin_video(setting, pieces)
    score = beside_mean(functools.partial(score_subject_frame, references=references), mean)
    return evaluate_pieces(generator, pieces, setting.spec, name=info.name, score=score)


def mean_frame(source: ClipSource) -> Tensor:
    """The mean (1, 3, H, W) of frames spread evenly over a source: what is known without looking at a label."""
    frames = [clip.frames for clip in spread_frames(source, COLOUR_FRAMES)]
    return torch.cat([_resized(frame, frames[0]) for frame in frames]).mean(dim=0, keepdim=True)


def _resized(frame: Tensor, like: Tensor) -> Tensor:
    """Folders may hold sequences of several sizes."""
    return F.interpolate(frame, size=like.shape[-2:], mode="bilinear")


def beside_mean(score: ScoreFrame, mean: Tensor) -> ScoreFrame:
    """The same scores, and wherever a generated frame has them those of the mean frame."""

    def scored(view: FrameView, before: FrameView | None) -> Mapping[str, Average]:
        found = score(view, before)
        if "psnr/generated" not in found:
            return found
        return {**found, **image_scores("psnr", "ssim", view.real, {"mean_frame": _resized(mean, view.real)})}

    return scored


def run_arm(run: RunDirectory, config_file: Path, bits: int | None, clips: int | None, frames: int | None) -> int:
    """Train, check, evaluate, mark as finished; returns the exit status."""
    config = load_config(TrainConfig, read_toml(config_file), str(config_file))
    measured = {"at": datetime.now(UTC).isoformat(timespec="seconds"), "machine": describe_environment(ROOT)}
    status = train_arm(run, config_file, config, bits)
    if status == cli.EXIT_NON_FINITE:
        _finish(run, {}, measured, diverged=True)
        return 0
    if status:
        return status
    if bits is not None:
        check_planted(list(parameter_shapes(config)), load_latest(run.checkpoints).state["generator"], bits)
    _finish(run, evaluate_arm(run, config, clips, frames), measured, diverged=False)
    return 0


def _finish(run: RunDirectory, scores: Mapping[str, float], measured: Mapping[str, object], *, diverged: bool) -> None:
    content = {"diverged": diverged, "measured": measured, "scores": dict(sorted(scores.items()))}
    write_atomically(run.path / HELD_OUT, json.dumps(content, indent=1, allow_nan=False) + "\n")


Bits = Annotated[int, option_of(Range(kind=int, low=0, high=MOST_BITS))]

app = cyclopts.App(name="accuracy_arm", help=__doc__, suppress_keyboard_interrupt=False)


@app.default
def main(
    run: Path,
    /,
    *,
    config: Path,
    fault_bits: Bits | None = None,
    clips: Count | None = None,
    frames: Count | None = None,
) -> int:
    """Train and evaluate one arm.

    Args:
        run: its run directory.
        config: what to train.
        fault_bits: bits of mantissa that the generator's weights are rounded to; default: no fault.
        clips: how many held-out clips; default: all.
        frames: at most so many frames of each; default: all.
    """
    return run_arm(RunDirectory(run), config, fault_bits, clips, frames)


if __name__ == "__main__":
    sys.exit(run_command(app, ArmError, *INPUT_ERRORS))
