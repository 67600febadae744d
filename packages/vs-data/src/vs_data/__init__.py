"""Clips for video synthesis: a procedural street, folders, flow teachers, loaders."""

from vs_data.check import CheckReport, check_folder, check_roots
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
    cut,
    map_tensors,
    move,
)
from vs_data.errors import DataError, LoaderError, RequestError, VsDataError
from vs_data.flow import DisFlowConfig, FlowConfig, FlowFilesConfig, NoFlowConfig, PhotometricConfig
from vs_data.folder import FolderConfig, check_command, open_folder
from vs_data.geometry import AugmentConfig
from vs_data.labels import LabelKind, SegMapsConfig
from vs_data.layout import Finding
from vs_data.loader import LoaderConfig, load_clips
from vs_data.render import write_folder
from vs_data.sampling import check_lengths, iterate_sequence, plan_batch
from vs_data.sources import SourceConfig, open_source
from vs_data.street import StreetConfig, open_street

__all__ = [
    "HEAD_REGIONS",
    "REGIONS",
    "AugmentConfig",
    "CheckReport",
    "ClassIds",
    "Clip",
    "ClipRequest",
    "ClipSource",
    "DataError",
    "DisFlowConfig",
    "Finding",
    "FloatMaps",
    "FlowConfig",
    "FlowFilesConfig",
    "FolderConfig",
    "LabelInfo",
    "LabelKind",
    "LoaderConfig",
    "LoaderError",
    "NoFlowConfig",
    "PhotometricConfig",
    "References",
    "RequestError",
    "SegMapsConfig",
    "SequenceInfo",
    "SourceConfig",
    "StreetConfig",
    "VsDataError",
    "check_command",
    "check_folder",
    "check_lengths",
    "check_request",
    "check_roots",
    "collate",
    "cut",
    "iterate_sequence",
    "load_clips",
    "map_tensors",
    "move",
    "open_folder",
    "open_source",
    "open_street",
    "plan_batch",
    "write_folder",
]

__version__ = "0.1.0"
