"""What a run will take, found out before it begins."""

import math

import attrs
import vs_data as data
import vs_optim as optim
import vs_runtime as runtime
from vs_runtime.ranks import Ranks
from vs_training.config import TrainConfig, label_spec
from vs_training.counts import Counts, added_bytes, clip_size, count_networks
from vs_training.curriculum import images_between, longest_clip, stages
from vs_training.forecast import ClipSize, FrameTimes, MemoryModel, memory_beside, run_seconds, step_seconds
from vs_training.memory import check_memory

from vs_train.planning.automatic import MOST_CLIPS, choose_batch
from vs_train.planning.company import CompanyPlan, link_of, own_share, plan_company, waits, with_waits
from vs_train.planning.fitting import (
    POLICIES,
    Fitted,
    Limit,
    Policy,
    Say,
    fit,
    held_batches,
    limit_of,
    look,
    with_batch,
)

_BATCHES = (1, 2, 4, 8, 16, 32)
_PANELS, _ROWS = 6, 4  # of the picture of a sample: label, real, generated, flow, mask, warped, for four frames
_VIDEO_PANELS = 3
_PNG_BYTES = 2.2  # of a pixel, as measured on made-up streets and faces: three bytes, packed
_MP4_BYTES = 0.2  # less once frames are no noise any more


@attrs.frozen(kw_only=True)
class StagePlan:
    """Steps on clips of one length: from `start` to before `stop`; seconds are None where nothing was measured."""

    start: int
    stop: int
    length: int
    flow_alone: bool
    seconds_per_step: float | None


@attrs.frozen(kw_only=True)
class MemoryPlan:
    """The memory that batches take in one way to compute them, in each process.

    Attributes:
        checkpoint: `memory.checkpoint`.
        bytes_by_batch: of each batch size, on the longest clips.
        largest: the largest batch that fits.
    """

    checkpoint: Policy
    bytes_by_batch: dict[int, int]
    largest: int


@attrs.frozen(kw_only=True)
class LoaderPlan:
    """The memory that reading ahead takes: of this process, and shared."""

    workers: int
    batches_ahead: int
    bytes_ahead: int
    shared_bytes: int = 0


@attrs.frozen(kw_only=True)
class DiskPlan:
    """Bytes that a run leaves; while a checkpoint is written, there is one more than are kept."""

    checkpoint: int
    checkpoints: int
    sample: int
    samples: int

    @property
    def total(self) -> int:
        """All of it, at its most."""
        return self.checkpoint * self.checkpoints + self.sample * self.samples


@attrs.frozen(kw_only=True)
class Plan:
    """The needs of a run. Where nothing was measured, `memory` is empty and all seconds are None.

    Memory, of batches and of reading ahead, is that of one process; `company` is None of one by itself.
    """

    device: str
    precision: str
    height: int
    width: int
    batch: int
    chosen: bool
    counts: Counts
    networks_bytes: int
    limit: Limit
    memory: tuple[MemoryPlan, ...]
    stages: tuple[StagePlan, ...]
    images: int
    seconds: float | None
    loader: LoaderPlan
    disk: DiskPlan
    company: CompanyPlan | None = None


