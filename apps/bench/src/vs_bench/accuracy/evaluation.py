"""The scores of a trained arm: those of the evaluation's report, and the mean frame's on the same frames."""

import json
from collections.abc import Callable
from typing import Any, assert_never

import attrs
import torch
import vs_nets as nets
from vs_data import open_source
from vs_metrics import mean_of
from vs_runtime.run_directory import RunDirectory
from vs_training.config import TrainConfig

from vs_bench.accuracy.mean_frame import MeanFrameScores, mean_frame, score_frame
from vs_bench.accuracy.programs import EVALUATE, run_program
from vs_bench.errors import VsBenchError

REPORT = "held-out"
"""The directory of the report, in that of the run."""


class EvaluationError(VsBenchError):
    """A report that is not what the experiment takes it for; one line."""


@attrs.frozen(kw_only=True)
class HeldOut:
    """The part of the held-out clips that is generated: so many of them, at most so many frames of each; None: all."""

    clips: int | None = None
    frames: int | None = None


@attrs.frozen(kw_only=True)
class Evaluation:
    """The evaluation of generators of a kind.

    Attributes:
        options: of the program, beside those that every kind has.
        uncounted: how many frames a sequence has -> which of them has no score.
    """

    options: tuple[str, ...]
    uncounted: Callable[[int], int]


def evaluation_of(generator: nets.AnyGeneratorConfig) -> Evaluation:
    """Return how a generator is evaluated: without the first frame, or from one reference, which is in the middle."""
    match generator:
        case nets.GeneratorConfig():
            return Evaluation(options=(), uncounted=_the_first)
        case nets.FewShotGeneratorConfig():
            return Evaluation(options=("--references", "1", "--no-drive"), uncounted=_the_middle)
        case _:
            assert_never(generator)


def _the_first(_: int) -> int:
    return 0


def _the_middle(frames: int) -> int:
    return frames // 2


def evaluate(run: RunDirectory, config: TrainConfig, held_out: HeldOut) -> int:
    """Write the report on a run by the command line that everybody uses; return its exit status.

    The EMA of the generator computes in float32 there, whatever was trained in, and sees its own past frames.
    """
    if config.run.threads:  # results must not depend on how many cores there are
        torch.set_num_threads(config.run.threads)
    limits = {"--clips": held_out.clips, "--frames": held_out.frames}
    given = [word for option, value in limits.items() if value is not None for word in (option, str(value))]
    where = [str(run.path), "--out", str(run.path / REPORT), "--device", config.device, "--no-agreement"]
    options = evaluation_of(config.generator).options
    return run_program(EVALUATE, [config.generator.kind, *where, *given, *options])


def read_scores(run: RunDirectory, config: TrainConfig, held_out: HeldOut) -> dict[str, float]:
    """Return name -> score of the report on a run, and of the mean frame of the training data.

    Raises:
        EvaluationError: they were not counted on the same frames.
    """
    document = json.loads((run.path / REPORT / "report.json").read_text("utf-8"))
    (scored,) = document.get("sections", [document])
    mean = score_frame(
        mean_frame(open_source(config.data, "train")),
        open_source(config.data, "val"),
        evaluation_of(config.generator).uncounted,
        clips=held_out.clips,
        frames=held_out.frames,
    )
    _check_same_frames(scored["scores"], mean)
    found = {"psnr/mean_frame": mean.psnr, "ssim/mean_frame": mean.ssim}
    return {
        **{name: score["value"] for name, score in scored["scores"].items()},
        **{name: mean_of(average) for name, average in found.items() if average.weight > 0},
    }


def _check_same_frames(scores: dict[str, Any], mean: MeanFrameScores) -> None:
    generated = scores.get("psnr/generated")  # missing where a frame is not finite
    if generated is not None and generated["weight"] != mean.psnr.weight:
        message = f"{generated['weight']:.0f} frames have a score, and {mean.psnr.weight:.0f} beside the mean frame"
        raise EvaluationError(message)
