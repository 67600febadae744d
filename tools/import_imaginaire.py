"""Make model directories of checkpoints that imaginaire has written.

    python tools/import_imaginaire.py CHECKPOINT.pt CONFIG.yaml --out MODEL

CONFIG.yaml is the published configuration, YAML (which PyYAML reads) or JSON. The model holds the averaged generator,
or the generator as it is where no average was kept, and what training goes on from, where that is in the checkpoint.
"""

import hashlib
import re
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any, assert_never

import attrs
import torch
import vs_nets as nets
from convert_vgg19 import ConversionError, read_published, require_numbers
from imaginaire_config import read_config, train_config
from imaginaire_weights import Weights, discriminator_weights, few_shot_weights, generator_weights
from torch import Tensor
from vs_config import DocumentError, Range, show, shown
from vs_config.commands import option_of, run_command
from vs_runtime import PlaceError, check_place
from vs_synthesis import ModelContents, ModelError, TrainingWeights, model_config, settings_of, write_model
from vs_synthesis.directory import MARKER
from vs_training.config import TrainConfig

_AVERAGED = "averaged_model."
_UPDATES = "num_updates_tracked"

Rate = Annotated[int, option_of(Range(kind=int, low=1, high=240))]


def read_model(checkpoint: Path, config: TrainConfig) -> ModelContents:
    """Read a published checkpoint that was trained as a configuration says.

    Raises:
        ConversionError: it is damaged, or does not fit the configuration.
    """
    model, state = model_config(config), read_published(checkpoint)
    channels = model.label_spec.channels
    published = _published_weights(checkpoint, state, "net_G")
    raw = _generator(checkpoint, "generator", _raw(published), config.generator, channels)
    averaged = _generator(checkpoint, "averaged generator", _averaged(published), config.generator, channels)
    discriminator, left_out = _discriminator(checkpoint, state, config, channels)
    best = averaged or raw
    if best is None:
        raise ConversionError(f"{checkpoint}: no weights of a generator under 'net_G'")
    return ModelContents(
        path=checkpoint,
        config=model,
        generator=_normalised(best, config.generator, channels),
        training=TrainingWeights(generator=raw, discriminator=discriminator) if raw and discriminator else None,
        provenance=_provenance(checkpoint, state, published.get(_UPDATES)),
        settings=settings_of(config),
        notices=_notices(averaged, raw, discriminator, left_out),
    )


def _published_weights(path: Path, checkpoint: Mapping[str, Any], key: str) -> Weights:
    """Return the weights of a network without what wrappers put before their names."""
    section = checkpoint.get(key)
    if not isinstance(section, dict) or not section:
        raise ConversionError(f"{path}: no weights {key!r} in it; expected a checkpoint that imaginaire has written")
    for name, tensor in section.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise ConversionError(f"{path}: {key!r} holds {show(name)}, which is no tensor with a name")
    return {re.sub(r"^(module\.)+", "", name): tensor for name, tensor in section.items()}


def _raw(published: Weights) -> Weights:
    return {name: t for name, t in published.items() if not name.startswith(_AVERAGED) and name != _UPDATES}


def _averaged(published: Weights) -> Weights:
    return {name.removeprefix(_AVERAGED): t for name, t in published.items() if name.startswith(_AVERAGED)}


def _generator(
    path: Path, what: str, published: Weights, config: nets.AnyGeneratorConfig, channels: int
) -> Weights | None:
    """Return the weights of a generator under our names, after they have been found to fit; None where there are none.

    Those of an average are normalised already, and have no singular vectors beside them.
    """
    if not published:
        return None
    weights = _plain(_renaming(config)(published))
    shape = config if what == "generator" else attrs.evolve(config, spectral_norm=_has_vectors(weights))
    _check(path, what, weights, partial(nets.build_generator, shape, label_channels=channels))
    return weights


def _renaming(generator: nets.AnyGeneratorConfig) -> Callable[[Mapping[str, Tensor]], Weights]:
    """Return what gives the published weights of a kind of generator our names."""
    match generator:
        case nets.GeneratorConfig():
            return partial(generator_weights, start=generator.start)
        case nets.FewShotGeneratorConfig():
            return partial(few_shot_weights, separate_flow=generator.separate_flow)
        case _:
            assert_never(generator)


def _has_vectors(weights: Weights) -> bool:
    return any(name.endswith(".u") for name in weights)


