"""Clips from a folder of pictures: images/SEQ/FRAME.ext, seg_maps/SEQ/FRAME.png, optionally flow/SEQ/FRAME.npz."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import attrs
import numpy as np
import torch
from numpy.typing import NDArray

from vs_data.clips import ClassIds, Clip, ClipRequest, LabelInfo, SequenceInfo, check_request
from vs_data.errors import DataError
from vs_data.fields import whole
from vs_data.flow import (
    FLOW_EXTENSIONS,
    DisFlowConfig,
    FlowConfig,
    FlowFilesConfig,
    NoFlowConfig,
    dis_flow,
    photometric_confidence,
    read_flow,
)
from vs_data.geometry import (
    AugmentConfig,
    Geometry,
    apply_to_flow,
    apply_to_ids,
    apply_to_image,
    plan_geometry,
)
from vs_data.labels import SEG_MAP_EXTENSIONS, LabelKind, SegMapsConfig, read_label
from vs_data.layout import IMAGES, Folder, FrameFiles, Layout, file_of, scan_layout
from vs_data.pictures import IMAGE_EXTENSIONS, read_rgb

IMAGES_FOLDER = Folder(name=IMAGES, extensions=IMAGE_EXTENSIONS)


def _check_path(_instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if not isinstance(value, str) or not value:
        raise ValueError(f"{attribute.name} is {value!r}, allowed: the path of a folder")


def _check_labels(_instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if not isinstance(value, tuple) or not all(isinstance(kind, SegMapsConfig) for kind in value):
        raise ValueError(f"{attribute.name} is {value!r}, allowed: a list of label kinds")
    if not value:
        raise ValueError(f"{attribute.name} is empty, allowed: a list of at least one label kind")
    names = [kind.folder for kind in value] + [IMAGES]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"{attribute.name} uses the folder '{name}' twice, allowed: one folder per kind")


@attrs.frozen(kw_only=True)
class FolderConfig:
    """A folder of sequences on disk. Paths may start with `~` and are otherwise relative to the working directory."""

    kind: ClassVar[str] = "folder"

    root: str = attrs.field(validator=_check_path, metadata={"help": "folder that holds images/, seg_maps/, ..."})
    val_root: str | None = attrs.field(
        default=None,
        validator=attrs.validators.optional(_check_path),
        metadata={"help": "the same for held-out sequences; none: the training root itself"},
    )
    height: int = whole(128, "height of the clips, pixels", low=16, high=8192)
    width: int = whole(256, "width of the clips, pixels", low=16, high=8192)
    labels: tuple[LabelKind, ...] = attrs.field(
        default=(SegMapsConfig(),), validator=_check_labels, metadata={"help": "kinds of labels, each in its folder"}
    )
    min_frames: int = whole(2, "sequences with fewer frames are an error", low=1)
    flow: FlowConfig = attrs.field(
        factory=DisFlowConfig,
        validator=attrs.validators.instance_of((NoFlowConfig, DisFlowConfig, FlowFilesConfig)),
        metadata={"help": "teacher of optical flow: none, dis or files"},
    )
    augment: AugmentConfig = attrs.field(
        factory=AugmentConfig,
        validator=attrs.validators.instance_of(AugmentConfig),
        metadata={"help": "resizing, cropping, mirroring"},
    )

    def __attrs_post_init__(self) -> None:
        if isinstance(self.flow, FlowFilesConfig) and self.flow.folder in {IMAGES, *(k.folder for k in self.labels)}:
            raise ValueError(f"flow.folder is '{self.flow.folder}', allowed: a folder that nothing else uses")


@attrs.frozen(kw_only=True)
class FolderSource:
    """Clips from a data folder; made by `open_folder`. Follows the protocol `ClipSource`."""

    config: FolderConfig
    root: str
    random: bool
    files: tuple[FrameFiles, ...]
    sequences: tuple[SequenceInfo, ...]

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of every clip, pixels."""
        return self.config.height, self.config.width

    @property
    def label_kinds(self) -> Mapping[str, LabelInfo]:
        """Folder of each kind of label -> what it is, in the configuration's order."""
        return {
            kind.folder: ClassIds(classes=kind.num_classes, ignore_id=kind.ignore_id) for kind in self.config.labels
        }

    def read(self, request: ClipRequest) -> Clip:
        """The clip without N axis; see `read_folder_clip`."""
        return read_folder_clip(self, request)


