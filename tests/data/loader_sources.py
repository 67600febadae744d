"""Sources for the tests of the loader and of its workers."""

import multiprocessing
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs
from vs_data import (
    AugmentConfig,
    Clip,
    ClipRequest,
    DisFlowConfig,
    FolderConfig,
    LabelInfo,
    LoaderConfig,
    SequenceInfo,
    load_clips,
    open_folder,
)
from vs_data.folder import FolderSource

HAS_FORK = "fork" in multiprocessing.get_all_start_methods()


def length_of(batch: int) -> int:
    return 2 + batch % 2


def open_small_folder(folder: Callable[..., Path]) -> FolderSource:
    root = folder({"a": 3, "b": 4, "c": 6})
    augment = AugmentConfig(scale=0.3, flip=0.5)
    return open_folder(
        FolderConfig(root=str(root), height=32, width=48, flow=DisFlowConfig(preset="fast"), augment=augment), "train"
    )


def take(source: FolderSource, count: int, start: int = 0, **config: Any) -> list[Clip]:
    clips = load_clips(
        source, LoaderConfig(batch_size=2, **config), seed=11, length_of=length_of, start=start, stop=start + count
    )
    return list(clips)


def drain(clips: Iterator[Clip]) -> None:
    for _ in range(50):
        next(clips)


@attrs.frozen
class Endless:
    """A source on a drive that does not answer."""

    sequences: tuple[SequenceInfo, ...] = (SequenceInfo(name="a", frames=9),)
    size: tuple[int, int] = (2, 2)
    label_kinds: Mapping[str, LabelInfo] = attrs.field(factory=dict)

    def read(self, request: ClipRequest) -> Clip:  # noqa: ARG002
        time.sleep(3600)
        raise AssertionError
