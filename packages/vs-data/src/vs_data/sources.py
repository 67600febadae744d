"""All the places that clips can come from, behind one function."""

from typing import Literal, TypeAlias, assert_never

from vs_data.clips import ClipSource
from vs_data.dancers import DancersConfig, open_dancers
from vs_data.faces import FacesConfig, open_faces
from vs_data.folder import open_folder
from vs_data.labels import LabelKind, written_kind
from vs_data.stored import FolderConfig, ShardsConfig, StoredConfig, VideoConfig
from vs_data.street import StreetConfig, open_street

SourceConfig: TypeAlias = StreetConfig | FacesConfig | DancersConfig | FolderConfig | VideoConfig | ShardsConfig


def open_source(config: SourceConfig, split: Literal["train", "val"]) -> ClipSource:
    """Open a source of clips for training (random augmentation) or validation (nothing random, held-out sequences).

    Raises:
        DataError: the data is not there, or the names of its files do not agree.
    """
    match config:
        case StreetConfig():
            return open_street(config, split)
        case FacesConfig():
            return open_faces(config, split)
        case DancersConfig():
            return open_dancers(config, split)
        case StoredConfig():
            return open_folder(config, split)
        case _:
            assert_never(config)


def folder_kinds(config: SourceConfig) -> tuple[LabelKind, ...]:
    """Return how labels of a source lie in a folder: as configured, or as `write_folder` writes those of a world."""
    match config:
        case StoredConfig():
            return config.labels
        case StreetConfig() | FacesConfig() | DancersConfig():
            return written_kinds(open_source(config, "val"))
        case _:
            assert_never(config)


def written_kinds(source: ClipSource) -> tuple[LabelKind, ...]:
    """Return how the labels of a procedural world lie in the folder that `write_folder` writes."""
    return tuple(written_kind(name, info) for name, info in source.label_kinds.items())
