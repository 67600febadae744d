"""Image, temporal and flow metrics of clips, and the pictures and videos made from them."""

from vs_metrics.averages import Average, average_of, combine, mean_of
from vs_metrics.baselines import (
    ClassColours,
    class_mean_colours,
    head_mask,
    moved_frames,
    paint_classes,
)
from vs_metrics.classes import (
    MIN_CLASS_PIXELS,
    ClassScores,
    class_scores,
    confusions,
    mean_iou,
    pixel_accuracy,
)
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
from vs_metrics.intervals import (
    LEAST_CLIPS,
    LEVEL,
    RESAMPLES,
    Interval,
    bootstrap_means,
    interval_of,
    resample_counts,
)
from vs_metrics.lattice import GRID_PERIOD, grid_amplitudes
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
from vs_metrics.temporal import FLICKER_FRAMES, distance_changes, flicker_errors, flow_changes
from vs_metrics.tiles import Panel, grid, strip

__version__ = "0.1.0"

__all__ = [
    "FLICKER_FRAMES",
    "GRID_PERIOD",
    "LEAST_CLIPS",
    "LEVEL",
    "MIN_CLASS_PIXELS",
    "MIN_REGION_PIXELS",
    "PSNR_CAP",
    "RESAMPLES",
    "Average",
    "ClassColours",
    "ClassIdError",
    "ClassScores",
    "ClipFrame",
    "IdentityDistances",
    "Image",
    "Interval",
    "Palette",
    "Panel",
    "ShapeError",
    "SinkOptions",
    "VideoError",
    "VideoFile",
    "VideoWriter",
    "VsMetricsError",
    "absolute_errors",
    "average_of",
    "bootstrap_means",
    "check_sink",
    "class_mean_colours",
    "class_scores",
    "clip_picture",
    "colour_distances",
    "combine",
    "confusions",
    "distance_changes",
    "end_point_errors",
    "flicker_errors",
    "flow_changes",
    "flow_to_rgb",
    "frame_to_uint8",
    "grid",
    "grid_amplitudes",
    "head_mask",
    "identity_distances",
    "interval_of",
    "label_picture",
    "labels_to_rgb",
    "mask_to_rgb",
    "masked_psnr",
    "masked_ssim",
    "matrix_picture",
    "mean_iou",
    "mean_of",
    "moved_frames",
    "open_pipe",
    "open_sink",
    "paint_classes",
    "palette_for",
    "panel_row",
    "pixel_accuracy",
    "psnr",
    "region_colours",
    "resample_counts",
    "ssim",
    "strip",
    "strip_frames",
    "unfinished",
    "video_frame",
    "warping_errors",
    "write_mp4",
    "write_png",
]