def root_of(config: FolderConfig, split: Literal["train", "val"]) -> Path:
    """The folder that holds a split."""
    root = config.val_root if split == "val" and config.val_root is not None else config.root
    return Path(root).expanduser()


def check_command(config: FolderConfig, split: Literal["train", "val"]) -> str:
    """The line for a shell that lists everything wrong with the folder of a split, read as this configuration does."""
    kinds, flow = config.labels, config.flow
    words = ["hatch", "run", "data:check", str(root_of(config, split))]
    if [kind.folder for kind in kinds] != [SegMapsConfig().folder]:
        words += ["--labels", *(kind.folder for kind in kinds)]
    words += ["--classes", *_once([str(kind.num_classes) for kind in kinds])]
    words += ["--ignore-id", *_once(["-1" if kind.ignore_id is None else str(kind.ignore_id) for kind in kinds])]
    words += ["--flow", "files" if isinstance(flow, FlowFilesConfig) else "none"]
    if isinstance(flow, FlowFilesConfig) and flow.folder != FlowFilesConfig().folder:
        words += ["--flow-folder", flow.folder]
    if config.min_frames != attrs.fields(FolderConfig).min_frames.default:
        words += ["--min-frames", str(config.min_frames)]
    return shlex.join(words)


def _once(values: Sequence[str]) -> Sequence[str]:
    """One value where all are the same: it stands for all kinds of labels."""
    return values[:1] if len(set(values)) == 1 else values


def scan_folder(config: FolderConfig, split: Literal["train", "val"]) -> Layout:
    """What is in the folder of a split, by names alone; `DataError` when there is no such folder."""
    labels = [Folder(name=kind.folder, extensions=SEG_MAP_EXTENSIONS) for kind in config.labels]
    flow = (
        [Folder(name=config.flow.folder, extensions=FLOW_EXTENSIONS, first_optional=True)]
        if isinstance(config.flow, FlowFilesConfig)
        else []
    )
    return scan_layout(root_of(config, split), IMAGES_FOLDER, [*labels, *flow], config.min_frames)


def open_folder(config: FolderConfig, split: Literal["train", "val"]) -> FolderSource:
    """List a data folder; "val" reads without anything random. No picture is opened: `check_folder` does that.

    Raises:
        DataError: a folder is missing, or the names of frames do not agree: the first such finding.
    """
    layout = scan_folder(config, split)
    errors = [finding for finding in layout.findings if finding.severity == "error"]
    if errors:
        more = f" (and {len(errors) - 1} more: `{check_command(config, split)}` lists all)" if len(errors) > 1 else ""
        raise DataError(errors[0].what, file=errors[0].file, fix=errors[0].fix + more)
    return FolderSource(
        config=config,
        root=layout.root,
        random=split == "train",
        files=layout.sequences,
        sequences=tuple(SequenceInfo(name=files.name, frames=len(files.frames)) for files in layout.sequences),
    )


