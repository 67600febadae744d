"""Videos as pictures and as labels: decoded in order, or any frame by its number."""

from vs_data.videos.index import VideoIndex, first_of_last, index_all, index_of
from vs_data.videos.opening import LOSSLESS, VIDEO_EXTENSIONS, Stream, Video, opened, require_exact
from vs_data.videos.random_access import Shown, read_levels, read_shown
from vs_data.videos.sequential import video_frames, video_levels

__all__ = [
    "LOSSLESS",
    "VIDEO_EXTENSIONS",
    "Shown",
    "Stream",
    "Video",
    "VideoIndex",
    "first_of_last",
    "index_all",
    "index_of",
    "opened",
    "read_levels",
    "read_shown",
    "require_exact",
    "video_frames",
    "video_levels",
]
