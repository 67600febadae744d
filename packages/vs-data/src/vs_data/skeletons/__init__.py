"""Skeletons: which points a body, a face or a hand has, and how they are drawn."""

from vs_data.skeletons.bodies import COCO17, MEDIAPIPE33, OPENPOSE_BODY25, OPENPOSE_COCO18
from vs_data.skeletons.config import LimbConfig, SkeletonConfig, skeleton_of
from vs_data.skeletons.drawing import draw_layers, draw_skeleton, layers_of
from vs_data.skeletons.faces import DLIB68, OPENPOSE_FACE70
from vs_data.skeletons.hands import LEFT_HAND21, RIGHT_HAND21
from vs_data.skeletons.skeleton import Part, Skeleton, exchanged, joined
from vs_data.skeletons.whole import BUILT_IN, OPENPOSE, OPENPOSE_WITHOUT_FACE

__all__ = [
    "BUILT_IN",
    "COCO17",
    "DLIB68",
    "LEFT_HAND21",
    "MEDIAPIPE33",
    "OPENPOSE",
    "OPENPOSE_BODY25",
    "OPENPOSE_COCO18",
    "OPENPOSE_FACE70",
    "OPENPOSE_WITHOUT_FACE",
    "RIGHT_HAND21",
    "LimbConfig",
    "Part",
    "Skeleton",
    "SkeletonConfig",
    "draw_layers",
    "draw_skeleton",
    "exchanged",
    "joined",
    "layers_of",
    "skeleton_of",
]
