"""What a trained model consists of, wherever it was read from: a model directory, a run, a published checkpoint."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs
import torch
import vs_nets as nets
import vs_runtime as runtime
from torch import Tensor, nn

from vs_synthesis.config import ModelConfig
from vs_synthesis.errors import ModelError

Weights = Mapping[str, Tensor]
"""The tensors of a network by their names in it."""


@attrs.frozen(kw_only=True, eq=False)
class TrainingWeights:
    """Weights that training goes on from: of the generator before averaging, and of the discriminators."""

    generator: Weights
    discriminator: Weights


@attrs.frozen(kw_only=True, eq=False)
class ModelContents:
    """A trained model as data.

    Attributes:
        path: the directory that it was read from, for messages.
        config: the generator's shape, and how files become what it is shown.
        generator: its averaged weights, normalised, so that no spectral norm is left in them.
        training: what training goes on from, where it is there and was asked for.
        provenance: where it comes from, as JSON has it: `preset`, `steps`, `revision`, `metrics`, ... as far as known.
        settings: the training configuration as a document, without the generator and without paths; None: unknown.
        checkpoint: of a run, the checkpoint that was read.
        notices: what went otherwise than one would expect, in words.
    """

    path: Path
    config: ModelConfig
    generator: Weights
    training: TrainingWeights | None = None
    provenance: Mapping[str, Any] = attrs.field(factory=dict)
    settings: Mapping[str, Any] | None = None
    checkpoint: Path | None = None
    notices: tuple[str, ...] = ()


def build_averaged(contents: ModelContents) -> nets.AnyGenerator:
    """Build the generator of averaged weights, on the CPU, in evaluation mode; it takes the tensors over.

    Raises:
        ModelError: the weights are those of another configuration.
    """
    with torch.device("meta"):
        network = nets.build_ema(contents.config.generator, label_channels=contents.config.label_spec.channels)
    fill(network, contents.generator, contents.path)
    return network.requires_grad_(False).eval()


def fill(network: nn.Module, weights: Weights, where: Path) -> None:
    """Give a network that has only shapes its weights, in float32; nothing is made that is not of the right shape.

    Raises:
        ModelError: they are those of another network.
    """
    single = {name: tensor.float() for name, tensor in weights.items()}
    try:
        runtime.check_fit(network.state_dict(), single)
    except runtime.StateError as error:
        raise ModelError(where, f"weights do not fit the configuration: {error}") from None
    network.load_state_dict(single, assign=True)


def narrowed(weights: Weights, dtype: torch.dtype, where: Path) -> dict[str, Tensor]:
    """Return weights in another format.

    Raises:
        ModelError: one of them is too large for it.
    """
    made = {name: tensor.to(dtype) for name, tensor in weights.items()}
    for name in _lost(weights, made):
        format_name = str(dtype).removeprefix("torch.")
        raise ModelError(where, f"{name} has values that {format_name} does not hold; choose another --dtype")
    return made


def _lost(weights: Weights, made: Weights) -> Iterator[str]:
    return (name for name, tensor in made.items() if not tensor.isfinite().all() and weights[name].isfinite().all())
