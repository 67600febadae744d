"""Image, temporal and flow metrics of clips, and the pictures and videos made from them."""

from vs_metrics.averages import Average, average_of, combine, mean_of
from vs_metrics.baselines import (
    ClassColours,
    class_mean_colours,
    head_mask,
    moved_frames,
    paint_classes,
)
from vs_metrics.clips import (
    ClipFrame,
    Palette,
    clip_picture,
    label_picture,
    matrix_picture,
    panel_row,
    panel_rows,
    strip_frames,
    video_frame,
)
from vs_metrics.colours import (
    Image,
    flow_to_rgb,
    frame_to_uint8,
    labels_to_rgb,
    mask_to_rgb,
    palette_for,
)
from vs_metrics.errors import ClassIdError, ShapeError, VideoError, VsMetricsError
from vs_metrics.files import VideoFile, VideoWriter, write_mp4, write_png
from vs_metrics.identity import (
    MIN_REGION_PIXELS,
    IdentityDistances,
    colour_distances,
    identity_distances,
    region_colours,
)
from vs_metrics.scores import (
    PSNR_CAP,
    absolute_errors,
    end_point_errors,
    masked_psnr,
    masked_ssim,
    psnr,
    ssim,
    warping_errors,
)
from vs_metrics.sinks import SinkOptions, check_sink, open_pipe, open_sink, unfinished
from vs_metrics.tiles import Panel, Place, grid, grid_places, strip

__version__ = "0.1.0"

__all__ = [
    "MIN_REGION_PIXELS",
    "PSNR_CAP",
    "Average",
    "ClassColours",
    "ClassIdError",
    "ClipFrame",
    "IdentityDistances",
    "Image",
    "Palette",
    "Panel",
    "Place",
    "ShapeError",
    "SinkOptions",
    "VideoError",
    "VideoFile",
    "VideoWriter",
    "VsMetricsError",
    "absolute_errors",
    "average_of",
    "check_sink",
    "class_mean_colours",
    "clip_picture",
    "colour_distances",
    "combine",
    "end_point_errors",
    "flow_to_rgb",
    "frame_to_uint8",
    "grid",
    "grid_places",
    "head_mask",
    "identity_distances",
    "label_picture",
    "labels_to_rgb",
    "mask_to_rgb",
    "masked_psnr",
    "masked_ssim",
    "matrix_picture",
    "mean_of",
    "moved_frames",
    "open_pipe",
    "open_sink",
    "paint_classes",
    "palette_for",
    "panel_row",
    "panel_rows",
    "psnr",
    "region_colours",
    "ssim",
    "strip",
    "strip_frames",
    "unfinished",
    "video_frame",
    "warping_errors",
    "write_mp4",
    "write_png",
]
