"""Kinds of labels that folders may hold: what each is and does stands in a file of its own."""

from vs_data.labels.class_ids import SegMapsConfig
from vs_data.labels.face_landmarks import LandmarksConfig
from vs_data.labels.handler import LabelHandler, LooseFiles, Target
from vs_data.labels.keypoints import KeypointsConfig
from vs_data.labels.kinds import (
    KINDS,
    LabelKind,
    are_placed,
    boxes_in,
    handler_of,
    kind_of,
    label_infos,
    landmarks_among,
    of_stills,
    word_of,
    written_kind,
)

__all__ = [
    "KINDS",
    "KeypointsConfig",
    "LabelHandler",
    "LabelKind",
    "LandmarksConfig",
    "LooseFiles",
    "SegMapsConfig",
    "Target",
    "are_placed",
    "boxes_in",
    "handler_of",
    "kind_of",
    "label_infos",
    "landmarks_among",
    "of_stills",
    "word_of",
    "written_kind",
]
