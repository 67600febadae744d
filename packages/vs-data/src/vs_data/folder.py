"""Clips from files: images/SEQ/FRAME.ext or images/SEQ.mp4, labels and optionally flow beside them."""

import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import attrs
import numpy as np
from numpy.typing import NDArray

from vs_data.clips import Clip, ClipRequest, LabelInfo, References, SequenceInfo, check_request
from vs_data.errors import DataError
from vs_data.face_crop import sequence_window
from vs_data.flow import FlowFilesConfig, PhotometricConfig, flow_files
from vs_data.flows import MotionFiles, flow_folders, flow_word, motion_files, read_flow
from vs_data.geometry import Window, apply_to_image, plan_geometry
from vs_data.labels import (
    SegMapsConfig,
    boxes_in,
    handler_of,
    has_files,
    kind_in_table,
    label_infos,
    landmarks_among,
    read_labels,
    word_of,
)
from vs_data.layout import (
    IMAGES,
    Folder,
    FrameFiles,
    Layout,
    Reading,
    expanded,
    held_out,
    scan_layout,
    scan_videos,
    sequences_held_out,
)
from vs_data.pictures import IMAGE_EXTENSIONS
from vs_data.ranges import Patience, is_remote
from vs_data.shards import scan_shards
from vs_data.stored import ShardsConfig, StoredConfig, VideoConfig
from vs_data.teach import teach_past, teach_references
from vs_data.videos import index_all
from vs_data.views import View, read_frames, read_picture, to_tensor

IMAGES_FOLDER = Folder(name=IMAGES, extensions=IMAGE_EXTENSIONS, videos=True)

_ASKED = 3  # sequences


@attrs.frozen(kw_only=True)
class FolderSource:
    """Clips from a data folder, videos or shards; made by `open_folder`. Follows the protocol `ClipSource`."""

    config: StoredConfig
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
        return label_infos(self.config.labels)

    def read(self, request: ClipRequest) -> Clip:
        """Read the clip, without N axis; see `read_folder_clip`."""
        return read_folder_clip(self, request)


def place_of(config: StoredConfig, split: Literal["train", "val"]) -> str:
    """Return the folder or video that holds a split, or the address of a pack, which is no path."""
    root = config.val_root if split == "val" and config.val_root is not None else config.root
    return root if is_remote(root) else str(expanded(root))


def patience_of(config: ShardsConfig) -> Patience:
    """Return how the shards of a pack are read."""
    return Patience(tries=config.tries, wait=config.wait, ahead=config.ahead_mb * 2**20)


def check_command(config: StoredConfig, split: Literal["train", "val"]) -> str:
    """Write the line for a shell that lists everything wrong with a split's folder, as this configuration reads it."""
    kinds, flow = config.labels, flow_files(config.flow)
    words = ["hatch", "run", "data:check", place_of(config, split), "--decode"]
    if [word_of(kind) for kind in kinds] != [word_of(SegMapsConfig())]:
        words += ["--labels", *(word_of(kind) for kind in kinds)]
    maps = [kind for kind in kinds if isinstance(kind, SegMapsConfig) and kind_in_table(word_of(kind)) is None]
    if maps:
        words += ["--classes", *_once([str(kind.num_classes) for kind in maps])]
        words += ["--ignore-id", *_once(["-1" if kind.ignore_id is None else str(kind.ignore_id) for kind in maps])]
    words += ["--flow", "none" if flow is None else flow_word(flow)]
    if flow is not None and flow.folder != FlowFilesConfig().folder and flow_word(flow) == FlowFilesConfig.kind:
        words += ["--flow-folder", flow.folder]
    if config.min_frames != attrs.fields(StoredConfig).min_frames.default:
        words += ["--min-frames", str(config.min_frames)]
    if config.order != attrs.fields(StoredConfig).order.default:
        words += ["--order", config.order]
    return shlex.join(words)


def _once(values: Sequence[str]) -> Sequence[str]:
    """Return one value where all are the same: it stands for all kinds of labels."""
    return values[:1] if len(set(values)) == 1 else values


def scan_folder(config: StoredConfig, split: Literal["train", "val"]) -> Layout:
    """List what there is of a split, by names and indexes alone; `DataError` when there is no such folder."""
    layout = _scan(config, split)
    held = config.val_sequences if config.val_root is None else 0
    return sequences_held_out(layout, split, held) if held else layout


def _scan(config: StoredConfig, split: Literal["train", "val"]) -> Layout:
    how = Reading(min_frames=config.min_frames, order=config.order, room=config.cache_mb * 2**20)
    place, folders = place_of(config, split), folders_of(config)
    match config:
        case ShardsConfig():
            return scan_shards(place, IMAGES_FOLDER, folders, how, patience_of(config))
        case VideoConfig():
            layout = scan_videos(Path(place), IMAGES_FOLDER, folders, how)
            seconds = config.val_seconds if config.val_root is None else 0.0
            return held_out(layout, split, seconds, how) if seconds > 0 else layout
        case _:
            return scan_layout(Path(place), IMAGES_FOLDER, folders, how)


