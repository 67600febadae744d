"""A trained model as training begins from it."""

from pathlib import Path

import vs_nets as nets
from vs_config import ConfigError, load_config
from vs_data import label_infos
from vs_training.config import LabelConfig
from vs_training.first_layers import label_channels
from vs_training.init import Origin

from vs_synthesis.contents import ModelContents
from vs_synthesis.errors import ModelError
from vs_synthesis.model import read_trained

_DISCRIMINATOR = "discriminator"


def read_origin(path: Path) -> Origin:
    """Read a model directory or a run as what networks begin with.

    Raises:
        ModelError: it is neither, damaged, or of another version (and whatever opening a run raises).
    """
    return origin_of(read_trained(path, training=True))


def origin_of(contents: ModelContents) -> Origin:
    """Return a model, read with its training weights if they are wanted, as what networks begin with.

    Raises:
        ModelError: the shape of its discriminators is damaged.
    """
    config, training = contents.config, contents.training
    shape = _discriminator(contents)
    return Origin(
        where=str(contents.path),
        generator=config.generator,
        labels=label_channels(LabelConfig(dont_care=config.dont_care), label_infos(config.labels)),
        averaged=contents.generator,
        raw=None if training is None else training.generator,
        discriminator=None if training is None or shape is None else training.discriminator,
        discriminator_config=shape,
        notices=contents.notices,
    )


def _discriminator(contents: ModelContents) -> nets.DiscriminatorConfig | None:
    match (contents.settings or {}).get(_DISCRIMINATOR):
        case None:
            return None
        case document:
            try:
                return load_config(nets.DiscriminatorConfig, document)
            except ConfigError as error:
                raise ModelError(contents.path, f"its {_DISCRIMINATOR} is damaged: {error.problems[0]}") from None
