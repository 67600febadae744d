"""Train and evaluate one arm of the accuracy experiment, in a process of its own.

Usage: python -m vs_bench.accuracy.arm RUN --config FILE [--fault-bits N] [--clips N] [--frames N]

Trains by `vs_train` what FILE says into the directory RUN, or goes on with what is there; then lets `vs_eval` roll the
EMA of the generator out over held-out clips into RUN/held-out/, and writes its scores to RUN/held-out.json, which marks
the arm as finished and says when this began, of which revision and on which machine. Training that failed on values
that are not finite is a result too: one without scores. The exit status is that of the program that did not finish
(2 wrong input, 130 or 143 stopped), or 0.
"""

import contextlib
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import cyclopts
import torch
from torch import Tensor
from vs_config import Range, load_config, read_toml
from vs_config.commands import option_of, run_command
from vs_data import open_source
from vs_runtime import describe_environment, load_latest, write_atomically
from vs_runtime.run_directory import RunDirectory, is_run
from vs_training.config import TrainConfig, label_spec
from vs_training.networks import build_generators

from vs_bench.accuracy.evaluation import HeldOut, evaluate, read_scores
from vs_bench.accuracy.fault import MAX_BITS, round_mantissa, rounded_weights
from vs_bench.accuracy.programs import DIVERGED, TRAIN, run_program
from vs_bench.errors import INPUT_ERRORS, VsBenchError
from vs_bench.options import Count
from vs_bench.results import ROOT

HELD_OUT = "held-out.json"
"""The file that marks an arm as finished."""


class ArmError(VsBenchError):
    """An arm that is not what the experiment takes it for; one line."""


def train_arm(run: RunDirectory, config_file: Path, config: TrainConfig, bits: int | None) -> int:
    """Train, or go on training, by the command line that everybody uses; return its exit status."""
    where = ["--resume", str(run.path)] if is_run(run.path) else ["--config", str(config_file), "--out", str(run.path)]
    with fault_of(config, bits):
        return run_program(TRAIN, [config.generator.kind, *where])


@contextlib.contextmanager
def fault_of(config: TrainConfig, bits: int | None) -> Iterator[None]:
    """Plant the fault for as long as the context lasts; nothing without `bits`."""
    if bits is None:
        yield
        return
    with rounded_weights(list(parameter_shapes(config).values()), bits):
        yield


def parameter_shapes(config: TrainConfig) -> dict[str, torch.Size]:
    """Return shapes of the generator's parameters by name, in the order in which its optimizer has them."""
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


def run_arm(run: RunDirectory, config_file: Path, bits: int | None, held_out: HeldOut) -> int:
    """Train, check, evaluate, mark as finished; return the exit status."""
    config = load_config(TrainConfig, read_toml(config_file), str(config_file))
    measured = {"at": datetime.now(UTC).isoformat(timespec="seconds"), "machine": describe_environment(ROOT)}
    trained = train_arm(run, config_file, config, bits)
    if trained == DIVERGED:
        _finish(run, {}, measured, diverged=True)
        return 0
    if trained:
        return trained
    if bits is not None:
        check_planted(list(parameter_shapes(config)), load_latest(run.checkpoints).state["generator"], bits)
    if evaluated := evaluate(run, config, held_out):
        return evaluated
    _finish(run, read_scores(run, config, held_out), measured, diverged=False)
    return 0


def _finish(run: RunDirectory, scores: Mapping[str, float], measured: Mapping[str, object], *, diverged: bool) -> None:
    content = {"diverged": diverged, "measured": measured, "scores": dict(sorted(scores.items()))}
    write_atomically(run.path / HELD_OUT, json.dumps(content, indent=1, allow_nan=False) + "\n")


Bits = Annotated[int, option_of(Range(kind=int, low=0, high=MAX_BITS))]

app = cyclopts.App(name="accuracy-arm", help=__doc__)


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
    return run_arm(RunDirectory(run), config, fault_bits, HeldOut(clips=clips, frames=frames))


if __name__ == "__main__":
    sys.exit(run_command(app, *INPUT_ERRORS))
