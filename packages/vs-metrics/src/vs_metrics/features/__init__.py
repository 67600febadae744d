"""Feature networks that metrics compare pictures and clips in: our own modules, filled from files by path."""

from vs_metrics.features.i3d import I3d, I3dConfig, build_i3d
from vs_metrics.features.inception import Inception, InceptionConfig, build_inception
from vs_metrics.features.lpips import AlexLpipsConfig, Lpips, VggLpipsConfig, build_lpips
from vs_metrics.features.videomae import VideoMae, VideoMaeConfig, build_videomae
from vs_metrics.features.weights import (
    FeatureNetwork,
    load_features,
    load_i3d,
    load_inception,
    load_lpips,
    load_videomae,
    save_features,
)

__all__ = [
    "AlexLpipsConfig",
    "FeatureNetwork",
    "I3d",
    "I3dConfig",
    "Inception",
    "InceptionConfig",
    "Lpips",
    "VggLpipsConfig",
    "VideoMae",
    "VideoMaeConfig",
    "build_i3d",
    "build_inception",
    "build_lpips",
    "build_videomae",
    "load_features",
    "load_i3d",
    "load_inception",
    "load_lpips",
    "load_videomae",
    "save_features",
]
