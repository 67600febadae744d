"""What is around a dancer: a floor, a wall behind it, and the shadow that moves over the floor."""

from functools import lru_cache

import cv2
import numpy as np

from vs_data.dancers.cast import Figure
from vs_data.dancers.paint import LIGHT
from vs_data.dancers.person import Looks
from vs_data.dancers.pose import FINER, VIEW, centre, samples_of, to_pixels, unit
from vs_data.procedural.arrays import F32, F64, bump, smooth
from vs_data.procedural.noise import billows, grain, sample

_WALL = -0.95
"""z of the wall, metres."""

_STRENGTH = 0.42
"""By how much of itself the floor is darker in the middle of a shadow."""

_SOFT = 0.035
"""Half the width of a shadow's edge, metres."""

_CIRCLE: F64 = np.stack([np.cos(np.linspace(0, 2 * np.pi, 13)[:-1]), np.sin(np.linspace(0, 2 * np.pi, 13)[:-1])])
_SHIFT = 4
"""Binary digits of a pixel's fractions, for OpenCV."""

_DOWN: F64 = np.array([[1.0, -LIGHT[0] / LIGHT[1], 0.0], [0.0, 0.0, 0.0], [0.0, -LIGHT[2] / LIGHT[1], 1.0]])
"""(3,3): where the light takes a point of the world on the ground."""


@lru_cache(maxsize=16)
def surroundings(looks: Looks, size: tuple[int, int]) -> F32:
    """Return (3,H,W) float32 in [0,1]: floor and wall without anybody and without shadow."""
    height, width = size
    x, y = (axis.ravel() for axis in np.meshgrid(*samples_of(size)))
    away = y / np.float32(VIEW[1, 2])
    floor = away > np.float32(_WALL)
    picture = np.empty((3, x.size), np.float32)
    picture[:, floor] = _floor(looks, x[floor], away[floor])
    picture[:, ~floor] = _wall(looks, x[~floor], (y[~floor] - np.float32(_WALL * VIEW[1, 2])) / np.float32(VIEW[1, 1]))
    fine = picture.reshape(3, height, FINER, width, FINER)
    return np.asarray(np.clip(fine.mean(axis=(2, 4)), 0, 1), np.float32)


def _mix(colours: tuple[tuple[float, float, float], tuple[float, float, float]], part: F32) -> F32:
    one, other = (np.array(colour, np.float32)[:, None] for colour in colours)
    return np.asarray(one + (other - one) * part)


def _floor(looks: Looks, x: F32, z: F32) -> F32:
    """Return colours (3,n) of the floor; z towards the viewer."""
    match looks.floor:
        case "planks":
            plank = np.floor(x * np.float32(7))
            tone = np.float32(0.5) + np.float32(0.5) * np.sin(plank * np.float32(12.9898) + looks.detail % 97)
            gap = smooth((np.abs(x * 7 - plank - np.float32(0.5)) - np.float32(0.46)) * 40)
            veins = sample(grain(), x * np.float32(160), z * np.float32(14))
            part, light = tone, 1 + np.float32(0.08) * veins - np.float32(0.35) * gap
        case "tiles":
            across, along = np.floor(x * np.float32(3.2)), np.floor(z * np.float32(3.2))
            part = (across + along) % 2
            light = 1 + np.float32(0.05) * sample(grain(), x * np.float32(60), z * np.float32(60))
        case "stage":
            part = np.float32(0.5) + sample(billows(), x * np.float32(40), z * np.float32(40)) * np.float32(0.5)
            light = np.float32(0.9) + np.float32(0.15) * bump(x, z, (0.0, 0.0), (1.3, 1.3))
    return _mix(looks.ground, part) * light


def _wall(looks: Looks, x: F32, y: F32) -> F32:
    """Return colours (3,n) of the wall; y is 0 at its foot and falls upwards."""
    match looks.wall:
        case "plain":
            part = np.float32(0.3) * smooth(-y / np.float32(2))
        case "panels":
            part = np.float32(0.7) * smooth(np.sin(x * np.float32(7.5)) * 4 + np.float32(0.5))
        case "bricks":
            row = np.floor(y * 9)
            along = x * 4 + np.float32(0.5) * (row % 2)
            gap = np.maximum(
                np.abs(along - np.floor(along) - np.float32(0.5)) * np.float32(0.9),
                np.abs(y * 9 - row - np.float32(0.5)),
            )
            part = smooth((gap - np.float32(0.40)) * 20)
        case "glow":
            part = np.exp(-(x**2 + (y + np.float32(1.0)) ** 2))
    board = smooth((y + np.float32(0.07)) * 200)
    light = 1 + np.float32(0.04) * sample(grain(), x * np.float32(30), y * np.float32(30)) - np.float32(0.35) * board
    return _mix(looks.behind, part) * light


def shadow_of(figure: Figure, size: tuple[int, int]) -> F32:
    """Return (H,W) float32, by how much of itself the floor is darker for the figure's shadow."""
    mask = np.zeros(size, np.uint8)
    for corners in _outlines(figure, size):
        cv2.fillConvexPoly(mask, cv2.convexHull(corners), 255, cv2.LINE_AA, _SHIFT)
    # Shadows do not climb the wall: the light stands high and in front.
    foot = centre(size)[1] + _WALL * VIEW[1, 2] * unit(size)
    mask[: max(int(np.ceil(foot)), 0)] = 0
    soft = cv2.GaussianBlur(mask, (0, 0), max(_SOFT * unit(size), 0.5))
    return np.asarray(soft * np.float32(_STRENGTH / 255))


def _outlines(figure: Figure, size: tuple[int, int]) -> F64:
    """Return (n,24,2) int32 points about the shadow of each solid, in fractions of pixels."""
    body = figure.body
    onto = VIEW @ _DOWN @ VIEW.T  # from the screen on the ground, and to the screen again
    turn = onto @ figure.turns[body.bone]
    middle = np.einsum("nij,nkj->nki", turn, body.ends) + (figure.shifts[body.bone] @ onto.T)[:, None]
    spread = turn[:, None, :2] * body.ends_radii[:, :, None]  # (n,2,2,3)
    form = np.linalg.cholesky(spread @ spread.swapaxes(2, 3) + 1e-9 * np.eye(2))
    around = middle[:, :, :2, None] + form @ _CIRCLE  # (n,2,2,12)
    points = to_pixels(around.transpose(2, 0, 1, 3).reshape(2, -1), size).T.reshape(len(body.bone), -1, 2)
    return np.asarray(np.rint(points * 2**_SHIFT), np.int32)
