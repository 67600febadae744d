"""What networks and clips of a configuration consist of, counted."""

from collections.abc import Iterable
from typing import assert_never

import attrs
import torch
import vs_nets as nets
from torch import Tensor, nn
from vs_data import ClipSource, count_bytes
from vs_nets.perceptual import WIDTHS, Vgg19

from vs_training.config import TrainConfig
from vs_training.forecast import ClipSize
from vs_training.networks import build_discriminator
from vs_training.validation import read_validation_clip

_FLOAT32 = 4
_GENERATOR_COPIES = 4  # weights, their gradients, and Adam's two averages
_DISCRIMINATOR_COPIES = 4


@attrs.frozen(kw_only=True)
class Counts:
    """Parameters of the networks of a run, and the bytes of a checkpoint of them."""

    generator: int
    discriminator: int
    ema: int
    perceptual: int
    checkpoint_bytes: int

    @property
    def training_bytes(self) -> int:
        """What they take in training, whatever the batch: weights, gradients, averages of Adam, and the EMA."""
        copies = _GENERATOR_COPIES * self.generator + _DISCRIMINATOR_COPIES * self.discriminator
        return _FLOAT32 * (copies + self.ema + self.perceptual)


def count_networks(config: TrainConfig, labels: nets.LabelSpec) -> Counts:
    """Return what there is of each network of a configuration, whose labels are given. No memory is asked for."""
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        generator = nets.build_generator(config.generator, label_channels=labels.channels)
        ema = nets.build_ema(config.generator, label_channels=labels.channels)
        discriminator = build_discriminator(config, labels)
        perceptual = _perceptual(config.objective.perceptual)
    trained = _parameters(generator) + _parameters(discriminator)
    states = (_bytes(network.state_dict().values()) for network in (generator, ema, discriminator))
    return Counts(
        generator=_parameters(generator),
        discriminator=_parameters(discriminator),
        ema=_parameters(ema),
        perceptual=0 if perceptual is None else _parameters(perceptual),
        checkpoint_bytes=sum(states) + 2 * _FLOAT32 * trained,
    )


def added_bytes(config: TrainConfig, counts: Counts, processes: int) -> float:
    """Return what memory a process takes more, or less, because so many share each batch. Pure.

    More is what travels of gradients: those of a network are there twice while they are added up; in order, those of
    each part of the batch besides. Less is what others keep, where optimizers and the EMA are shared.
    """
    if processes == 1:
        return 0
    parts = max(1, config.memory.micro_batches // processes) if config.distributed.reduce == "ordered" else 1
    travelling = parts * max(counts.generator, counts.discriminator)
    kept = 2 * (counts.generator + counts.discriminator) + counts.ema if config.distributed.shard_optimizer else 0
    return _FLOAT32 * (travelling - kept * (1 - 1 / processes))


def clip_size(config: TrainConfig, source: ClipSource) -> ClipSize:
    """Return what the tensors of a clip take, with the most references; two are read."""
    references = 0 if config.references is None else config.references.max
    lengths = (1, min(2, config.curriculum.max_length))
    one, two = (count_bytes(read_validation_clip(source, frames=length, references=references)) for length in lengths)
    per_frame = two - one or one  # of single frames alone nobody knows what references take, and nobody asks
    return ClipSize(fixed=one - per_frame, per_frame=per_frame)


def _perceptual(config: nets.PerceptualConfig) -> nn.Module | None:
    match config:
        case nets.NoPerceptual():
            return None
        case nets.FilePerceptual():
            return Vgg19()
        case nets.RandomPerceptual(width_divisor=divisor):
            return Vgg19([width // divisor for width in WIDTHS])
        case _ as never:
            assert_never(never)


def _parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def _bytes(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.nbytes for tensor in tensors)
