"""The loop: batches in, steps, metrics, pictures and checkpoints out."""

import contextlib
import functools
import signal
import time
from collections.abc import Generator, Iterator
from pathlib import Path

import attrs
import torch
import vs_data as data
import vs_optim as optim
import vs_runtime as runtime
from vs_config import render_config
from vs_config.amounts import show_bytes
from vs_config.progress import Pace, Progress, observe, per_second, seconds_left
from vs_config.signals import StopNow, StopRequest
from vs_config.tuning import keep_freed_memory
from vs_runtime.ranks import ONE, Ranks, collected, joined, most, ready, told
from vs_runtime.run_directory import RunDirectory, begin_writing, create_run, record_resume
from vs_runtime.run_lock import hold_run
from vs_training.agreement import require_one_state, require_one_step
from vs_training.config import TrainConfig, reference_count
from vs_training.curriculum import clip_length, images_between, longest_clip, tell_left_out
from vs_training.divergence import require_finite
from vs_training.errors import NonFiniteError, UnequalStatesError, VsTrainingError
from vs_training.fixed import fixed_part
from vs_training.graphs import frame_updater
from vs_training.sharing import check_sharing, own_loader
from vs_training.state import TrainState
from vs_training.step import train_clip

from vs_train.attempts import group_of, require_seen
from vs_train.beginning import begin, write_report
from vs_train.commands import resume_command
from vs_train.numbers import UNKNOWN, last_measured
from vs_train.outputs import Clock, Outputs, open_outputs, record, sample, save, show_step
from vs_train.planning.automatic import settle_batch_size
from vs_train.profiling import Profile, profiled
from vs_train.recovery import data_seed, may_roll_back, roll_back, with_advice
from vs_train.resuming import resume_state
from vs_train.setup import Prepared, prepare
from vs_train.shortage import memory_explained
from vs_train.trackers import check_trackers
from vs_train.validating import (
    Course,
    check_validation,
    end_in_words,
    is_due,
    is_over,
    is_owed,
    read_course,
    validate_step,
)


@attrs.frozen(kw_only=True)
class TrainResult:
    """The end of a training.

    Attributes:
        step: steps done in all.
        finished: whether that is all that the configuration asks for, or validations have ended the run.
        checkpoint: the newest checkpoint; None: somebody asked to stop before the first step.
        picture: the newest strip of pictures, if this call wrote one.
        seconds: how long this call trained.
    """

    step: int
    finished: bool
    checkpoint: Path | None
    picture: Path | None
    seconds: float


def train(
    config: TrainConfig, run: RunDirectory, *, resume: bool, progress: Progress, stop: StopRequest
) -> TrainResult:
    """Train until `config.run.steps`, or until `stop` asks to stop; either way the last thing written is a checkpoint.

    A new run's directory is made only after everything that can be wrong with the input has been checked. With
    `resume` it goes on from the newest intact checkpoint, or anew if there is none yet.

    Whatever ends it early ends it with a checkpoint of the steps that were done, unless it comes out of the middle of a
    step.

    Raises:
        StopNow: `stop` asked to stop before there was a run; nothing was written.
        NonFiniteError: training has diverged, and is not to go back to a checkpoint, or has done so often enough.
        NoCheckpoint: there are checkpoints to resume from, and all of them are damaged.
        RunDirectoryError: another process trains in `run`.
        VsTrainingError: memory is too small, the data or the run's directory were lost on the way, or the run has more
            steps behind it than asked for.
        RanksError: the processes that torchrun has started cannot train together.
    """
    device_type = runtime.choose_device(config.device).type
    try:
        with contextlib.ExitStack() as company:
            with stop.at_once():  # while it waits for others
                ranks = company.enter_context(joined(device_type=device_type, timeout=config.distributed.timeout))
                # The first process has decided where to write, and whether that has begun.
                path, resume = told(ranks, [str(run.path), resume])
            run = RunDirectory(Path(path))
            with memory_explained(config, run), contextlib.ExitStack() as refused:
                return _train(config, run, ranks, refused, resume=resume, progress=progress, stop=stop)
    except runtime.RanksError as error:
        if not error.stopped:
            raise
        stop.requested = stop.requested or signal.SIGTERM.name
        raise StopNow from error


