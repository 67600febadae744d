"""The loop: batches in, steps, metrics, pictures and checkpoints out."""

import functools
import time
from collections.abc import Mapping
from pathlib import Path

import attrs
import torch
import vs_data as data
import vs_optim as optim
import vs_runtime as runtime

from vs_train.config import TrainConfig, clip_length, images_between, reference_count
from vs_train.config_fixed import fixed_part
from vs_train.config_io import render_config
from vs_train.errors import NonFiniteError, VsTrainError
from vs_train.left_out import tell_left_out
from vs_train.metrics_log import Curves, MetricsLog
from vs_train.progress import (
    Pace,
    Progress,
    ProgressReport,
    images_per_second,
    memory_in_use,
    observe,
    seconds_left,
)
from vs_train.recovery import check_state, data_seed, may_roll_back, roll_back, with_advice
from vs_train.resuming import resume_state, to_save
from vs_train.run_directory import (
    RunDirectory,
    begin_writing,
    create_run,
    hold_run,
    record_resume,
    require_folder,
)
from vs_train.samples import curve_picture, roll_out, write_samples
from vs_train.setup import Prepared, prepare
from vs_train.signals import StopRequest
from vs_train.step import StepReport, TrainState, train_clip

SHOWN_LOSSES = ("d_gan", "g_gan", "g_feature_matching", "g_perceptual", "g_flow")


@attrs.frozen(kw_only=True)
class TrainResult:
    """How training ended.

    Attributes:
        step: steps done in all.
        finished: whether that is all that the configuration asks for.
        checkpoint: the newest checkpoint.
        picture: the newest strip of pictures, if this call wrote one.
        seconds: how long this call trained.
    """

    step: int
    finished: bool
    checkpoint: Path
    picture: Path | None
    seconds: float


@attrs.frozen(kw_only=True)
class _Clock:
    """What of a step differs between two runs of the same configuration; the names of `CLOCK_FIELDS`."""

    time: float
    images_per_second: float
    memory_bytes: int
    seconds_left: float | None


@attrs.frozen(kw_only=True, eq=False)
class _Outputs:
    run: RunDirectory
    log: MetricsLog
    curves: Curves
    progress: Progress


def train(
    config: TrainConfig, run: RunDirectory, *, resume: bool, progress: Progress, stop: StopRequest
) -> TrainResult:
    """Train until `config.run.steps`, or until `stop` asks to stop; either way the last thing written is a checkpoint.

    A new run's directory is made only after everything that can be wrong with the input has been checked. With
    `resume` it goes on from the newest intact checkpoint, or anew if there is none yet.

    Raises:
        NonFiniteError: training has diverged, and is not to go back to a checkpoint, or has done so often enough.
        NoCheckpoint: there are checkpoints to resume from, and all of them are damaged.
        RunDirectoryError: another process trains in `run`.
        VsTrainError: the device's memory is too small, or the run has more steps behind it than asked for.
    """
    try:
        return _train(config, run, resume=resume, progress=progress, stop=stop)
    except torch.OutOfMemoryError as error:
        go_on = f" and go on with --resume {run.path}" if run.path.exists() else ""
        raise VsTrainError(
            f"the GPU's memory is too small: choose memory.checkpoint=blocks (or all){go_on}, or start a run with "
            "a smaller loader.batch_size, curriculum.max_length or data.height and data.width"
        ) from error


def _train(
    config: TrainConfig, run: RunDirectory, *, resume: bool, progress: Progress, stop: StopRequest
) -> TrainResult:
    prepared = prepare(config, check=config.run.check_data and not resume, watch=progress.message)
    for note in (*prepared.notes, *runtime.apply_affinity(prepared.plan, threads=config.run.threads or None)[-1:]):
        progress.message(note)
    environment = runtime.describe_environment()
    if not resume:
        create_run(run, config=render_config(config), environment=environment, fixed=fixed_part(config))
    with hold_run(run) as claim:
        state = resume_state(run, prepared, progress.message) if resume else prepared.state
        claim()  # from here on things are written
        begin_writing(run)
        if resume:
            record_resume(run, config=render_config(config), environment=environment)
        while True:
            try:
                return _train_from(prepared, state, run, progress, stop, purge=resume)
            except NonFiniteError as error:
                failure = error.with_traceback(None)  # which would keep the loader's workers
            if not may_roll_back(config, state.roll_backs):
                raise with_advice(failure, config, run, state.roll_backs)
            state, place = roll_back(prepared, run, state.roll_backs + 1)
            count = f"roll-back {state.roll_backs} of {config.run.max_roll_backs}"
            progress.message(f"{failure}; {count}: going on from {place} with other clips")
            resume = True


def _train_from(
    prepared: Prepared, state: TrainState, run: RunDirectory, progress: Progress, stop: StopRequest, *, purge: bool
) -> TrainResult:
    """Train from `state` on; what the run's records say of later steps is dropped."""
    log = MetricsLog(run.metrics)
    log.truncate_after(state.step)
    with log, Curves(run.tensorboard, resume_after=state.step if purge else None) as curves:
        return _loop(prepared, state, _Outputs(run=run, log=log, curves=curves, progress=progress), stop)


