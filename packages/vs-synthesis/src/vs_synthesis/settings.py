"""The configuration of a training within a model: what of it is no path of a machine, and from there back."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
from vs_config import load_config, to_document
from vs_data import FolderConfig, SourceConfig, StoredConfig
from vs_training.config import TrainConfig

from vs_synthesis.config import ModelConfig
from vs_synthesis.contents import ModelContents
from vs_synthesis.errors import ModelError

_GENERATOR = "generator"
_WORLD = "was trained on a built-in world, where its clips come from; drop --data"


def settings_of(config: TrainConfig) -> dict[str, Any]:
    """Return the configuration of a training as a document without its generator, which a model has, and paths."""
    document = {key: value for key, value in to_document(config).items() if key != _GENERATOR}
    document["data"] = _without(document["data"], "root", "val_root")
    document["init"] = _without(document["init"], "from")
    perceptual = document["objective"]["perceptual"]
    document["objective"] = {**document["objective"], "perceptual": _without(perceptual, "path")}
    return document


def training_config(contents: ModelContents, *, data: Path | None = None) -> TrainConfig:
    """Return the configuration that a model was trained with, as far as a model tells it.

    A perceptual network that lay in a file is left out, since a model says nothing of files.

    Args:
        contents: the model.
        data: the folder of held-out sequences, in place of the one that it was trained on.

    Raises:
        ModelError: nobody knows how it was trained, or it was trained on a folder and none is given.
        ConfigError: the configuration is one of another version of this program.
    """
    if contents.settings is None:
        raise ModelError(contents.path, "does not say how it was trained")
    settings = {
        **contents.settings,
        "data": _with_folder(contents, data),
        "objective": _without_file(contents.settings.get("objective")),
        _GENERATOR: to_document(contents.config.generator),
    }
    return load_config(TrainConfig, settings, str(contents.path))


def _with_folder(contents: ModelContents, folder: Path | None) -> Any:
    """Return the table `data` with a folder in the place of the one that it was trained on."""
    known: Any = (contents.settings or {}).get("data")
    match known, folder:
        case {"kind": "folder" | "video" | "shards"}, None:
            raise ModelError(contents.path, "was trained on a folder that is no part of it; name one with --data")
        case {"kind": "folder" | "video" | "shards"}, Path():
            return {**known, "root": str(folder), "val_root": str(folder)}  # all of it, not the end of each video
        case _, None:
            return known
        case _:
            raise ModelError(contents.path, _WORLD)


def held_out_in(data: SourceConfig, folder: Path, where: Path) -> SourceConfig:
    """Return where a training's clips come from, with another folder for those that are held out.

    Raises:
        ModelError: the training, at `where`, is one on a built-in world.
    """
    match data:
        case StoredConfig():
            return attrs.evolve(data, val_root=str(folder))
        case _:
            raise ModelError(where, _WORLD)


def folder_for(config: ModelConfig, root: Path) -> FolderConfig:
    """Return how a folder of clips is read for a model of whose training nothing is known."""
    return FolderConfig(
        root=str(root),
        height=config.height,
        width=config.width,
        labels=config.labels,
        augment=config.augment,
        face_crop=config.face_crop,
    )


def _without_file(objective: Any) -> Any:
    match objective:
        case {"perceptual": {"kind": "file"}, **others}:
            return {**others, "perceptual": {"kind": "none"}}
        case _:
            return objective


def _without(table: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {key: value for key, value in table.items() if key not in names}
