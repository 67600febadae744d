"""Hands: OpenPose's 21 points, the wrist and four of each finger, the thumb first; MediaPipe numbers them alike."""

from itertools import pairwise

from vs_data.skeletons.colours import shade
from vs_data.skeletons.skeleton import Skeleton, one_part

_WIDTH = 1.0
_FINGERS = ("thumb", "index", "middle", "ring", "pinky")
_HUES = {"right": (0.95, 1.15), "left": (0.45, 0.80)}
"""A colour for each finger, warm on the right and cold on the left as those of bodies are."""


def _hand(side: str) -> Skeleton:
    points = [f"{side} hand wrist", *(f"{side} hand {finger} {joint}" for finger in _FINGERS for joint in range(1, 5))]
    limbs = [limb for finger in range(5) for limb in pairwise((0, *range(4 * finger + 1, 4 * finger + 5)))]
    colours = [shade(_HUES[side], finger, len(_FINGERS)) for finger in range(5) for _ in range(4)]
    return one_part(f"{side} hand", points, limbs, colours, _WIDTH)


LEFT_HAND21 = _hand("left")
RIGHT_HAND21 = _hand("right")
