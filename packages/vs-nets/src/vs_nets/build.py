"""Both kinds of generator as one: built, averaged and shown to discriminators by the same functions."""

from typing import assert_never, overload

import attrs

from vs_nets.few_shot import FewShotGenerator, FewShotGeneratorConfig
from vs_nets.generator import Generator, GeneratorConfig
from vs_nets.layers import ActivationCheckpointing
from vs_nets.references import few_shot_condition_channels

AnyGenerator = Generator | FewShotGenerator
AnyGeneratorConfig = GeneratorConfig | FewShotGeneratorConfig


@overload
def build_generator(
    config: GeneratorConfig, *, label_channels: int, checkpointing: ActivationCheckpointing | None = None
) -> Generator: ...


@overload
def build_generator(
    config: FewShotGeneratorConfig, *, label_channels: int, checkpointing: ActivationCheckpointing | None = None
) -> FewShotGenerator: ...


def build_generator(
    config: AnyGeneratorConfig, *, label_channels: int, checkpointing: ActivationCheckpointing | None = None
) -> AnyGenerator:
    """Return a freshly initialised generator for encoded labels of `label_channels` channels (`LabelSpec.channels`)."""
    match config:
        case GeneratorConfig():
            return Generator(config, label_channels, checkpointing)
        case FewShotGeneratorConfig():
            return FewShotGenerator(config, label_channels, checkpointing)
        case _:
            assert_never(config)


@overload
def build_ema(config: GeneratorConfig, *, label_channels: int) -> Generator: ...


@overload
def build_ema(config: FewShotGeneratorConfig, *, label_channels: int) -> FewShotGenerator: ...


def build_ema(config: AnyGeneratorConfig, *, label_channels: int) -> AnyGenerator:
    """Return a generator that is to hold averaged weights of one of shape `config` (see `effective_weights`).

    Without spectral norm, since what is averaged is normalised already, and the same in all else; in evaluation mode,
    not trained.
    """
    ema = build_generator(attrs.evolve(config, spectral_norm=False), label_channels=label_channels)
    return ema.eval().requires_grad_(False)


def condition_channels(config: AnyGeneratorConfig, label_channels: int) -> int:
    """Return how many channels discriminators see beside a frame (see `discriminator_condition`)."""
    match config:
        case GeneratorConfig():
            return label_channels
        case FewShotGeneratorConfig():
            return few_shot_condition_channels(label_channels)
        case _:
            assert_never(config)