def _train(
    config: TrainConfig,
    run: RunDirectory,
    ranks: Ranks,
    refused: contextlib.ExitStack,
    *,
    resume: bool,
    progress: Progress,
    stop: StopRequest,
) -> TrainResult:
    """Train; `refused` is told what to do about a run that is refused after its directory was made."""
    check_sharing(config, ranks)
    check_trackers(config.run.trackers if ranks.first else ())  # it alone tells them
    _take_gpu(config, ranks)
    # Everything that can be wrong is found before anything is written; whoever waits for it may stop at once.
    with stop.at_once():
        config = settle_batch_size(_with_level(config, progress), progress.message)
        check = config.run.check_data and not resume and ranks.first
        prepared = prepare(config, check=check, watch=progress.message, ranks=ranks)
        prepared = prepared if resume else begin(prepared)
        ready(ranks)  # nobody has found anything wrong
        check_validation(prepared)
    bound = runtime.apply_affinity(prepared.plan, threads=config.run.threads or None)[-1:]
    freed = keep_freed_memory(wanted=config.performance.keep_memory)
    for note in (*prepared.notes, *bound, *_places(ranks, prepared.plan), freed, *_reading(prepared)):
        progress.message(note)
    environment = {**runtime.describe_environment(), "freed_memory": freed, **(group_of(ranks) if ranks.first else {})}
    if ranks.first and not resume:
        discard = create_run(run, config=render_config(config), environment=environment, fixed=fixed_part(config))
        refused.callback(discard)
    require_seen(ranks, run)
    holding = hold_run(run) if ranks.first else contextlib.nullcontext(_nothing)
    with runtime.giving_way(wanted=config.performance.give_way), holding as claim:
        state = resume_state(run, prepared, progress.message) if resume else prepared.state
        require_one_step(ranks, state.step)
        # From here on things are written: a run whose resuming was refused is as it was.
        if ranks.first:
            claim()
            begin_writing(run)
            write_report(run, prepared.begun)
        if ranks.first and resume:
            record_resume(run, config=render_config(config), environment=environment)
        # Each time round, training has diverged and gone back to a checkpoint, or to its beginning.
        while True:
            try:
                with open_outputs(run, progress, config, step=state.step, purge=resume, ranks=ranks) as out:
                    refused.pop_all()
                    return _loop(prepared, state, out, stop)
            except NonFiniteError as error:
                failure = error.with_traceback(None)  # which would keep the tensors of the step
            if not may_roll_back(config, state.roll_backs):
                raise with_advice(failure, config, run, state.roll_backs)
            state, place = roll_back(prepared, run, state.roll_backs + 1)
            count = f"roll-back {state.roll_backs} of {config.run.max_roll_backs}"
            progress.message(f"{failure}; {count}: going on from {place} with other clips")
            resume = True


def _take_gpu(config: TrainConfig, ranks: Ranks) -> None:
    """Compute on a GPU that no other process of this machine has."""
    device = runtime.choose_device(config.device)
    runtime.check_gpus(device, ranks.local_count)
    if device.type == "cuda" and ranks.local_count > 1:
        torch.cuda.set_device(ranks.local_rank)


def _nothing() -> None:
    """Claim nothing: the first process does."""


def _with_level(config: TrainConfig, progress: Progress) -> TrainConfig:
    """Put the level that this device settles into the configuration, which is what the run keeps."""
    precision, why = optim.settle_level(config.precision, runtime.choose_device(config.device))
    if why is not None:
        progress.message(why)
    return attrs.evolve(config, precision=precision)


def _places(ranks: Ranks, plan: runtime.AffinityPlan) -> tuple[str, ...]:
    """Say where the processes of the first machine compute."""
    places = collected(ranks, runtime.cpu_list(plan.process))[: ranks.local_count]
    return (f"CPUs of the processes of this machine: {' | '.join(places)}",) if ranks.count > 1 else ()


def _reading(prepared: Prepared) -> tuple[str, ...]:
    """Say what reading ahead costs: memory of this process, and no shared memory, which containers have little of."""
    loader = own_loader(prepared.config, prepared.recipe.ranks)
    if loader.workers == 0:
        return ()
    frame = data.count_bytes(prepared.validation) / prepared.validation.frames.shape[0]
    batch = frame * longest_clip(prepared.config.curriculum) * loader.clips
    count = loader.workers * loader.prefetch
    each = f"batch{'es' if count > 1 else ''} of at most about {show_bytes(batch)}"
    return (f"{loader.workers} workers read {count} {each} ahead; they need no shared memory (/dev/shm)",)


