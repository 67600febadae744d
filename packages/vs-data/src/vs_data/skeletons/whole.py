"""Whole persons as OpenPose writes them, and all built-in skeletons by their names in configurations."""

from vs_data.skeletons.bodies import COCO17, MEDIAPIPE33, OPENPOSE_BODY25
from vs_data.skeletons.faces import DLIB68, OPENPOSE_FACE70
from vs_data.skeletons.hands import LEFT_HAND21, RIGHT_HAND21
from vs_data.skeletons.skeleton import Skeleton, joined

OPENPOSE = joined(OPENPOSE_BODY25, OPENPOSE_FACE70, LEFT_HAND21, RIGHT_HAND21)
OPENPOSE_WITHOUT_FACE = joined(OPENPOSE_BODY25, LEFT_HAND21, RIGHT_HAND21)

BUILT_IN: dict[str, Skeleton] = {
    "openpose": OPENPOSE,
    "openpose-without-face": OPENPOSE_WITHOUT_FACE,
    "body25": OPENPOSE_BODY25,
    "coco17": COCO17,
    "mediapipe33": MEDIAPIPE33,
    "dlib68": DLIB68,
}
