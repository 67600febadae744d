"""Whether a configuration can be held in memory, before any is asked for: a system kills whoever asks for too much."""

from typing import Never

import torch
import vs_nets as nets
from vs_config import ConfigError, Problem
from vs_config.progress import show_bytes
from vs_runtime import memory_of

from vs_training.config import TrainConfig
from vs_training.counts import count_networks

_FLOAT32 = 4
_RGB = 3


def check_memory(config: TrainConfig, labels: nets.LabelSpec, device: torch.device) -> None:
    """See that the networks with their optimizers, and a batch of frames, are no larger than the memory.

    It is a lower bound: activations, which take most of it, are not counted. No memory is asked for to find it.

    Raises:
        ConfigError: They are larger, with what to lower.
    """
    machine, networks = memory_of(torch.device("cpu")).total, memory_of(device).total
    whose = "the GPU" if device.type == "cuda" else "this machine"
    needed = count_networks(config, labels).training_bytes
    if needed > networks:
        _refuse(
            f"the networks with their gradients and optimizers need at least {show_bytes(needed)} of memory, and "
            f"{whose} has {show_bytes(networks)}: lower filters, max_filters or levels of generator and discriminator"
        )
    frames = config.loader.clips * config.curriculum.max_length
    needed = frames * config.data.height * config.data.width * _RGB * _FLOAT32
    if needed > machine:
        _refuse(
            f"a batch of frames alone needs {show_bytes(needed)} of memory, and this machine has "
            f"{show_bytes(machine)}: lower loader.batch_size, curriculum.max_length or data.height "
            "and data.width"
        )


def _refuse(message: str) -> Never:
    raise ConfigError([Problem("", message)])