def read_folder_clip(source: FolderSource, request: ClipRequest) -> Clip:
    """Read, augment and label one clip. In training, the request's seed fixes the augmentation of the whole clip.

    Raises:
        RequestError: the clip is out of range.
        DataError: a file is bad, with its name.
    """
    check_request(source.sequences, request)
    config, files = source.config, source.files[request.sequence]
    span = range(request.start, request.start + request.length)
    images = [read_rgb(_path(source, IMAGES, files, frame)) for frame in span]
    _check_sizes(source, files, span, images, IMAGES, images[0].shape[:2])
    rng = np.random.default_rng(request.seed) if source.random else None
    geometry = plan_geometry(_size(images[0]), source.size, config.augment, rng)
    frames = [apply_to_image(geometry, image) for image in images]
    flows, confidences = _teach(source, files, span, geometry, frames)
    return Clip(
        frames=torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2).float().div_(127.5).sub_(1.0).contiguous(),
        labels={kind.folder: _labels(source, files, span, geometry, kind) for kind in config.labels},
        flow=None if flows is None else torch.from_numpy(np.stack(flows).transpose(0, 3, 1, 2).copy()),  # (T,2,H,W)
        flow_confidence=None if confidences is None else torch.from_numpy(np.stack(confidences)[:, None]),
        name=f"{files.name}/{files.frames[request.start]}",
    )


def _path(source: FolderSource, folder: str, files: FrameFiles, frame: int) -> Path:
    path = file_of(source.root, folder, files, frame)
    assert path is not None  # noqa: S101 - open_folder has seen that every frame that is read has its file
    return path


def _size(pixels: NDArray[Any]) -> tuple[int, int]:
    return pixels.shape[0], pixels.shape[1]


def _check_sizes(
    source: FolderSource,
    files: FrameFiles,
    span: range,
    pictures: Sequence[NDArray[Any]],
    folder: str,
    size: tuple[int, ...],
) -> None:
    for frame, picture in zip(span, pictures, strict=True):
        if picture.shape[:2] != size:
            raise DataError(
                f"is {picture.shape[1]}x{picture.shape[0]} pixels, the first image of its clip is {size[1]}x{size[0]}",
                file=str(_path(source, folder, files, frame)),
                fix="bring the files of a sequence to one size",
            )


def _labels(source: FolderSource, files: FrameFiles, span: range, geometry: Geometry, kind: LabelKind) -> torch.Tensor:
    maps = [read_label(_path(source, kind.folder, files, frame), kind) for frame in span]
    _check_sizes(source, files, span, maps, kind.folder, geometry.source)
    return torch.from_numpy(np.stack([apply_to_ids(geometry, ids) for ids in maps]))


_Teaching = tuple[list[NDArray[np.float32]] | None, list[NDArray[np.float32]] | None]


def _teach(
    source: FolderSource, files: FrameFiles, span: range, geometry: Geometry, frames: Sequence[NDArray[np.uint8]]
) -> _Teaching:
    """Flow (H,W,2) and confidence (H,W) per frame at the final size; both zero for the first frame of the clip."""
    config = source.config.flow
    if isinstance(config, NoFlowConfig):
        return None, None
    flows = [np.zeros((*geometry.size, 2), np.float32)]
    confidences = [np.zeros(geometry.size, np.float32)]
    if isinstance(config, DisFlowConfig):
        flows = dis_flow(frames, config)
    for index in range(1, len(frames)):
        before, now = frames[index - 1], frames[index]
        if isinstance(config, DisFlowConfig):
            confidences.append(photometric_confidence(before, now, flows[index], config.confidence))
            continue
        path = _path(source, config.folder, files, span[index])
        flow, confidence = _flow_from_file(path, geometry, before, now, config)
        flows.append(flow)
        confidences.append(confidence)
    return flows, confidences


def _flow_from_file(
    path: Path, geometry: Geometry, before: NDArray[np.uint8], now: NDArray[np.uint8], config: FlowFilesConfig
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    flow, given = read_flow(path)
    if flow.shape[:2] != geometry.source:
        raise DataError(
            f"flow is {flow.shape[1]}x{flow.shape[0]} pixels, its frame {geometry.source[1]}x{geometry.source[0]}",
            file=str(path),
            fix="compute the flow at the size of the frames",
        )
    trust = np.ones(geometry.source, np.float32) if given is None else given
    scaled, trust = apply_to_flow(geometry, flow, trust)
    return scaled, photometric_confidence(before, now, scaled, config.confidence) if given is None else trust
