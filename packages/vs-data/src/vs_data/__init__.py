"""Clips for video synthesis: a procedural street, folders, flow teachers, loaders."""

from vs_data.clips import Clip, ClipRequest, ClipSource, SequenceInfo, check_request, collate, cut, map_tensors, move
from vs_data.errors import DataError, LoaderError, RequestError, VsDataError

__all__ = [
    "Clip",
    "ClipRequest",
    "ClipSource",
    "DataError",
    "LoaderError",
    "RequestError",
    "SequenceInfo",
    "VsDataError",
    "check_request",
    "collate",
    "cut",
    "map_tensors",
    "move",
]

__version__ = "0.1.0"
