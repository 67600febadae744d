"""Clips for video synthesis: procedural worlds, folders, landmarks, flow teachers, loaders."""

from vs_data.amounts import Amount
from vs_data.check import CheckReport, check_folder, check_roots, every_so_often, look_at_folder
from vs_data.clips import (
    HEAD_REGIONS,
    REGIONS,
    ClassIds,
    Clip,
    ClipRequest,
    ClipSource,
    FloatMaps,
    LabelInfo,
    References,
    SequenceInfo,
    check_request,
    collate,
    count_bytes,
    cut,
    map_tensors,
    move,
)
from vs_data.dancers import DancersConfig, DancersSource, open_dancers
from vs_data.driving import Subject, drive, subject_of
from vs_data.errors import DataError, LoaderError, RequestError, VsDataError
from vs_data.face_crop import FaceCropConfig
from vs_data.faces import FacesConfig, FacesSource, open_faces
from vs_data.findings import Finding
from vs_data.flow import (
    DisFlowConfig,
    FlowConfig,
    FlowFilesConfig,
    ForwardBackwardConfig,
    NetworkFlowConfig,
    NoFlowConfig,
    OcclusionConfig,
    PhotometricConfig,
    ThereAndBackConfig,
    TrustedConfig,
)
from vs_data.folder import check_command, open_folder
from vs_data.geometry import AugmentConfig
from vs_data.labels import (
    BlurConfig,
    DenseposeConfig,
    EdgesConfig,
    GreyConfig,
    ImageConfig,
    InstancesConfig,
    KeypointsConfig,
    LabelKind,
    LandmarksConfig,
    SegMapsConfig,
    label_infos,
)
from vs_data.landmarks import draw_face
from vs_data.loader import LoaderConfig, load_clips
from vs_data.render import write_folder
from vs_data.sampling import check_lengths, iterate_sequence, plan_batch, spread_frames
from vs_data.sequences import (
    LabelFrame,
    LabelRequest,
    LabelSequence,
    ReferenceSubject,
    open_labels,
    open_references,
)
from vs_data.sources import SourceConfig, folder_kinds, open_source
from vs_data.stored import FolderConfig, ShardsConfig, StoredConfig, VideoConfig
from vs_data.street import StreetConfig, open_street

__all__ = [
    "HEAD_REGIONS",
    "REGIONS",
    "Amount",
    "AugmentConfig",
    "BlurConfig",
    "CheckReport",
    "ClassIds",
    "Clip",
    "ClipRequest",
    "ClipSource",
    "DancersConfig",
    "DancersSource",
    "DataError",
    "DenseposeConfig",
    "DisFlowConfig",
    "EdgesConfig",
    "FaceCropConfig",
    "FacesConfig",
    "FacesSource",
    "Finding",
    "FloatMaps",
    "FlowConfig",
    "FlowFilesConfig",
    "FolderConfig",
    "ForwardBackwardConfig",
    "GreyConfig",
    "ImageConfig",
    "InstancesConfig",
    "KeypointsConfig",
    "LabelFrame",
    "LabelInfo",
    "LabelKind",
    "LabelRequest",
    "LabelSequence",
    "LandmarksConfig",
    "LoaderConfig",
    "LoaderError",
    "NetworkFlowConfig",
    "NoFlowConfig",
    "OcclusionConfig",
    "PhotometricConfig",
    "ReferenceSubject",
    "References",
    "RequestError",
    "SegMapsConfig",
    "SequenceInfo",
    "ShardsConfig",
    "SourceConfig",
    "StoredConfig",
    "StreetConfig",
    "Subject",
    "ThereAndBackConfig",
    "TrustedConfig",
    "VideoConfig",
    "VsDataError",
    "check_command",
    "check_folder",
    "check_lengths",
    "check_request",
    "check_roots",
    "collate",
    "count_bytes",
    "cut",
    "draw_face",
    "drive",
    "every_so_often",
    "folder_kinds",
    "iterate_sequence",
    "label_infos",
    "load_clips",
    "look_at_folder",
    "map_tensors",
    "move",
    "open_dancers",
    "open_faces",
    "open_folder",
    "open_labels",
    "open_references",
    "open_source",
    "open_street",
    "plan_batch",
    "spread_frames",
    "subject_of",
    "write_folder",
]

__version__ = "0.1.0"