def _loop(prepared: Prepared, state: TrainState, out: Outputs, stop: StopRequest) -> TrainResult:
    """Go on from `state`, step after step; what ends it between two steps finds a checkpoint of those done."""
    standing = _Standing(state=state, saved=state.step or None, course=read_course(out))
    started = time.monotonic()
    if prepared.config.init.from_ is not None and state.step == 0:
        _save(standing, prepared, out)  # nobody knows what becomes of the model: whatever goes on needs it no more
    try:
        with (
            contextlib.closing(_batches(prepared, state, out)) as batches,
            profiled(prepared.config.run, out) as profile,
        ):
            _go_through(prepared, standing, batches, out, stop, profile)
    except StopNow:
        _save_rest(standing, prepared, out)
    except NonFiniteError:
        raise
    except UnequalStatesError as error:
        raise VsTrainingError(f"{error}; {_way_on(standing, prepared.config, out.run)}") from error
    except runtime.RanksError as error:
        if standing.whole:
            _rescue(standing, prepared, out)
        if error.stopped:
            raise
        raise VsTrainingError(f"{error}; {_way_on(standing, prepared.config, out.run)}") from error
    except (data.VsDataError, OSError, VsTrainingError, runtime.VsRuntimeError) as error:
        if not standing.whole:
            raise
        _rescue(standing, prepared, out)
        raise VsTrainingError(f"{error}; {_way_on(standing, prepared.config, out.run)}") from error
    except Exception:
        if standing.whole:
            _rescue(standing, prepared, out)
        raise
    saved = standing.saved
    return TrainResult(
        step=standing.state.step,
        finished=standing.over or standing.state.step >= prepared.config.run.steps,
        checkpoint=None if saved is None else runtime.checkpoint_path(out.run.checkpoints, saved),
        picture=standing.picture,
        seconds=time.monotonic() - started,
    )


@attrs.define(kw_only=True)
class _Standing:
    """The place that a loop has come to.

    Attributes:
        saved: the step of the newest checkpoint, None before the first.
        alike: the last step after which all processes were found to have learnt the same, None before the first.
        whole: whether no step is half done: a step changes networks and optimizers in place.
        course: the validations so far.
        over: whether they have not got better for so long that the run ends.
    """

    state: TrainState
    saved: int | None
    course: Course
    over: bool = False
    alike: int | None = None
    whole: bool = True
    picture: Path | None = None


def _batches(prepared: Prepared, state: TrainState, out: Outputs) -> Generator[data.Clip, None, None]:
    config, ranks = prepared.config, prepared.recipe.ranks
    return data.load_clips(
        prepared.source,
        own_loader(config, ranks),
        seed=data_seed(config, state.roll_backs),
        length_of=functools.partial(clip_length, config.curriculum),
        references_of=functools.partial(reference_count, config.references, config.seed),
        start=state.step,
        stop=config.run.steps,
        shard=(ranks.rank, ranks.count),
        pin_memory=prepared.recipe.device.type == "cuda",
        worker_init=runtime.worker_init(prepared.plan),
        waiting=out.progress.message,
    )


def _go_through(
    prepared: Prepared,
    standing: _Standing,
    batches: Iterator[data.Clip],
    out: Outputs,
    stop: StopRequest,
    profile: Profile,
) -> None:
    config = prepared.config
    first = standing.state.step
    if is_owed(out, prepared, standing.state, standing.course):
        _keep_best(standing, prepared, out)
    over = told(prepared.recipe.ranks, is_over(config.run, standing.course))
    _end_if(standing, config, out, over=over)
    if over:
        return
    # Graphs are of the very tensors that the state holds now: a state that was loaded has new ones.
    update = frame_updater(config, prepared.recipe.device, out.progress.message, prepared.recipe.ranks)
    pace = observe(Pace(), time.monotonic(), 0)
    underflow = UNKNOWN
    images_left = images_between(config.curriculum, standing.state.step, config.run.steps)
    while (clip := _next(batches, stop, prepared.recipe.ranks)) is not None:
        # What the step's number alone decides.
        tell_left_out(out.progress.message, config.curriculum, prepared.source.sequences, standing.state.step, first)
        _set_learning_rates(standing.state, config)
        profile.before(standing.state.step + 1)
        # Until the step ends, networks and optimizers are half changed, and must not be saved.
        standing.whole = False
        state, report = train_clip(standing.state, data.move(clip, prepared.recipe.device), prepared.recipe, update)
        standing.state, standing.whole = state, True
        profile.after(state.step)
        if config.distributed.check_every and state.step % config.distributed.check_every == 0:
            _look_at(standing, prepared)
        # What files and people are told of it.
        images_left -= report.frames
        pace = observe(pace, time.monotonic(), report.frames * config.loader.clips)
        underflow = last_measured(report.underflow, underflow)
        clock = Clock(
            time=time.time(),
            images_per_second=per_second(pace),
            memory_bytes=runtime.memory_in_use(prepared.recipe.device),
            seconds_left=seconds_left(pace, images_left * config.loader.clips),
        )
        record(out, state, report, clock)
        show_step(out, state, report, underflow, clock, config.run.steps)
        # What is due now and then, and at the end.
        if is_due(config.run, state.step):
            _validate(standing, prepared, out)
        finished = standing.over or state.step == config.run.steps
        if state.step % config.run.sample_every == 0 or finished:
            standing.picture = sample(out, prepared, state)
        if state.step % config.run.checkpoint_every == 0 or finished:
            _save(standing, prepared, out)
        if standing.over:
            return


