"""All the places that clips can come from, behind one function."""

from __future__ import annotations

from typing import Literal, TypeAlias

from vs_data.clips import ClipSource
from vs_data.folder import FolderConfig, open_folder

SourceConfig: TypeAlias = FolderConfig


def open_source(config: SourceConfig, split: Literal["train", "val"]) -> ClipSource:
    """Open a source of clips for training (random augmentation) or validation (nothing random).

    Raises:
        DataError: the data is not there or its names do not agree.
    """
    return open_folder(config, split)
