"""Bodies: BODY_25 and COCO-18 of OpenPose, COCO's 17 points, the 33 of MediaPipe.

Sources: OpenPose, "Output", pose formats BODY_25 and COCO; Lin et al., "Microsoft COCO", 2014, keypoints of persons;
MediaPipe, "Pose landmark detection", the 33 landmarks and their connections.
"""

from collections.abc import Sequence

from vs_data.skeletons.colours import side_colours
from vs_data.skeletons.skeleton import Limb, Skeleton, one_part

_WIDTH = 3.0

_BODY25 = (
    *("nose", "neck", "right shoulder", "right elbow", "right wrist", "left shoulder", "left elbow", "left wrist"),
    *("middle hip", "right hip", "right knee", "right ankle", "left hip", "left knee", "left ankle"),
    *("right eye", "left eye", "right ear", "left ear", "left big toe", "left small toe", "left heel"),
    *("right big toe", "right small toe", "right heel"),
)

_BODY25_LIMBS = (
    (1, 8),
    *((1, 2), (2, 3), (3, 4), (1, 5), (5, 6), (6, 7)),  # arms
    *((8, 9), (9, 10), (10, 11), (8, 12), (12, 13), (13, 14)),  # legs
    *((11, 22), (22, 23), (11, 24), (14, 19), (19, 20), (14, 21)),  # feet
    *((1, 0), (0, 15), (15, 17), (0, 16), (16, 18)),  # head
)

_COCO18 = (*_BODY25[:8], *_BODY25[9:19])
_COCO18_LIMBS = (
    *((1, 2), (2, 3), (3, 4), (1, 5), (5, 6), (6, 7)),
    *((1, 8), (8, 9), (9, 10), (1, 11), (11, 12), (12, 13)),
    *((1, 0), (0, 14), (14, 16), (0, 15), (15, 17)),
)

_COCO17 = (
    *("nose", "left eye", "right eye", "left ear", "right ear", "left shoulder", "right shoulder"),
    *("left elbow", "right elbow", "left wrist", "right wrist", "left hip", "right hip"),
    *("left knee", "right knee", "left ankle", "right ankle"),
)
_COCO17_LIMBS = (
    *((15, 13), (13, 11), (16, 14), (14, 12), (11, 12), (5, 11), (6, 12), (5, 6)),
    *((5, 7), (6, 8), (7, 9), (8, 10), (1, 2), (0, 1), (0, 2), (1, 3), (2, 4), (3, 5), (4, 6)),
)

_MEDIAPIPE33 = (
    *("nose", "left inner eye", "left eye", "left outer eye", "right inner eye", "right eye", "right outer eye"),
    *("left ear", "right ear", "left mouth", "right mouth", "left shoulder", "right shoulder"),
    *("left elbow", "right elbow", "left wrist", "right wrist", "left pinky", "right pinky"),
    *("left index", "right index", "left thumb", "right thumb", "left hip", "right hip", "left knee", "right knee"),
    *("left ankle", "right ankle", "left heel", "right heel", "left foot index", "right foot index"),
)
_MEDIAPIPE33_LIMBS = (
    *((0, 1), (1, 2), (2, 3), (3, 7), (0, 4), (4, 5), (5, 6), (6, 8), (9, 10)),  # head
    *((11, 12), (11, 23), (12, 24), (23, 24)),  # trunk
    *((11, 13), (13, 15), (15, 17), (15, 19), (15, 21), (17, 19)),  # left arm, right arm
    *((12, 14), (14, 16), (16, 18), (16, 20), (16, 22), (18, 20)),
    *((23, 25), (25, 27), (27, 29), (29, 31), (27, 31)),  # left leg, right leg
    *((24, 26), (26, 28), (28, 30), (30, 32), (28, 32)),
)


def _body(points: Sequence[str], limbs: Sequence[Limb]) -> Skeleton:
    return one_part("body", points, limbs, side_colours(points, limbs), _WIDTH)


OPENPOSE_BODY25 = _body(_BODY25, _BODY25_LIMBS)
OPENPOSE_COCO18 = _body(_COCO18, _COCO18_LIMBS)
COCO17 = _body(_COCO17, _COCO17_LIMBS)
MEDIAPIPE33 = _body(_MEDIAPIPE33, _MEDIAPIPE33_LIMBS)
