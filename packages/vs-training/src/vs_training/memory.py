"""Whether a configuration can be held in memory, before any is asked for: a system kills whoever asks for too much."""

from typing import Never

import psutil  # type: ignore[import-untyped]
import torch
import vs_nets as nets
from torch import nn
from vs_config import ConfigError, Problem

from vs_training.config import TrainConfig
from vs_training.networks import build_discriminator

_FLOAT32 = 4
_RGB = 3
_GENERATOR_COPIES = 5  # weights, their gradients, Adam's two averages, and the EMA
_DISCRIMINATOR_COPIES = 4


def check_memory(config: TrainConfig, labels: nets.LabelSpec, device: torch.device) -> None:
    """See that the networks with their optimizers, and a batch of frames, are no larger than the memory.

    It is a lower bound: activations, which take most of it, are not counted. No memory is asked for to find it.

    Raises:
        ConfigError: They are larger, with what to lower.
    """
    machine = int(psutil.virtual_memory().total)
    on_cuda = device.type == "cuda"
    networks = torch.cuda.get_device_properties(device).total_memory if on_cuda else machine
    needed = _network_bytes(config, labels)
    if needed > networks:
        _refuse(
            f"the networks with their gradients and optimizers need at least {_gigabytes(needed)} of memory, and "
            f"{'the GPU' if on_cuda else 'this machine'} has {_gigabytes(networks)}: lower filters, max_filters or "
            "levels of generator and discriminator"
        )
    frames = config.loader.batch_size * config.curriculum.max_length
    needed = frames * config.data.height * config.data.width * _RGB * _FLOAT32
    if needed > machine:
        _refuse(
            f"a batch of frames alone needs {_gigabytes(needed)} of memory, and this machine has "
            f"{_gigabytes(machine)}: lower loader.batch_size, curriculum.max_length or data.height "
            "and data.width"
        )


def _network_bytes(config: TrainConfig, labels: nets.LabelSpec) -> int:
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        generator = nets.build_generator(config.generator, label_channels=labels.channels)
        discriminator = build_discriminator(config, labels)
    return _FLOAT32 * (_GENERATOR_COPIES * _count(generator) + _DISCRIMINATOR_COPIES * _count(discriminator))


def _count(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def _refuse(message: str) -> Never:
    raise ConfigError([Problem("", message)])


def _gigabytes(count: int) -> str:
    return f"{count / 2**30:.1f} GiB"
