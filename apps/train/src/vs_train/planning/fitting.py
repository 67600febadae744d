"""From a few probes to the models of memory and time of a configuration, and to the batch that fits."""

from collections.abc import Callable
from typing import Literal

import attrs
import torch
import vs_runtime as runtime
from vs_config import ConfigError, Problem
from vs_config.amounts import show_bytes
from vs_training.config import TrainConfig
from vs_training.forecast import MemoryModel, Observation, TimeModel, fit_memory, fit_times, memory_beside

from vs_train.planning.probe import Probe, observe

Policy = Literal["none", "blocks", "all"]
POLICIES: tuple[Policy, ...] = ("none", "blocks", "all")

RESERVE = 0.1
"""Share of all memory that a plan leaves alone: for what else runs, and for holes between what is in use."""

Say = Callable[[str], None]


@attrs.frozen(kw_only=True)
class Limit:
    """Bytes that a run may take: those that are free but for the reserve."""

    free: int
    reserve: int

    @property
    def bytes(self) -> int:
        """How many those are."""
        return max(0, self.free - self.reserve)

    def __str__(self) -> str:
        return (
            f"{show_bytes(self.bytes)} ({show_bytes(self.free)} are free, {show_bytes(self.reserve)} stay in reserve)"
        )


@attrs.frozen(kw_only=True)
class Fitted:
    """Models of a configuration; memory is None where the system does not tell it."""

    memory: MemoryModel | None
    times: TimeModel


def limit_of(device: torch.device, processes: int = 1) -> Limit:
    """Return what a process of a run may take of a device's memory now: each has a GPU, but all have one machine."""
    room, among = runtime.memory_of(device), 1 if device.type == "cuda" else processes
    return Limit(free=room.free // among, reserve=int(RESERVE * room.total) // among)


def held_batches(config: TrainConfig, device: torch.device) -> int:
    """Return how many batches the device's memory holds at a time: the CPU's also those that are read ahead.

    A worker has the clips of one besides, and the batch that it makes of them.
    """
    return 1 if device.type == "cuda" else 1 + config.loader.workers * (config.loader.prefetch + 2)


def with_batch(config: TrainConfig, batch: int) -> TrainConfig:
    """Return the configuration with a number as batch size."""
    return attrs.evolve(config, loader=attrs.evolve(config.loader, batch_size=batch))


def fit(config: TrainConfig, limit: Limit, say: Say, *, added: float = 0) -> Fitted:
    """Measure two small batches of a configuration and return the models, as if so many bytes more were in use.

    Raises:
        ConfigError: Memory does not hold the smallest batch.
    """
    parts = config.memory.micro_batches
    small = look(config, parts, limit, say, added=added)
    if small is None:
        raise ConfigError([Problem("", nothing_fits(config, limit))])
    large = look(config, 2 * parts, limit, say, added=added)
    if large is None:  # then the larger batches are of no interest
        return Fitted(memory=memory_beside(0.0, small), times=fit_times(small, small))
    return Fitted(memory=fit_memory(small, large), times=fit_times(small, large))


def look(config: TrainConfig, batch: int, limit: Limit, say: Say, *, added: float = 0) -> Observation | None:
    """Return what steps on a batch take, with so many bytes more; None: more memory than there is."""
    say(f"measuring steps on {batch} clip{'s' if batch > 1 else ''}, memory.checkpoint={config.memory.checkpoint}")
    on_cpu = runtime.choose_device(config.device).type == "cpu"
    try:
        seen = observe(Probe(config=with_batch(config, batch), memory=limit.bytes if on_cpu else None))
    except Exception as error:
        if not runtime.is_out_of_memory(error):
            raise
        return None
    return seen if seen.peak is None else attrs.evolve(seen, peak=round(seen.peak + added))


def nothing_fits(config: TrainConfig, limit: Limit) -> str:
    """Say that memory does not hold a single batch, and what to lower."""
    parts = config.memory.micro_batches
    batch = "a single clip" if parts == 1 else f"{parts} clips in {parts} parts"
    return (
        f"memory does not hold a step on {batch}: it may take {limit}; choose memory.checkpoint=all, or lower "
        "generator.filters, data.height and data.width, or curriculum.max_length"
    )
