"""How clips that lie in files are read: as folders of pictures, as videos, or packed in shards."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

import attrs
from vs_config import REQUIRED, Check, Problem, check_fields, choice, path, real, table, tables, whole

from vs_data.face_crop import FaceCropConfig
from vs_data.flow import DisFlowConfig, FlowConfig, flow_files
from vs_data.flows import flow_folders
from vs_data.geometry import AugmentConfig
from vs_data.labels import LabelKind, SegMapsConfig, handler_of, landmarks_among
from vs_data.layout import IMAGES
from vs_data.names import ORDERS

MAX_KINDS = 64
"""Kinds of labels that a folder may have; every one of them is a folder in it."""


def _check_folders(config: StoredConfig) -> Iterator[Problem]:
    taken = {IMAGES}
    for index, kind in enumerate(config.labels):
        if kind.folder in taken:
            expected = "a folder that neither images nor other labels are in"
            yield Problem(f"labels[{index}].folder", expected=expected, got=kind.folder)
        taken.add(kind.folder)


def _check_flow_folder(config: StoredConfig) -> Iterator[Problem]:
    flow = flow_files(config.flow)
    taken = {IMAGES, *(kind.folder for kind in config.labels)}
    for index, folder in enumerate(() if flow is None else flow_folders(flow)):
        if folder.name in taken:
            field = "flow.confidence.folder" if index else "flow.folder"
            yield Problem(field, expected="a folder that neither images nor labels are in", got=folder.name)


def _check_face_crop(config: StoredConfig) -> Iterator[Problem]:
    if config.face_crop is not None and landmarks_among(config.labels) is None:
        yield Problem("face_crop", "labels hold no landmarks, which it needs: add a kind 'landmarks-dlib68' to labels")


def _check_flip(config: StoredConfig) -> Iterator[Problem]:
    fixed = [kind.kind for kind in config.labels if not handler_of(kind).mirrors]
    if config.augment.flip > 0 and fixed:
        hint = "left and right of these labels are no mirror images of each other"
        yield Problem("augment.flip", hint, expected=f"0 beside labels of kind '{fixed[0]}'", got=config.augment.flip)


@attrs.frozen(kw_only=True)
class StoredConfig:
    """The settings of all sources that are files. Paths may start with `~`, else begin in the working directory."""

    root: str = path(REQUIRED, "where the sequences are: a folder that holds images/, seg_maps/, ... or what kind says")
    val_root: str | None = path(None, "the same for held-out sequences; none: the training root itself", optional=True)
    val_sequences: int = whole(
        0, "so many sequences, the last ones, are held out, unless there is a val_root; 0: none", low=0, high=1_000_000
    )
    height: int = whole(128, "height of the clips", low=16, high=8192, unit="pixels")
    width: int = whole(256, "width of the clips", low=16, high=8192, unit="pixels")
    labels: tuple[LabelKind, ...] = tables(
        (SegMapsConfig(),), "kinds of labels, each in its folder", low=1, high=MAX_KINDS
    )
    min_frames: int = whole(2, "sequences with fewer frames are an error", low=1, high=1_000_000)
    order: Literal["name", "natural"] = choice(
        "name", "how frames and sequences sort: name (1, 10, 2) or natural, by the numbers in names (1, 2, 10)", ORDERS
    )
    flow: FlowConfig = table(DisFlowConfig, "teacher of optical flow")
    augment: AugmentConfig = table(AugmentConfig, "resizing, cropping, mirroring")
    face_crop: FaceCropConfig | None = table(
        None, "cut out the face before anything else, by its landmarks; none: the whole picture"
    )
    cache_mb: int = whole(
        256, "memory for decoded frames of videos, in each process that reads", low=0, high=2**20, unit="MiB"
    )

    CHECKS: ClassVar[tuple[Check, ...]] = (
        Check(("labels",), _check_folders),
        Check(("flow", "labels"), _check_flow_folder),
        Check(("face_crop", "labels"), _check_face_crop),
        Check(("augment", "labels"), _check_flip),
    )

    def __attrs_post_init__(self) -> None:
        check_fields(self)


@attrs.frozen(kw_only=True)
class FolderConfig(StoredConfig):
    """A folder of sequences: `images/SEQ/FRAME.png` or `images/SEQ.mp4`, and labels beside them."""

    kind: ClassVar[str] = "folder"


@attrs.frozen(kw_only=True)
class ShardsConfig(StoredConfig):
    """A folder packed by `data:pack`, at a path or any address that fsspec opens (`s3://...`)."""

    kind: ClassVar[str] = "shards"

    tries: int = whole(4, "how often a read of a shard is tried", low=1, high=100)
    wait: float = real(
        1.0, "time before the second try; twice as long before each further one", low=0.0, high=600.0, unit="s"
    )
    ahead_mb: int = whole(8, "bytes that are fetched at once from a remote shard", low=1, high=1024, unit="MiB")


@attrs.frozen(kw_only=True)
class VideoConfig(StoredConfig):
    """A video, a folder of them, each a sequence, or one of frames; labels lie beside it: `seg_maps/NAME.mkv`, say."""

    kind: ClassVar[str] = "video"

    val_seconds: float = real(
        0.0,
        "the end of each video that is held out, unless there is a val_root; 0: nothing",
        low=0.0,
        high=1e6,
        unit="s",
    )
