"""The shapes that operators over whole networks get: those of the layers with spectral norm."""

import functools
from collections.abc import Mapping
from typing import Literal

import vs_nets as nets
from torch._subclasses.fake_tensor import FakeTensorMode
from vs_config import resolve_config
from vs_nets.spectral import spectral_layers
from vs_training.config import TrainConfig
from vs_training.presets import read_preset

Network = Literal["street-small", "faces-tiny", "few-shot default"]
NETWORKS: tuple[Network, ...] = ("street-small", "faces-tiny", "few-shot default")
"""Two presets, and what a few-shot generator is where nothing is configured."""

LABEL_CHANNELS: Mapping[Network, int] = {"street-small": 35, "faces-tiny": 1, "few-shot default": 1}
"""Classes of streets, and one map of landmarks."""

Shapes = tuple[tuple[int, ...], ...]


def spectral_shapes(network: Network) -> Shapes:
    """Return the shapes of all weights of a generator with spectral norm, in its order; allocates nothing."""
    return _shapes(network)[0]


def parameter_shapes(network: Network) -> Shapes:
    """Return shapes of all parameters of a generator, in its order; allocates nothing."""
    return _shapes(network)[1]


@functools.cache
def _shapes(network: Network) -> tuple[Shapes, Shapes]:
    with FakeTensorMode():
        config: nets.AnyGeneratorConfig = nets.FewShotGeneratorConfig()
        if network != "few-shot default":
            config = resolve_config(TrainConfig, read_preset(network).document, (), network).generator
        generator = nets.build_generator(config, label_channels=LABEL_CHANNELS[network])
        return (
            tuple(tuple(layer.weight.shape) for _, layer in spectral_layers(generator)),
            tuple(tuple(parameter.shape) for parameter in generator.parameters()),
        )
