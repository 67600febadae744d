"""All kinds of labels that folders may hold, and how they are named on a command line."""

from collections.abc import Sequence
from typing import Any, TypeAlias, assert_never, get_args

import attrs
import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from vs_config import load_config, parse_toml
from vs_config.schema import TAG

from vs_data.clips import ClassIds, FloatMaps, LabelInfo
from vs_data.labels.class_ids import SegMapsConfig, handle_class_ids
from vs_data.labels.computed import BlurConfig, EdgesConfig, GreyConfig, handle_blur, handle_edges, handle_grey
from vs_data.labels.densepose import DenseposeConfig, handle_densepose
from vs_data.labels.face_landmarks import LandmarksConfig, handle_landmarks
from vs_data.labels.handler import LabelHandler
from vs_data.labels.image import ImageConfig, handle_images
from vs_data.labels.instances import InstancesConfig, handle_instances
from vs_data.labels.keypoints import KeypointsConfig, handle_keypoints
from vs_data.layout import IMAGES
from vs_data.views import View
from vs_data.words import differing, in_one_line

LabelKind: TypeAlias = (
    SegMapsConfig
    | LandmarksConfig
    | ImageConfig
    | InstancesConfig
    | EdgesConfig
    | BlurConfig
    | GreyConfig
    | KeypointsConfig
    | DenseposeConfig
)

KINDS: tuple[type[LabelKind], ...] = get_args(LabelKind)


def handler_of(kind: LabelKind) -> LabelHandler:
    """Return what is done with a kind of label."""
    match kind:
        case SegMapsConfig():
            return handle_class_ids(kind)
        case LandmarksConfig():
            return handle_landmarks(kind)
        case ImageConfig():
            return handle_images(kind)
        case InstancesConfig():
            return handle_instances(kind)
        case EdgesConfig():
            return handle_edges(kind)
        case BlurConfig():
            return handle_blur(kind)
        case GreyConfig():
            return handle_grey(kind)
        case KeypointsConfig():
            return handle_keypoints(kind)
        case DenseposeConfig():
            return handle_densepose(kind)
        case _:
            assert_never(kind)


def label_infos(kinds: Sequence[LabelKind]) -> dict[str, LabelInfo]:
    """Return what each kind of label is to the networks, by its folder."""
    return {kind.folder: handler_of(kind).info for kind in kinds}


def written_kind(folder: str, info: LabelInfo) -> LabelKind:
    """Return the kind of label as which a procedural world writes one of its own."""
    match info:
        case ClassIds():
            return SegMapsConfig(
                folder=folder, num_classes=info.classes, ignore_id=info.ignore_id, class_names=info.names
            )
        case FloatMaps(pictures=True) if folder not in {kind.kind for kind in KINDS}:
            return ImageConfig(folder=folder, channels=info.channels)
        case FloatMaps():
            kind, _ = kind_of(folder)  # worlds call their labels as their kinds are called
            return of_stills(kind(folder=folder))  # and theirs are exact
        case _:
            assert_never(info)


def read_labels(
    kinds: Sequence[LabelKind],
    view: View,
    frames: Sequence[int],
    pictures: Sequence[NDArray[np.uint8]],
    subject: View | None = None,
) -> dict[str, Tensor]:
    """Read or compute the labels of some frames, by their folder: (n,H,W) class ids or (n,C,H,W) maps.

    Args:
        kinds: Of the labels.
        view: The sequence.
        frames: Which of its frames.
        pictures: These frames at the final size, (H,W,3) RGB each.
        subject: Another sequence, whose subject is shown in this one's motion.

    Raises:
        DataError: A file is bad.
    """
    handlers = {kind.folder: handler_of(kind) for kind in kinds}
    return {
        folder: handler.read(view, frames, subject) if handler.computed is None else handler.computed(pictures)
        for folder, handler in handlers.items()
    }


def has_files(kind: LabelKind) -> bool:
    """Return whether labels of a kind are files, each beside its frame; others are computed from frames."""
    return handler_of(kind).computed is None


def source_of(kind: LabelKind) -> str:
    """Return the folder that labels of a kind are made of: their own, or that of the frames they are computed from."""
    return kind.folder if has_files(kind) else IMAGES


def landmarks_among(kinds: Sequence[LabelKind]) -> LandmarksConfig | None:
    """Return the landmarks that a face is found by, or None."""
    return next((kind for kind in kinds if isinstance(kind, LandmarksConfig)), None)


def know_boxes(kinds: Sequence[LabelKind]) -> bool:
    """Return whether some kind knows where the regions of a person are."""
    return any(handler_of(kind).boxes is not None for kind in kinds)


def boxes_in(kinds: Sequence[LabelKind], view: View, frames: Sequence[int], subject: View | None) -> dict[str, Tensor]:
    """Return the boxes (n,B,4) of the regions of a person, by the first kind that knows any; see `Clip.boxes`."""
    finders = (handler_of(kind).boxes for kind in kinds)
    return next((find(view, frames, subject) for find in finders if find is not None), {})


def of_stills(kind: LabelKind) -> LabelKind:
    """Return a kind of label of pictures that do not follow each other in time: nothing is smoothed."""
    match kind:
        case LandmarksConfig() | KeypointsConfig():
            return attrs.evolve(kind, smoothing=0.0)
        case _:
            return kind


def word_of(kind: LabelKind) -> str:
    """Write a kind of label as on a command line: `seg_maps`, `landmarks-dlib68:faces`; see `kind_of`.

    Where kind, folder and numbers of classes do not say all, as a table; see `kind_in_table`.
    """
    if not _is_plain(kind):
        return in_one_line(said_of(kind))
    plain = kind_of(kind.folder) == (type(kind), kind.folder)
    return kind.folder if plain else f"{kind.kind}:{kind.folder}"


def said_of(kind: LabelKind) -> dict[str, Any]:
    """Return what a document has to say of a kind of label: its kind, its folder, and what is not as usual."""
    return differing(kind, type(kind)(folder=kind.folder), (TAG, "folder"))


def _is_plain(kind: LabelKind) -> bool:
    match kind:
        case SegMapsConfig():
            usual = SegMapsConfig(folder=kind.folder)
            return kind.colours == usual.colours and kind.map == usual.map
        case _:
            return kind == type(kind)(folder=kind.folder)


@attrs.frozen(kw_only=True)
class _Kinds:
    labels: tuple[LabelKind, ...]


def kind_in_table(word: str) -> LabelKind | None:
    """Read a kind of label with its fields from a table of TOML: `{kind = "image", folder = "depth", log = true}`.

    None: the word is no table, but names a kind; see `kind_of`.

    Raises:
        ConfigError: It is no table of a kind of label.
    """
    if not word.startswith("{"):
        return None
    return load_config(_Kinds, parse_toml(f"labels = [{word}]", word)).labels[0]


def kind_of(word: str) -> tuple[type[LabelKind], str]:
    """Read a kind and its folder from a word: `KIND:FOLDER`, or `FOLDER` (class ids, unless it is a kind's name)."""
    named = {kind.kind: kind for kind in KINDS}
    prefix, colon, folder = word.partition(":")
    if colon and prefix in named:
        return named[prefix], folder
    return named.get(word, SegMapsConfig), word
