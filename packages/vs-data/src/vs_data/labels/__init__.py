"""Kinds of labels that folders may hold: what each is and does stands in a file of its own."""

from vs_data.labels.class_ids import SegMapsConfig
from vs_data.labels.computed import BlurConfig, EdgesConfig, GreyConfig
from vs_data.labels.densepose import DenseposeConfig
from vs_data.labels.face_landmarks import LandmarksConfig
from vs_data.labels.handler import LabelHandler, LooseFiles, Target
from vs_data.labels.image import ImageConfig
from vs_data.labels.instances import InstancesConfig
from vs_data.labels.keypoints import KeypointsConfig
from vs_data.labels.kinds import (
    KINDS,
    LabelKind,
    boxes_in,
    handler_of,
    has_files,
    kind_in_table,
    kind_of,
    know_boxes,
    label_infos,
    landmarks_among,
    of_stills,
    read_labels,
    said_of,
    source_of,
    word_of,
    written_kind,
)

__all__ = [
    "KINDS",
    "BlurConfig",
    "DenseposeConfig",
    "EdgesConfig",
    "GreyConfig",
    "ImageConfig",
    "InstancesConfig",
    "KeypointsConfig",
    "LabelHandler",
    "LabelKind",
    "LandmarksConfig",
    "LooseFiles",
    "SegMapsConfig",
    "Target",
    "boxes_in",
    "handler_of",
    "has_files",
    "kind_in_table",
    "kind_of",
    "know_boxes",
    "label_infos",
    "landmarks_among",
    "of_stills",
    "read_labels",
    "said_of",
    "source_of",
    "word_of",
    "written_kind",
]
