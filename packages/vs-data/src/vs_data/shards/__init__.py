"""Data folders packed into a few large files: tar archives in WebDataset's layout, and an index for random access."""

from vs_data.shards.frames import FRAMES, Frames, encoded_video
from vs_data.shards.index import INDEX
from vs_data.shards.pack import Packed, PackOptions, pack_folder
from vs_data.shards.reading import ReadSpeed, check_shards, folders_in, read_back, scan_shards
from vs_data.shards.whole import scan_whole, whole_layout

__all__ = [
    "FRAMES",
    "INDEX",
    "Frames",
    "PackOptions",
    "Packed",
    "ReadSpeed",
    "check_shards",
    "encoded_video",
    "folders_in",
    "pack_folder",
    "read_back",
    "scan_shards",
    "scan_whole",
    "whole_layout",
]
