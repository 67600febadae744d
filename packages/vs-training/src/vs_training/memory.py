"""Whether a configuration can be held in memory, before any is asked for: a system kills whoever asks for too much."""

from typing import Never

import torch
import vs_nets as nets
from vs_config import ConfigError, Problem
from vs_config.amounts import show_bytes
from vs_runtime import memory_of
from vs_runtime.ranks import ONE, Ranks

from vs_training.config import TrainConfig
from vs_training.counts import added_bytes, count_networks
from vs_training.curriculum import longest_clip

_FLOAT32 = 4
_RGB = 3


def check_memory(config: TrainConfig, labels: nets.LabelSpec, device: torch.device, ranks: Ranks = ONE) -> None:
    """See that the networks with their optimizers, and a batch of frames, are no larger than the memory.

    It is a lower bound: activations, which take most of it, are not counted. No memory is asked for to find it. Each of
    several processes has its own networks, on a GPU of its own or beside the others of its machine, and its share of a
    batch.

    Raises:
        ConfigError: They are larger, with what to lower.
    """
    machine, networks = memory_of(torch.device("cpu")).total, memory_of(device).total
    whose = "the GPU" if device.type == "cuda" else "this machine"
    counts = count_networks(config, labels)
    each = counts.training_bytes + added_bytes(config, counts, ranks.count)
    needed = each if device.type == "cuda" else each * ranks.local_count
    if needed > networks:
        _refuse(
            f"the networks with their gradients and optimizers need at least {show_bytes(needed)} of memory, and "
            f"{whose} has {show_bytes(networks)}: lower filters, max_filters or levels of generator and discriminator"
        )
    clips = -(-config.loader.clips // ranks.count)  # whether they can be divided is asked elsewhere
    frames = clips * ranks.local_count * longest_clip(config.curriculum)
    needed = frames * config.data.height * config.data.width * _RGB * _FLOAT32
    if needed > machine:
        _refuse(
            f"a batch of frames alone needs {show_bytes(needed)} of memory, and this machine has "
            f"{show_bytes(machine)}: lower loader.batch_size, curriculum.max_length or data.height "
            "and data.width"
        )


def _refuse(message: str) -> Never:
    raise ConfigError([Problem("", message)])