def make_plan(config: TrainConfig, say: Say, *, measured: bool = True, processes: int = 1) -> Plan:
    """Look at a configuration, and unless told otherwise at a few of its steps, and say what all of them will take.

    Of several processes that share each batch a single one is measured, and what they do together computed.

    Raises:
        VsDataError, VsTrainingError, DeviceError, ...: as for `vs_train.setup.prepare`.
        ConfigError: memory does not hold the smallest batch, or the processes cannot share one.
    """
    device = runtime.choose_device(config.device)
    precision, _ = optim.settle_level(config.precision, device)
    config = attrs.evolve(config, precision=precision)
    source = data.open_source(config.data, "train")
    labels = label_spec(config.labels, source)
    automatic = config.loader.batch_size == "auto"
    own = own_share(config, processes, device)
    ranks = Ranks(count=processes, local_count=processes)
    check_memory(with_batch(own, processes * own.loader.clips), labels, device, ranks)
    counts = count_networks(config, labels)
    added = added_bytes(config, counts, processes)
    limit, held = limit_of(device, processes), held_batches(config, device)
    fitted = fit(own, limit, say, added=added) if measured else None
    clips = own.loader.clips
    if automatic and fitted is not None:
        clips = max(clips, choose_batch(own, fitted, limit, held, most=MOST_CLIPS // processes))
    alone = None if fitted is None else fitted.times.of_batch(clips)
    waiting = None if alone is None else waits(alone, counts, config, processes, link_of(device))
    times = None if alone is None or waiting is None else with_waits(alone, waiting)
    return Plan(
        device=str(device),
        precision=optim.describe(optim.resolve_precision(precision, device)),
        height=config.data.height,
        width=config.data.width,
        batch=clips * processes,
        chosen=automatic and fitted is not None,
        counts=counts,
        networks_bytes=round(counts.training_bytes + added),
        limit=limit,
        memory=() if fitted is None else _memory(own, fitted, _Room(limit, held, added, processes), clips, say),
        stages=_stages(config, times),
        images=images_between(config.curriculum, 0, config.run.steps) * clips * processes,
        seconds=None if times is None else _seconds(config, times),
        loader=_loader(config, clip_size(config, source), clips),
        disk=_disk(config, counts),
        company=None if processes == 1 else plan_company(counts, clips, processes, link_of(device), waiting),
    )


@attrs.frozen
class _Room:
    """The memory that a process may take, the batches that it holds at a time, and what it has beside a measurement."""

    limit: Limit
    held: int
    added: float
    processes: int


def _memory(config: TrainConfig, fitted: Fitted, room: _Room, clips: int, say: Say) -> tuple[MemoryPlan, ...]:
    """Return what batches take in each way to compute them; of those not asked for one batch is measured."""
    if fitted.memory is None:
        return ()
    found = {config.memory.checkpoint: fitted.memory}
    for policy in POLICIES:
        if policy not in found:
            changed = attrs.evolve(config, memory=attrs.evolve(config.memory, checkpoint=policy))
            seen = look(changed, 2 * config.memory.micro_batches, room.limit, say, added=room.added)
            model = None if seen is None else memory_beside(fitted.memory.constant, seen)
            found.update({} if model is None else {policy: model})
    return tuple(_memory_of(config, policy, found[policy], room, clips) for policy in POLICIES if policy in found)


def _memory_of(config: TrainConfig, policy: Policy, model: MemoryModel, room: _Room, clips: int) -> MemoryPlan:
    longest, parts = config.curriculum.max_length, config.memory.micro_batches
    sizes = sorted({clips, *(count * parts for count in _BATCHES)})
    return MemoryPlan(
        checkpoint=policy,
        bytes_by_batch={size * room.processes: round(model.bytes_of(size, longest, held=room.held)) for size in sizes},
        largest=model.largest_batch(room.limit.bytes, longest, held=room.held) // parts * parts * room.processes,
    )


def _seconds(config: TrainConfig, times: FrameTimes) -> float:
    return run_seconds(times, config.curriculum, config.run.steps, workers=config.loader.workers)


def _stages(config: TrainConfig, times: FrameTimes | None) -> tuple[StagePlan, ...]:
    return tuple(
        StagePlan(
            **attrs.asdict(stage),
            seconds_per_step=None
            if times is None
            else step_seconds(times, length=stage.length, flow_alone=stage.flow_alone, workers=config.loader.workers),
        )
        for stage in stages(config.curriculum, config.run.steps)
    )


def _loader(config: TrainConfig, clip: ClipSize, batch: int) -> LoaderPlan:
    """Return what reading ahead takes. Batches come through pipes, so that shared memory (/dev/shm) is not needed."""
    ahead = config.loader.workers * config.loader.prefetch
    size = ahead * batch * clip.bytes_of(longest_clip(config.curriculum))
    return LoaderPlan(workers=config.loader.workers, batches_ahead=ahead, bytes_ahead=round(size))


def _disk(config: TrainConfig, counts: Counts) -> DiskPlan:
    run, pixels = config.run, config.data.height * config.data.width
    drawn = _PANELS * min(_ROWS, run.sample_frames) * _PNG_BYTES + _VIDEO_PANELS * run.sample_frames * _MP4_BYTES
    return DiskPlan(
        checkpoint=counts.checkpoint_bytes,
        checkpoints=min(run.keep_checkpoints + 1, math.ceil(run.steps / run.checkpoint_every))
        + (run.keep_best != "none"),
        sample=round(pixels * drawn),
        samples=math.ceil(run.steps / run.sample_every),
    )
