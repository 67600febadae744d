"""Few-shot: a trained generator fitted to one subject. What makes the picture is trained; what sees stays as it is.

Trained are the heads that turn references into weights, the main branch and the last convolution, which Wang et al.
(2019) fine-tune too: they decide what the subject looks like. How a subject moves is a matter of the flow network, and
what is seen in labels and references of the encoders; a few frames of one subject teach neither of them anything new.

What is fitted are the averaged weights, without spectral norm, so that nothing else changes: the generator begins as
the very function that the model computes.
"""

import vs_nets as nets
import vs_optim as optim
from torch import nn

from vs_training.config import TrainConfig
from vs_training.errors import VsTrainingError
from vs_training.init import Weights
from vs_training.state import TrainState

ADAPTED = ("weights.heads.", "up.", "last.")
"""How the names of those parameters of a few-shot generator begin that are fitted to a subject."""


def is_adapted(name: str) -> bool:
    """Say whether a parameter of a few-shot generator is fitted to a subject."""
    return name.startswith(ADAPTED)


def fit_to_subject(
    state: TrainState, config: TrainConfig, averaged: Weights, discriminator: Weights | None
) -> TrainState:
    """Give a fresh state the weights of a model, and freeze what is not to be fitted.

    Args:
        state: of a few-shot generator without spectral norm; its networks are changed in place.
        config: what it was built from.
        averaged: the model's averaged weights.
        discriminator: the weights of its discriminators; None: they stay fresh.

    Raises:
        VsTrainingError: weights of the discriminators are of another shape.
    """
    for generator in (state.generator, state.generator_ema):
        generator.load_state_dict(averaged)
    if discriminator is not None:
        _load(state.discriminator, discriminator)
    for name, parameter in state.generator.named_parameters():
        parameter.requires_grad_(is_adapted(name))
    trained = [parameter for parameter in state.generator.parameters() if parameter.requires_grad]
    optimizer, _ = optim.build_adam(trained, config.optim.generator)
    return TrainState(
        generator=state.generator,
        discriminator=state.discriminator,
        generator_ema=state.generator_ema,
        optimizers=optim.Pair(generator=optimizer, discriminator=state.optimizers.discriminator),
        scaling=state.scaling,
    )


def _load(discriminator: nets.Discriminator, weights: Weights) -> None:
    network: nn.Module = discriminator
    try:
        network.load_state_dict(weights)
    except RuntimeError:
        raise VsTrainingError("the model's discriminators are of another shape than it says") from None
