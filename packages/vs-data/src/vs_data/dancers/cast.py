"""Seeing a body in a pose: which of its solids is nearest at points of the screen, and where it is hit."""

from typing import NamedTuple

import attrs
import numpy as np

from vs_data.dancers.body import UNBOUNDED, Body
from vs_data.dancers.motion import Moment
from vs_data.dancers.pose import VIEW, pose_of
from vs_data.procedural.arrays import F32, F64, Bytes, Rows

NONE = 255
"""Number of the solid where there is none."""


@attrs.frozen(kw_only=True, eq=False)
class Figure:
    """A body in a pose as the camera sees it. Of the n solids, screen = turn @ point + shift.

    Attributes:
        body: Whose it is.
        turns, shifts: (15,3,3) and (15,3) of the bones.
        root: (n,6) what is under the root where a ray meets a solid, of x*x, x*y, y*y, x, y, 1.
        ahead: (n,4) nearest depth is (ahead @ (x, y, 1) + sqrt(root) * last).
        down: (n,4) y in the bone's coordinates of a point (x, y, z, 1) of the screen.
        box: (n,4) least x, least y, most x and most y.
    """

    body: Body
    turns: F64
    shifts: F64
    root: F64
    ahead: F64
    down: F64
    box: F64


def figure_of(body: Body, moment: Moment) -> Figure:
    """Return a body in the pose of a moment."""
    pose = pose_of(body.person.shape, moment)
    turns, shifts = VIEW @ pose.turns, pose.origins @ VIEW.T
    turn, shift = turns[body.bone], shifts[body.bone]
    root, ahead = _rays(body, turn, shift)
    down = np.concatenate([turn[:, :, 1], -(turn[:, :, 1] * shift).sum(axis=1, keepdims=True)], axis=1)
    middle = np.einsum("nij,nkj->nki", turn, body.ends) + shift[:, None]
    reach = np.sqrt(np.einsum("nij,nkj->nki", turn**2, body.ends_radii**2))
    box = np.concatenate([(middle - reach).min(axis=1)[:, :2], (middle + reach).max(axis=1)[:, :2]], axis=1)
    return Figure(body=body, turns=turns, shifts=shifts, root=root, ahead=ahead, down=down, box=box)


def _rays(body: Body, turn: F64, shift: F64) -> tuple[F64, F64]:
    """Solve a*z*z + 2*b*z + c = 0, in which b is linear and c quadratic in x and y of the screen."""
    square = np.einsum("nij,nj,nkj->nik", turn, body.square, turn)
    linear = np.einsum("nij,nj->ni", turn, body.linear) - np.einsum("nij,nj->ni", square, shift)
    constant = (
        body.constant
        - 2 * np.einsum("nij,nj,ni->n", turn, body.linear, shift)
        + np.einsum("nij,ni,nj->n", square, shift, shift)
    )
    a = square[:, 2, 2]
    a = np.where(np.abs(a) < 1e-4, 1e-4, a)  # along the side of a cone there is nothing to be seen of it
    b = np.stack([square[:, 0, 2], square[:, 1, 2], linear[:, 2]], axis=1)
    bx, by, b1 = b.T
    root = np.stack(
        [
            bx * bx - a * square[:, 0, 0],
            2 * (bx * by - a * square[:, 0, 1]),
            by * by - a * square[:, 1, 1],
            2 * (bx * b1 - a * linear[:, 0]),
            2 * (by * b1 - a * linear[:, 1]),
            b1 * b1 - a * constant,
        ],
        axis=1,
    )
    return root, np.concatenate([-b / a[:, None], 1 / np.abs(a)[:, None]], axis=1)


def depth_at(figure: Figure, solid: int, x: F32, y: F32) -> F32:
    """Return how near to the viewer a solid is at points of the screen (anything that broadcasts); -inf beside it."""
    xx, xy, yy, x1, y1, one = figure.root[solid].astype(np.float32)
    under = (x * (xx * x + x1) + one) + y * (yy * y + y1) + (xy * x) * y
    ahead_x, ahead_y, ahead, factor = figure.ahead[solid].astype(np.float32)
    depth = (ahead_x * x + ahead) + ahead_y * y + np.sqrt(np.maximum(under, 0)) * factor
    on = under > 0
    low, high = figure.body.low[solid], figure.body.high[solid]
    if high < UNBOUNDED:
        down_x, down_y, down_z, down = figure.down[solid].astype(np.float32)
        along = (down_x * x + down) + down_y * y + down_z * depth
        on &= (along >= np.float32(low)) & (along <= np.float32(high))
    return np.where(on, depth, np.float32(-np.inf))


class Seen(NamedTuple):
    """The nearest surfaces at a grid of points of the screen.

    Attributes:
        solid: (h,w) uint8 number of the solid, `NONE` where there is none.
        depth: (h,w) float32 z on the screen, -inf where there is none.
    """

    solid: Bytes
    depth: F32


def look(figure: Figure, x: F32, y: F32) -> Seen:
    """Look at a grid with the columns x (w,) and the rows y (h,), rising."""
    depth = np.full((y.size, x.size), -np.inf, np.float32)
    solid = np.full(depth.shape, NONE, np.uint8)
    left, right = np.searchsorted(x, figure.box[:, 0]), np.searchsorted(x, figure.box[:, 2])
    top, bottom = np.searchsorted(y, figure.box[:, 1]), np.searchsorted(y, figure.box[:, 3])
    for index, (x0, x1, y0, y1) in enumerate(zip(left, right, top, bottom, strict=True)):
        if x0 < x1 and y0 < y1:
            part = depth[y0:y1, x0:x1]
            found = depth_at(figure, index, x[None, x0:x1], y[y0:y1, None])
            nearer = found > part
            np.copyto(part, found, where=nearer)
            np.copyto(solid[y0:y1, x0:x1], index, where=nearer)
    return Seen(solid, depth)


def nearest(figure: Figure, x: F32, y: F32) -> F32:
    """Return the depth (n,) of what points (n,) of the screen show; -inf where there is no body."""
    depth = np.full(x.shape, -np.inf, np.float32)
    for index, (x0, y0, x1, y1) in enumerate(figure.box.astype(np.float32)):
        rows = np.flatnonzero((x >= x0) & (x <= x1) & (y >= y0) & (y <= y1))
        if rows.size:
            depth[rows] = np.maximum(depth[rows], depth_at(figure, index, x[rows], y[rows]))
    return depth


def on_bones(figure: Figure, solid: Bytes | Rows, x: F32, y: F32, z: F32) -> F32:
    """Return (3,n) in the coordinates of their bones: points (n,) of the screen, each of some solid."""
    inverse = figure.turns.astype(np.float32)  # of a rotation it is the transpose: column i gives coordinate i
    start = -np.einsum("bji,bj->bi", figure.turns, figure.shifts).astype(np.float32)
    bone = figure.body.bone[solid]
    return np.stack(
        [inverse[bone, 0, i] * x + inverse[bone, 1, i] * y + inverse[bone, 2, i] * z + start[bone, i] for i in range(3)]
    )


def on_screen(figure: Figure, bone: Rows, point: F32 | F64) -> F64:
    """Return (3,n) on the screen of points (3,n) in the coordinates of some bones (n,)."""
    x, y, z = point.astype(np.float64)
    return np.stack(
        [
            figure.turns[bone, i, 0] * x
            + figure.turns[bone, i, 1] * y
            + figure.turns[bone, i, 2] * z
            + figure.shifts[bone, i]
            for i in range(3)
        ]
    )
