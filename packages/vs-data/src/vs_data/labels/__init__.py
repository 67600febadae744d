"""Kinds of labels that folders may hold: what each is and does stands in a file of its own."""

from vs_data.labels.class_ids import SegMapsConfig
from vs_data.labels.face_landmarks import LandmarksConfig
from vs_data.labels.handler import LabelHandler
from vs_data.labels.kinds import KINDS, LabelKind, handler_of, kind_of, label_infos, word_of

__all__ = [
    "KINDS",
    "LabelHandler",
    "LabelKind",
    "LandmarksConfig",
    "SegMapsConfig",
    "handler_of",
    "kind_of",
    "label_infos",
    "word_of",
]
