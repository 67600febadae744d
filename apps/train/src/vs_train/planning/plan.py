"""What a run will take, found out before it begins."""

import math

import attrs
import vs_data as data
import vs_optim as optim
import vs_runtime as runtime
from vs_training.config import TrainConfig, label_spec
from vs_training.counts import Counts, clip_size, count_networks
from vs_training.curriculum import images_between, stages
from vs_training.forecast import ClipSize, MemoryModel, memory_beside, run_seconds, step_seconds
from vs_training.memory import check_memory

from vs_train.planning.automatic import choose_batch
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
    """The memory that batches take in one way to compute them.

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
    """The needs of a run. Where nothing was measured, `memory` is empty and all seconds are None."""

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


def make_plan(config: TrainConfig, say: Say, *, measured: bool = True) -> Plan:
    """Look at a configuration, and unless told otherwise at a few of its steps, and say what all of them will take.

    Raises:
        VsDataError, VsTrainingError, DeviceError, ...: as for `vs_train.setup.prepare`.
        ConfigError: memory does not hold the smallest batch.
    """
    device = runtime.choose_device(config.device)
    precision, _ = optim.settle_level(config.precision, device)
    config = attrs.evolve(config, precision=precision)
    source = data.open_source(config.data, "train")
    labels = label_spec(config.labels, source)
    automatic = config.loader.batch_size == "auto"
    smallest = with_batch(config, config.memory.micro_batches) if automatic else config
    check_memory(smallest, labels, device)
    limit, held = limit_of(device), held_batches(config, device)
    fitted = fit(smallest, limit, say) if measured else None
    batch = smallest.loader.clips
    if automatic and fitted is not None:
        batch = max(batch, choose_batch(config, fitted, limit, held))
    counts = count_networks(config, labels)
    return Plan(
        device=str(device),
        precision=optim.describe(optim.resolve_precision(precision, device)),
        height=config.data.height,
        width=config.data.width,
        batch=batch,
        chosen=automatic and fitted is not None,
        counts=counts,
        networks_bytes=counts.training_bytes,
        limit=limit,
        memory=() if fitted is None else _memory(config, fitted, limit, held, batch, say),
        stages=_stages(config, fitted, batch),
        images=images_between(config.curriculum, 0, config.run.steps) * batch,
        seconds=_seconds(config, fitted, batch),
        loader=_loader(config, clip_size(config, source), batch),
        disk=_disk(config, counts),
    )


def _memory(
    config: TrainConfig, fitted: Fitted, limit: Limit, held: int, batch: int, say: Say
) -> tuple[MemoryPlan, ...]:
    """Return what batches take in each way to compute them; of those not asked for one batch is measured."""
    if fitted.memory is None:
        return ()
    found = {config.memory.checkpoint: fitted.memory}
    for policy in POLICIES:
        if policy not in found:
            changed = attrs.evolve(config, memory=attrs.evolve(config.memory, checkpoint=policy))
            seen = look(changed, 2 * config.memory.micro_batches, limit, say)
            model = None if seen is None else memory_beside(fitted.memory.constant, seen)
            found.update({} if model is None else {policy: model})
    return tuple(
        _memory_of(config, policy, found[policy], limit, held, batch) for policy in POLICIES if policy in found
    )


def _memory_of(
    config: TrainConfig, policy: Policy, model: MemoryModel, limit: Limit, held: int, batch: int
) -> MemoryPlan:
    longest, parts = config.curriculum.max_length, config.memory.micro_batches
    sizes = sorted({batch, *(count * parts for count in _BATCHES)})
    return MemoryPlan(
        checkpoint=policy,
        bytes_by_batch={size: round(model.bytes_of(size, longest, held=held)) for size in sizes},
        largest=model.largest_batch(limit.bytes, longest, held=held) // parts * parts,
    )


def _seconds(config: TrainConfig, fitted: Fitted | None, batch: int) -> float | None:
    if fitted is None:
        return None
    times = fitted.times.of_batch(batch)
    return run_seconds(times, config.curriculum, config.run.steps, workers=config.loader.workers)


def _stages(config: TrainConfig, fitted: Fitted | None, batch: int) -> tuple[StagePlan, ...]:
    times = None if fitted is None else fitted.times.of_batch(batch)
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
    size = ahead * batch * clip.bytes_of(config.curriculum.max_length)
    return LoaderPlan(workers=config.loader.workers, batches_ahead=ahead, bytes_ahead=round(size))


def _disk(config: TrainConfig, counts: Counts) -> DiskPlan:
    run, pixels = config.run, config.data.height * config.data.width
    drawn = _PANELS * min(_ROWS, run.sample_frames) * _PNG_BYTES + _VIDEO_PANELS * run.sample_frames * _MP4_BYTES
    return DiskPlan(
        checkpoint=counts.checkpoint_bytes,
        checkpoints=min(run.keep_checkpoints + 1, math.ceil(run.steps / run.checkpoint_every)),
        sample=round(pixels * drawn),
        samples=math.ceil(run.steps / run.sample_every),
    )