def _plain(weights: Weights) -> Weights:
    """Return weights in float32, which ours are; what is no number with fractions is left for `_check` to refuse."""
    return {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in weights.items()}


def _normalised(weights: Weights, config: nets.AnyGeneratorConfig, channels: int) -> Mapping[str, Tensor]:
    """Return the weights as the generator uses them, each over its largest singular value where vectors are given."""
    if not _has_vectors(weights):
        return weights
    with torch.device("meta"):
        network = nets.build_generator(config, label_channels=channels)
    network.load_state_dict(weights, assign=True)
    return nets.effective_weights(network)


def _discriminator(
    path: Path, checkpoint: Mapping[str, Any], config: TrainConfig, label_channels: int
) -> tuple[Weights | None, int]:
    """Return the weights of the discriminators under our names, None where the checkpoint has none.

    Also return how many weights were left out: those of discriminators of faces and hands, which this project has not.
    """
    if "net_D" not in checkpoint:
        return None, 0
    published = _published_weights(path, checkpoint, "net_D")
    weights = _plain(discriminator_weights(published))
    seen = nets.condition_channels(config.generator, label_channels)
    make = partial(nets.build_discriminator, config.discriminator, label_channels=seen)
    _check(path, "discriminator", weights, make)
    return weights, len(published) - len(weights)


def _check(path: Path, what: str, weights: Weights, make: Callable[[], torch.nn.Module]) -> None:
    """See that weights fit a network, of which only the shapes are made."""
    with torch.device("meta"):
        shapes = {name: tensor.shape for name, tensor in make().state_dict().items()}
    problem = f"{path}: the {what} does not fit its configuration"
    for name in shapes.keys() & weights.keys():
        if shapes[name] != weights[name].shape:
            found, expected = tuple(weights[name].shape), tuple(shapes[name])
            raise ConversionError(f"{problem}: {name} has shape {found}, expected {expected}")
        require_numbers(weights[name], f"{path}: {name} of the {what}")
    missing, unknown = sorted(shapes.keys() - weights.keys()), sorted(weights.keys() - shapes.keys())
    if missing or unknown:
        raise ConversionError(
            f"{problem}: {len(missing)} weights are missing and {len(unknown)} unknown, first {(missing + unknown)[0]}"
        )


def _provenance(path: Path, checkpoint: Mapping[str, Any], updates: Tensor | None) -> dict[str, Any]:
    """Return where a model comes from: the file, and how long it was trained, as far as that stands in it."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    known = {"steps": checkpoint.get("current_iteration"), "epochs": checkpoint.get("current_epoch")}
    if updates is not None and updates.numel() == 1:
        known["updates"] = int(updates)
    return {
        "imported": {"from": "imaginaire", "file": path.name, "sha256": digest},
        **{name: count for name, count in known.items() if type(count) is int},
    }


def _notices(
    averaged: Weights | None, raw: Weights | None, discriminator: Weights | None, left_out: int
) -> tuple[str, ...]:
    found = []
    if averaged is None:
        found.append("no averaged generator in it: the model's is the one that was trained, as it is")
    if raw is None or discriminator is None:
        missing = "discriminators" if discriminator is None else "generator before averaging"
        found.append(f"no {missing} in it: training can go on from the averaged generator alone")
    if left_out:
        found.append(f"{left_out} weights of other discriminators are left out, which this project does not have")
    return tuple(found)


def main(checkpoint: Path, config: Path, *, out: Path, fps: Rate = 10) -> None:
    """Make a model directory of a vid2vid or few-shot vid2vid checkpoint that imaginaire has written.

    Args:
        checkpoint: The .pt file; no code in it is run.
        config: Its configuration, YAML or JSON.
        out: The model directory; one that was there is replaced.
        fps: Frames per second of the model's videos, of which a configuration says nothing.
    """
    for path in (checkpoint, config):
        if not path.is_file():
            raise ConversionError(f"{path}: no such file")
    training = train_config(read_config(config), fps=fps)
    check_place(out, marker=MARKER, what="model")
    contents = read_model(checkpoint, training)
    write_model(out, contents)
    for notice in contents.notices:
        print(f"note: {shown(notice)}")
    print(f"{shown(out)}: a {contents.config.kind} model, {contents.config.height}x{contents.config.width}")


if __name__ == "__main__":
    sys.exit(run_command(main, ConversionError, DocumentError, ModelError, PlaceError))
