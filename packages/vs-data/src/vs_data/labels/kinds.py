"""All kinds of labels that folders may hold, and how they are named on a command line."""

from collections.abc import Sequence
from typing import TypeAlias, assert_never, get_args

import attrs
from torch import Tensor

from vs_data.clips import ClassIds, FloatMaps, LabelInfo
from vs_data.labels.class_ids import SegMapsConfig, handle_class_ids
from vs_data.labels.face_landmarks import LandmarksConfig, handle_landmarks
from vs_data.labels.handler import LabelHandler
from vs_data.labels.keypoints import KeypointsConfig, handle_keypoints
from vs_data.views import View

LabelKind: TypeAlias = SegMapsConfig | LandmarksConfig | KeypointsConfig

KINDS: tuple[type[LabelKind], ...] = get_args(LabelKind)


def handler_of(kind: LabelKind) -> LabelHandler:
    """Return what is done with a kind of label."""
    match kind:
        case SegMapsConfig():
            return handle_class_ids(kind)
        case LandmarksConfig():
            return handle_landmarks(kind)
        case KeypointsConfig():
            return handle_keypoints(kind)
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
        case FloatMaps():
            kind, _ = kind_of(folder)  # worlds call their labels as their kinds are called
            return of_stills(kind(folder=folder))  # and theirs are exact
        case _:
            assert_never(info)


def landmarks_among(kinds: Sequence[LabelKind]) -> LandmarksConfig | None:
    """Return the landmarks that a face is found by, or None."""
    return next((kind for kind in kinds if isinstance(kind, LandmarksConfig)), None)


def boxes_in(kinds: Sequence[LabelKind], view: View, frames: Sequence[int], subject: View | None) -> dict[str, Tensor]:
    """Return the boxes (n,B,4) of the regions of a person, by the first kind that knows any; see `Clip.boxes`."""
    finders = (handler_of(kind).boxes for kind in kinds)
    return next((find(view, frames, subject) for find in finders if find is not None), {})


def are_placed(kinds: Sequence[LabelKind]) -> bool:
    """Return whether some kind is of points, which are at places in pictures and have no size of their own."""
    return any(isinstance(kind, LandmarksConfig | KeypointsConfig) for kind in kinds)


def of_stills(kind: LabelKind) -> LabelKind:
    """Return a kind of label of pictures that do not follow each other in time: nothing is smoothed."""
    match kind:
        case LandmarksConfig() | KeypointsConfig():
            return attrs.evolve(kind, smoothing=0.0)
        case SegMapsConfig():
            return kind
        case _:
            assert_never(kind)


def word_of(kind: LabelKind) -> str:
    """Write a kind and its folder as on a command line: `seg_maps`, `landmarks-dlib68:faces`; see `kind_of`."""
    plain = kind_of(kind.folder) == (type(kind), kind.folder)
    return kind.folder if plain else f"{kind.kind}:{kind.folder}"


def kind_of(word: str) -> tuple[type[LabelKind], str]:
    """Read a kind and its folder from a word: `KIND:FOLDER`, or `FOLDER` (class ids, unless it is a kind's name)."""
    named = {kind.kind: kind for kind in KINDS}
    prefix, colon, folder = word.partition(":")
    if colon and prefix in named:
        return named[prefix], folder
    return named.get(word, SegMapsConfig), word
