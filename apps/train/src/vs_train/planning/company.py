"""What one of several processes of this machine has of a run: its part of a batch, and how long it waits for others."""

import attrs
import torch
import vs_runtime as runtime
from vs_runtime.ranks import Ranks
from vs_training.config import TrainConfig
from vs_training.counts import Counts
from vs_training.exchange import LOOPBACK, NVLINK, Backward, Link, exposed_seconds
from vs_training.forecast import FrameTimes
from vs_training.sharing import check_sharing, own_loader, own_parts

from vs_train.planning.fitting import with_batch

_FLOAT32 = 4
_BACKWARD = {"generator": 0.36, "discriminator": 0.04}
"""Shares of a frame's time in which gradients of each network become ready, as `bench:distributed` has measured."""


@attrs.frozen(kw_only=True)
class CompanyPlan:
    """Several processes that share each batch.

    Attributes:
        processes: how many.
        clips: of each batch, in each of them.
        link: by which gradients are taken to travel, in words.
        gradient_bytes: of an update of both networks.
        exposed_seconds: how long an update waits for them, beside what is hidden; None where nothing was measured.
    """

    processes: int
    clips: int
    link: str
    gradient_bytes: int
    exposed_seconds: float | None


def own_share(config: TrainConfig, processes: int, device: torch.device) -> TrainConfig:
    """Return what one of so many processes computes: its part of a batch, in its parts, with its threads.

    The batch is the smallest there can be where it is to be chosen.

    Raises:
        ConfigError: they cannot share it.
    """
    ranks = Ranks(count=processes, local_count=processes)
    parts = own_parts(config, ranks)
    whole = with_batch(config, processes * parts) if config.loader.batch_size == "auto" else config
    check_sharing(whole, ranks)
    threads = config.run.threads
    if processes > 1 and device.type == "cpu":
        threads = threads or max(1, len(runtime.allowed_cpus()) // processes)  # as `launch` does
    return attrs.evolve(
        whole,
        loader=own_loader(whole, ranks),
        memory=attrs.evolve(config.memory, micro_batches=parts),
        run=attrs.evolve(config.run, threads=threads),
    )


def link_of(device: torch.device) -> Link:
    """Return by what gradients are taken to travel between processes of this machine."""
    return NVLINK if device.type == "cuda" else LOOPBACK


def waits(times: FrameTimes, counts: Counts, config: TrainConfig, processes: int, link: Link) -> dict[str, float]:
    """Return how long a frame's update waits for the gradients of each network. Pure."""
    sizes = {"generator": counts.generator, "discriminator": counts.discriminator}
    overlap, bucket = config.distributed.reduce == "fast", config.distributed.bucket_mb * 2**20
    return {
        network: exposed_seconds(
            Backward(network=network, seconds=_BACKWARD[network] * times.later, gradient_bytes=_FLOAT32 * size),
            processes,
            link,
            bucket_bytes=bucket,
            overlap=overlap,
        )
        for network, size in sizes.items()
    }


def plan_company(
    counts: Counts, clips: int, processes: int, link: Link, waiting: dict[str, float] | None
) -> CompanyPlan:
    """Return what there is to say of so many processes, each with so many clips. Pure."""
    return CompanyPlan(
        processes=processes,
        clips=clips,
        link=f"{link.name}, {link.bytes_per_second / 1e9:g} GB/s each way",
        gradient_bytes=_FLOAT32 * (counts.generator + counts.discriminator),
        exposed_seconds=None if waiting is None else sum(waiting.values()),
    )


def with_waits(times: FrameTimes, waiting: dict[str, float]) -> FrameTimes:
    """Return the times of frames with what is waited for. Pure."""
    both = sum(waiting.values())
    flow = times.flow and times.flow + waiting["generator"]
    return attrs.evolve(times, first=times.first + both, later=times.later + both, flow=flow)