def _loop(prepared: Prepared, state: TrainState, out: _Outputs, stop: StopRequest) -> TrainResult:
    config = prepared.config
    started, first = time.monotonic(), state.step
    pace = observe(Pace(), started, 0)
    picture: Path | None = None
    underflow: dict[str, float] = {}  # as last measured
    batches = data.load_clips(
        prepared.source,
        config.loader,
        seed=data_seed(config, state.roll_backs),
        length_of=functools.partial(clip_length, config.curriculum),
        references_of=functools.partial(reference_count, config.references, config.seed),
        start=state.step,
        stop=config.run.steps,
        pin_memory=prepared.recipe.device.type == "cuda",
        worker_init=runtime.worker_init(prepared.plan),
    )
    images_left = images_between(config.curriculum, state.step, config.run.steps)
    for clip in batches:
        tell_left_out(out.progress.message, config.curriculum, prepared.source.sequences, state.step, first)
        _set_learning_rates(state, config)
        state, report = train_clip(state, data.move(clip, prepared.recipe.device), prepared.recipe)
        images_left -= report.frames
        pace = observe(pace, time.monotonic(), report.frames * config.loader.batch_size)
        left = seconds_left(pace, images_left * config.loader.batch_size)
        underflow = {**underflow, **report.underflow}
        clock = _Clock(
            time=time.time(),
            images_per_second=images_per_second(pace),
            memory_bytes=memory_in_use(prepared.recipe.device.type),
            seconds_left=left,
        )
        _record(out, state, report, clock)
        out.progress.update(_progress(config, state, report, underflow, clock))
        finished = state.step == config.run.steps
        if state.step % config.run.sample_every == 0 or finished:
            picture = _sample(prepared, state, out)
        if state.step % config.run.checkpoint_every == 0 or finished or stop.requested is not None:
            _save(state, prepared, out)
        if stop.requested is not None:
            break
    return TrainResult(
        step=state.step,
        finished=state.step >= config.run.steps,
        checkpoint=out.run.checkpoints / f"step-{state.step:08d}",
        picture=picture,
        seconds=time.monotonic() - started,
    )


def _set_learning_rates(state: TrainState, config: TrainConfig) -> None:
    factor = optim.lr_factor(config.optim.schedule, state.step)
    optim.set_lr(state.generator_optimizer, config.optim.generator.lr * factor)
    optim.set_lr(state.discriminator_optimizer, config.optim.discriminator.lr * factor)


def _record(out: _Outputs, state: TrainState, report: StepReport, clock: _Clock) -> None:
    """Write a step to metrics.jsonl and TensorBoard."""
    values = {
        **report.losses,
        **{f"gradient_norm_{network}": norm for network, norm in report.gradient_norms.items()},
        **{f"underflow_{network}": share for network, share in report.underflow.items()},
        "frames": report.frames,
        "updates": state.updates,
        "lr_generator": state.generator_optimizer.param_groups[0]["lr"],
        "lr_discriminator": state.discriminator_optimizer.param_groups[0]["lr"],
        "scale_generator": report.generator_scale,
        "scale_discriminator": report.discriminator_scale,
        "skipped_generator": report.generator_skipped,
        "skipped_discriminator": report.discriminator_skipped,
        "replays": report.replays,
        "roll_backs": state.roll_backs,
    }
    out.log.append(state.step, values, attrs.asdict(clock))
    speed = {"images_per_second": clock.images_per_second, "memory_bytes": clock.memory_bytes}
    out.curves.scalars(state.step, {**values, **speed})


def _progress(
    config: TrainConfig, state: TrainState, report: StepReport, underflow: Mapping[str, float], clock: _Clock
) -> ProgressReport:
    """What whoever watches sees of a step."""
    scales = {"g": report.generator_scale, "d": report.discriminator_scale}
    return ProgressReport(
        step=state.step,
        total_steps=config.run.steps,
        losses={name: report.losses[name] for name in SHOWN_LOSSES if name in report.losses},
        images_per_second=clock.images_per_second,
        skipped=report.generator_skipped + report.discriminator_skipped,
        replays=report.replays,
        scales=scales if state.scaling.scaling else {},
        gradient_norms={network[0]: norm for network, norm in report.gradient_norms.items()},
        underflow={network[0]: share for network, share in underflow.items()},
        memory_bytes=clock.memory_bytes,
        seconds_left=clock.seconds_left,
        stage=f"{report.frames} frame{'s' if report.frames > 1 else ''}",
    )


def _sample(prepared: Prepared, state: TrainState, out: _Outputs) -> Path:
    require_folder(out.run.samples)
    frames = roll_out(state.average, prepared.validation, prepared.recipe)
    fps = prepared.config.run.video_fps
    picture = write_samples(
        out.run.samples, state.step, prepared.validation, frames, labels=prepared.recipe.labels, fps=fps
    )
    out.curves.image(state.step, "generated", curve_picture(frames[-1]))
    return picture


def _save(state: TrainState, prepared: Prepared, out: _Outputs) -> None:
    check_state(state)
    require_folder(out.run.checkpoints)
    out.log.sync()
    out.curves.flush()
    saved = to_save(state, prepared, out.log)
    keep = prepared.config.run.keep_checkpoints
    path = runtime.save_checkpoint(out.run.checkpoints, step=state.step, state=saved, keep=keep)
    out.progress.message(f"step {state.step}: saved {path}")