def _validate(standing: _Standing, prepared: Prepared, out: Outputs) -> None:
    """Validate what was learnt, keep it if it is the best, and see whether it is time to end."""
    standing.course, verdict = validate_step(out, prepared, standing.state, standing.course)
    if verdict.best:
        _keep_best(standing, prepared, out)
    _end_if(standing, prepared.config, out, over=verdict.over)


def _keep_best(standing: _Standing, prepared: Prepared, out: Outputs) -> None:
    """Keep what the last validation has seen as the best; of several processes the first one knows of it and writes."""
    _look_at(standing, prepared)
    save(out, prepared, standing.state, best=standing.course[-1] if standing.course else None)


def _end_if(standing: _Standing, config: TrainConfig, out: Outputs, *, over: bool) -> None:
    standing.over = over
    if over and out.files is not None:
        out.progress.message(f"step {standing.state.step}: {end_in_words(config.run, standing.course)}")


def _next(batches: Iterator[data.Clip], stop: StopRequest, ranks: Ranks) -> data.Clip | None:
    """Return the next batch; a wish to stop ends the wait for it, unless other processes would then wait for this one.

    Raises:
        StopNow: somebody wants to stop.
    """
    if ranks.count == 1:
        with stop.at_once():
            return next(batches, None)
    clip = next(batches, None)
    (status,) = most(ranks, [stop.exit_status])
    if status:
        stop.requested = stop.requested or signal.Signals(int(status) - 128).name
        raise StopNow
    return clip


def _look_at(standing: _Standing, prepared: Prepared) -> None:
    """See that what was learnt is finite, and the same in all processes."""
    ranks, state = prepared.recipe.ranks, standing.state
    require_finite(state, ranks)
    if prepared.config.distributed.check_every and standing.alike != state.step:
        require_one_state(ranks, state, since=standing.alike)
        standing.alike = state.step


def _save(standing: _Standing, prepared: Prepared, out: Outputs) -> None:
    """Save the state, once it is known to be good: whatever goes on does so from there."""
    _look_at(standing, prepared)
    save(out, prepared, standing.state)
    standing.saved = standing.state.step


def _save_rest(standing: _Standing, prepared: Prepared, out: Outputs) -> None:
    """Save the steps that were done since the last checkpoint."""
    if _is_behind(standing):
        _save(standing, prepared, out)


def _is_behind(standing: _Standing) -> bool:
    return standing.state.step > (standing.saved or 0)


def _rescue(standing: _Standing, prepared: Prepared, out: Outputs) -> None:
    """Do the same in one process, as far as that is possible, after an error that is worth more than another."""
    if out.files is None or not _is_behind(standing):  # the first process does
        return
    if standing.state.shards.generator is not None:  # the other processes, which have the rest of it, know of no error
        out.progress.message(f"step {standing.state.step} could not be saved: no process has all of it")
        return
    try:
        require_finite(standing.state, ONE)
        save(out, prepared, standing.state)
        standing.saved = standing.state.step
    except (OSError, VsTrainingError, runtime.VsRuntimeError) as error:
        out.progress.message(f"step {standing.state.step} could not be saved: {error}")


def _way_on(standing: _Standing, config: TrainConfig, run: RunDirectory) -> str:
    command = resume_command(config.generator.kind, run)
    if not run.config.exists():
        return "the run is lost: its directory is no longer one"
    if standing.saved is None:
        return f"no step was saved; begin again with: {command}"
    return f"step {standing.saved} is saved; go on with: {command}"


def _set_learning_rates(state: TrainState, config: TrainConfig) -> None:
    factor = optim.lr_factor(config.optim.schedule, state.step)
    optim.set_lr(state.optimizers.generator, config.optim.generator.lr * factor)
    optim.set_lr(state.optimizers.discriminator, config.optim.discriminator.lr * factor)