def flow_trusted_by_frames(source: FolderSource) -> str | None:
    """Return a file of flow that does not say where to trust it, for which the true frames are asked (photometric).

    None: the frames are not asked, as far as the first files of a few sequences show. Flow that leads forward is
    trusted by where it lands.

    Raises:
        DataError: such a file is bad.
    """
    match source.config.flow:
        case FlowFilesConfig(direction="backward", confidence=PhotometricConfig()) as config:
            moving = [files for files in source.files if len(files.frames) > 1][:_ASKED]
            motions = [motion for files in moving if (motion := motion_files(config, files, 1)) is not None]
            untold = (each for each in motions if read_flow(each.flow, None, config.exr_channels)[1] is None)
            return next((str(each.flow) for each in untold), None)
        case _:
            return None


def index_videos(config: StoredConfig, split: Literal["train", "val"], progress: Callable[[int, int], None]) -> None:
    """Read the videos of a split from end to end, which opening it does if this has not; bad ones are found then.

    Args:
        config: Of the data.
        split: Which of it.
        progress: Called with (videos done, videos in all).
    """
    place = place_of(config, split)
    if is_remote(place):
        return
    root = Path(place)
    base = root.parent if root.is_file() else root
    folders = [base / name for name in (IMAGES, *(folder.name for folder in folders_of(config)))]
    beside = [path for folder in (root, *folders) if folder.is_dir() for path in sorted(folder.iterdir())]
    index_all((root, *beside), progress)


def folders_of(config: StoredConfig) -> list[Folder]:
    """Return the folders of labels and flow that a configuration reads."""
    labels = [
        Folder(name=kind.folder, extensions=handler_of(kind).extensions, videos=handler_of(kind).videos)
        for kind in filter(has_files, config.labels)
    ]
    files = flow_files(config.flow)
    return [*labels, *(() if files is None else flow_folders(files))]


def open_folder(config: StoredConfig, split: Literal["train", "val"]) -> FolderSource:
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

    References go through the same crop and mirroring. Those of another sequence go through the geometry of that one,
    and so do landmarks, since they show its subject (see `drive`); the clip's frames, class ids and flow stay those of
    the driving sequence, so that there is no flow from them to such references.

    Raises:
        RequestError: the clip or a reference is out of range.
        DataError: a file is bad, with its name.
    """
    check_request(source.sequences, request)
    span = range(request.start, request.start + request.length)
    first = read_picture(source.files[request.sequence], request.start)
    view = _view(source, request.sequence, first, request.seed)
    subject = _subject_view(source, request)
    pictures = [apply_to_image(view.geometry, first), *read_frames(view, span[1:])]
    past = teach_past(pictures, _motion(source, view.files, span), view.geometry, source.config.flow)
    return Clip(
        frames=to_tensor(pictures),
        labels=read_labels(source.config.labels, view, span, pictures, subject),
        flow=None if past is None else past[0],
        flow_confidence=None if past is None else past[1],
        references=_references(source, request, subject or view, None if subject else pictures),
        boxes=boxes_in(source.config.labels, view, span, subject),
        name=f"{view.files.name}/{view.files.frames[request.start]}",
    )


def _view(source: FolderSource, sequence: int, picture: NDArray[np.uint8], seed: int) -> View:
    """Return a sequence through the geometry that fits its pictures, which are all as large as the given one."""
    config, files = source.config, source.files[sequence]
    size = picture.shape[0], picture.shape[1]
    rng = np.random.default_rng(seed) if source.random else None
    geometry = plan_geometry(size, source.size, config.augment, rng, _window(source, files, size))
    return View(files=files, geometry=geometry)


def _window(source: FolderSource, files: FrameFiles, picture: tuple[int, int]) -> Window | None:
    kind = landmarks_among(source.config.labels)
    if source.config.face_crop is None or kind is None:
        return None
    return sequence_window(files.files[kind.folder], picture, source.size, source.config.face_crop)


def _subject_view(source: FolderSource, request: ClipRequest) -> View | None:
    """Return the sequence of the references, where it is another one than the clip's."""
    if request.reference_sequence is None or request.reference_sequence == request.sequence:
        return None
    first = read_picture(source.files[request.reference_sequence], 0)
    return _view(source, request.reference_sequence, first, request.seed)


def _references(
    source: FolderSource, request: ClipRequest, view: View, frames: Sequence[NDArray[np.uint8]] | None
) -> References | None:
    """Return the references in their view; `frames` are those of the clip, None where they are of somebody else."""
    if not request.references:
        return None
    pictures = read_frames(view, request.references)
    taught = None if frames is None else teach_references(frames, pictures, source.config.flow)
    return References(
        frames=to_tensor(pictures),
        labels=read_labels(source.config.labels, view, request.references, pictures),
        flow=None if taught is None else taught[0],
        flow_confidence=None if taught is None else taught[1],
        name=f"{view.files.name}/" + "+".join(view.files.frames[frame] for frame in request.references),
    )


def _motion(source: FolderSource, files: FrameFiles, span: range) -> list[MotionFiles | None]:
    flow = flow_files(source.config.flow)
    return [None if flow is None else motion_files(flow, files, frame) for frame in span]
