"""Image, temporal and flow metrics of clips, and the pictures and videos made from them."""

from vs_metrics.averages import Average, average_of, combine, mean_of
from vs_metrics.baselines import IGNORE_ID, ClassColours, class_mean_colours, paint_classes, repeat_previous
from vs_metrics.clips import (
    ClipFrame,
    Palette,
    clip_picture,
    label_picture,
    matrix_picture,
    panel_row,
    strip_frames,
    video_frame,
)
from vs_metrics.colours import (
    CITYSCAPES_PALETTE,
    Image,
    flow_to_rgb,
    frame_to_uint8,
    generated_palette,
    labels_to_rgb,
    longest_vector,
    mask_to_rgb,
    palette_for,
)
from vs_metrics.errors import ClassIdError, ShapeError, VideoError, VsMetricsError
from vs_metrics.files import VideoFile, VideoWriter, video_codec, write_mp4, write_png
from vs_metrics.scores import (
    DATA_RANGE,
    absolute_errors,
    end_point_error,
    end_point_errors,
    psnr,
    ssim,
    temporal_warping_error,
    warping_errors,
)
from vs_metrics.tiles import Panel, enlarge, enlarging_factor, grid, strip

__version__ = "0.1.0"

__all__ = [
    "CITYSCAPES_PALETTE",
    "DATA_RANGE",
    "IGNORE_ID",
    "Average",
    "ClassColours",
    "ClassIdError",
    "ClipFrame",
    "Image",
    "Palette",
    "Panel",
    "ShapeError",
    "VideoError",
    "VideoFile",
    "VideoWriter",
    "VsMetricsError",
    "absolute_errors",
    "average_of",
    "class_mean_colours",
    "clip_picture",
    "combine",
    "end_point_error",
    "end_point_errors",
    "enlarge",
    "enlarging_factor",
    "flow_to_rgb",
    "frame_to_uint8",
    "generated_palette",
    "grid",
    "label_picture",
    "labels_to_rgb",
    "longest_vector",
    "mask_to_rgb",
    "matrix_picture",
    "mean_of",
    "paint_classes",
    "palette_for",
    "panel_row",
    "psnr",
    "repeat_previous",
    "ssim",
    "strip",
    "strip_frames",
    "temporal_warping_error",
    "video_codec",
    "video_frame",
    "warping_errors",
    "write_mp4",
    "write_png",
]
