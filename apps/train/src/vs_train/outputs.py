"""What a run leaves of its steps: numbers, curves, pictures and checkpoints, and what people see meanwhile."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import attrs
import vs_optim as optim
import vs_runtime as runtime
from vs_config.progress import Progress
from vs_runtime.metrics_log import MetricsLog
from vs_runtime.run_directory import RunDirectory, open_run, require_folder
from vs_training.divergence import require_finite
from vs_training.state import StepReport, TrainState

from vs_train.curves import Curves
from vs_train.figures import Figures, show_figures
from vs_train.numbers import by_letter, named_losses, written
from vs_train.resuming import to_save
from vs_train.samples import curve_picture, roll_out, write_samples
from vs_train.setup import Prepared

SHOWN_LOSSES = ("d_gan", "g_gan", "g_feature_matching", "g_perceptual", "g_flow")


@attrs.frozen(kw_only=True)
class Clock:
    """The part of a step that differs between two runs of the same configuration; the names of `CLOCK_FIELDS`."""

    time: float
    images_per_second: float
    memory_bytes: int
    seconds_left: float | None


@attrs.frozen(kw_only=True, eq=False)
class Outputs:
    """The files and displays that all of it goes to."""

    run: RunDirectory
    log: MetricsLog
    curves: Curves
    progress: Progress


@contextlib.contextmanager
def open_outputs(run: RunDirectory, progress: Progress, *, step: int, purge: bool) -> Iterator[Outputs]:
    """Open the files of a run, to go on after a step.

    Args:
        run: The run, which this process holds.
        progress: What people see.
        step: The last step that counts: lines of later ones are dropped.
        purge: Whether curves may hold later steps, which are to be forgotten.
    """
    log = MetricsLog(run.metrics)
    log.truncate_after(step)
    with log, Curves(run.tensorboard, resume_after=step if purge else None) as curves:
        yield Outputs(run=run, log=log, curves=curves, progress=progress)


def record(out: Outputs, state: TrainState, report: StepReport, clock: Clock) -> None:
    """Write a step to metrics.jsonl and TensorBoard.

    Raises:
        OSError: It cannot be written.
        RunDirectoryError: A file was removed while it was written to.
    """
    values = written(state, report)
    out.log.append(state.step, values, attrs.asdict(clock))
    speed = {"images_per_second": clock.images_per_second, "memory_bytes": clock.memory_bytes}
    out.curves.scalars(state.step, {**values, **speed})


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


def sample(out: Outputs, prepared: Prepared, state: TrainState) -> Path:
    """Write pictures of the held-out clip as the EMA makes them; return the path of the strip."""
    require_folder(out.run.samples)
    frames = roll_out(state.generator_ema, prepared.validation, prepared.recipe)
    fps = prepared.config.run.video_fps
    labels = prepared.recipe.labels
    picture = write_samples(out.run.samples, state.step, prepared.validation, frames, labels=labels, fps=fps)
    out.curves.image(state.step, "generated", curve_picture(frames[-1]))
    return picture


def save(out: Outputs, prepared: Prepared, state: TrainState) -> None:
    """Write a checkpoint that the run can go on from: finite, in a run that is still one, behind its metrics.

    Raises:
        NonFiniteError: The state is not finite.
        RunDirectoryError: The run's directory, or the line of this step, is not there.
    """
    require_finite(state)
    open_run(out.run.path)  # else a checkpoint would be all that there is of a directory that somebody has removed
    require_folder(out.run.checkpoints)
    out.log.require(state.step)
    out.log.sync()
    out.curves.flush()
    saved = to_save(state, prepared, out.log)
    keep = prepared.config.run.keep_checkpoints
    path = runtime.save_checkpoint(out.run.checkpoints, step=state.step, state=saved, keep=keep)
    out.progress.message(f"step {state.step}: saved {path}")
