"""What a run leaves of its steps: numbers, curves, pictures and checkpoints, and what people see meanwhile."""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import attrs
import vs_optim as optim
import vs_runtime as runtime
from torch import Tensor
from vs_config.progress import Progress
from vs_runtime.metrics_log import MetricsLog
from vs_runtime.ranks import ONE, Ranks
from vs_runtime.run_directory import RunDirectory, open_run, require_folder
from vs_training.config import TrainConfig
from vs_training.saved import state_to_save
from vs_training.shards import whole_average
from vs_training.state import StepReport, TrainState

from vs_train.curves import Curves
from vs_train.figures import Figures, show_figures
from vs_train.numbers import by_letter, named_losses, written
from vs_train.resuming import to_save
from vs_train.samples import curve_picture, roll_out, write_samples
from vs_train.setup import Prepared
from vs_train.trackers import Trackers, open_trackers

SHOWN_LOSSES = ("d_gan", "g_gan", "g_feature_matching", "g_perceptual", "g_flow")


@attrs.frozen(kw_only=True)
class Clock:
    """The part of a step that differs between two runs of the same configuration; the names of `CLOCK_FIELDS`."""

    time: float
    images_per_second: float
    memory_bytes: int
    seconds_left: float | None


@attrs.frozen(kw_only=True, eq=False)
class Files:
    """The files that grow with every step."""

    log: MetricsLog
    curves: Curves
    trackers: Trackers

    def numbers(self, step: int, values: Mapping[str, float]) -> None:
        """Draw numbers as curves.

        Raises:
            OSError, RunDirectoryError: As `Curves.scalars`.
        """
        self.curves.scalars(step, values)
        self.trackers.numbers(step, values)

    def picture(self, step: int, name: str, picture: Tensor) -> None:
        """Show a picture; raises as `Curves.image`."""
        self.curves.image(step, name, picture)
        self.trackers.picture(step, name, picture)


@attrs.frozen(kw_only=True, eq=False)
class Outputs:
    """The files and displays that all of it goes to; of several processes the first one has the files."""

    run: RunDirectory
    progress: Progress
    files: Files | None


@contextlib.contextmanager
def open_outputs(
    run: RunDirectory, progress: Progress, config: TrainConfig, *, step: int, purge: bool, ranks: Ranks = ONE
) -> Iterator[Outputs]:
    """Open the files of a run, to go on after a step.

    Args:
        run: The run, which this process holds.
        progress: What people see.
        config: What is trained.
        step: The last step that counts: lines of later ones are dropped.
        purge: Whether curves may hold later steps, which are to be forgotten.
        ranks: The processes that train together.
    """
    if not ranks.first:
        yield Outputs(run=run, progress=progress, files=None)
        return
    log = MetricsLog(run.metrics)
    log.truncate_after(step)
    with log, Curves(run.tensorboard, resume_after=step if purge else None) as curves:
        trackers = open_trackers(config, run, progress.message)
        try:
            yield Outputs(run=run, progress=progress, files=Files(log=log, curves=curves, trackers=trackers))
        finally:
            trackers.close()


def record(out: Outputs, state: TrainState, report: StepReport, clock: Clock) -> None:
    """Write a step to metrics.jsonl and TensorBoard.

    Raises:
        OSError: It cannot be written.
        RunDirectoryError: A file was removed while it was written to.
    """
    if out.files is None:
        return
    values = written(state, report)
    out.files.log.append(state.step, values, attrs.asdict(clock))
    speed = {"images_per_second": clock.images_per_second, "memory_bytes": clock.memory_bytes}
    out.files.numbers(state.step, {**values, **speed})


def show_step(
    out: Outputs, state: TrainState, report: StepReport, underflow: optim.Pair[float | None], clock: Clock, steps: int
) -> None:
    """Show a step of so many to whoever watches, with the underflow as last measured."""
    losses = named_losses(report.losses)
    figures = Figures(
        losses={name: losses[name] for name in SHOWN_LOSSES if name in losses},
        images_per_second=clock.images_per_second,
        skipped=report.skipped.generator + report.skipped.discriminator,
        replays=report.replays,
        scales={"g": report.scales.generator, "d": report.scales.discriminator} if state.scaling.enabled else {},
        gradient_norms=by_letter(report.gradient_norms),
        underflow=by_letter(underflow),
        memory_bytes=clock.memory_bytes,
        seconds_left=clock.seconds_left,
        stage=f"{report.frames} frame{'s' if report.frames > 1 else ''}",
    )
    out.progress.update(state.step, steps, figures=show_figures(figures))


def sample(out: Outputs, prepared: Prepared, state: TrainState) -> Path | None:
    """Write pictures of the held-out clip as the EMA makes them; return the path of the strip, if it was written."""
    average = whole_average(state.generator_ema, state.ema_shards)
    if out.files is None or average is None:
        return None
    require_folder(out.run.samples)
    frames = roll_out(average, prepared.validation, prepared.recipe)
    fps = prepared.config.run.video_fps
    labels = prepared.recipe.labels
    picture = write_samples(out.run.samples, state.step, prepared.validation, frames, labels=labels, fps=fps)
    out.files.picture(state.step, "generated", curve_picture(frames[-1]))
    return picture


def save(out: Outputs, prepared: Prepared, state: TrainState, *, best: bool = False) -> None:
    """Write a checkpoint that the run can go on from: in a run that is still one, behind its metrics.

    Args:
        out: Where to.
        prepared: What is trained.
        state: What it has learnt.
        best: Write the one that is kept apart as the best; the run does not go on from that.

    Raises:
        RunDirectoryError: The run's directory, or the line of this step, is not there.
    """
    learnt = state_to_save(state)  # of processes that share it, each has a part
    if out.files is None:
        return
    open_run(out.run.path)  # else a checkpoint would be all that there is of a directory that somebody has removed
    require_folder(out.run.checkpoints)
    out.files.log.require(state.step)
    out.files.log.sync()
    out.files.curves.flush()
    saved = to_save(learnt, prepared, out.files.log)
    keep = prepared.config.run.keep_checkpoints
    if best:
        path = runtime.keep_best(out.run.checkpoints, step=state.step, state=saved)
    else:
        path = runtime.save_checkpoint(out.run.checkpoints, step=state.step, state=saved, keep=keep)
    out.progress.message(f"step {state.step}: saved {path}")
