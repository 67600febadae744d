"""What the pixels show at a moment, as points of material that can be found again at another moment."""

from typing import NamedTuple

import numpy as np

from vs_data.faces import features
from vs_data.faces.cast import Hits, cast
from vs_data.faces.head import Subject, height_at, look_up
from vs_data.faces.identity import Identity, Shape
from vs_data.faces.motion import Moment
from vs_data.faces.parts import ON_BODY, Part
from vs_data.faces.stage import Stage, to_screen
from vs_data.procedural.arrays import F32, F64, Bytes, Rows


class Traces(NamedTuple):
    """Material that some points of the screen show.

    Attributes:
        part: (n,) uint8 `Part`.
        material: (3,n) float32, fixed to the material: what never moves on the head or body, and the skin, by its place
            there with the mouth closed; the rest by two numbers that its own motion leaves alone, and the side of the
            face (-1 or 1).
    """

    part: Bytes
    material: F32


def trace(subject: Subject, stage: Stage, x: F32, y: F32) -> Traces:
    """Return what points (n,) of the screen show."""
    hits = cast(subject, stage, x, y)
    _neckline(subject.identity, hits)
    skin = np.flatnonzero(hits.part == Part.SKIN)
    place = hits.point[:, skin]
    _paint_skin(subject, stage.moment, hits, skin, place)
    shape = subject.identity.shape
    front = place[2] > 0
    for paint, mask in (
        (_paint_brows, front & (place[1] < np.float32(shape.eye_y - 0.05))),
        (_paint_eyes, front & (np.abs(place[1] - np.float32(shape.eye_y)) < np.float32(shape.eye_open + 0.12))),
        (_paint_mouth, front & (np.abs(place[1] - np.float32(shape.mouth_y + 0.1)) < np.float32(0.42))),
    ):
        rows = np.flatnonzero(mask)
        paint(shape, stage.moment, hits, skin[rows], place[:, rows])
    return Traces(hits.part, hits.point)


def _neckline(identity: Identity, hits: Hits) -> None:
    """Turn what clothes would be below the neck into bare skin."""
    rows = np.flatnonzero(hits.part == Part.CLOTHES)
    x, y, z = hits.point[:, rows]
    bare = x * x + (y - np.float32(1.36)) ** 2 < np.float32(identity.looks.neckline**2)
    hits.part[rows[bare & (z > np.float32(-0.35))]] = Part.CHEST


def _assign(hits: Hits, rows: Rows, mask: Bytes, part: Part, material: tuple[F32, F32, F32]) -> None:
    chosen = rows[mask]
    hits.part[chosen] = part
    for values, new in zip(hits.point, material, strict=True):
        values[chosen] = new[mask]


def _paint_skin(subject: Subject, moment: Moment, hits: Hits, rows: Rows, place: F32) -> None:
    hits.point[1, rows] = features.jaw_rest(subject.identity.shape, moment, place[0], place[1])
    if subject.identity.looks.beard in ("moustache", "goatee", "full"):
        beard = look_up(subject.skin, hits.point[0, rows], hits.point[1, rows])[:, 3] > 0.5
        hits.part[rows[beard & (place[2] > 0)]] = Part.BEARD


def _paint_brows(shape: Shape, moment: Moment, hits: Hits, rows: Rows, place: F32) -> None:
    side, mirror = np.abs(place[0]), np.sign(place[0])
    across = place[1] - features.brow_line(shape, moment, side)
    on = np.abs(across) < features.brow_thickness(shape, side)
    on &= np.abs(side - np.float32(shape.eye_x)) < features.brow_reach(shape)
    _assign(hits, rows, on, Part.BROW, (place[0], across, mirror))


def _paint_eyes(shape: Shape, moment: Moment, hits: Hits, rows: Rows, place: F32) -> None:
    side, mirror = np.abs(place[0]), np.sign(place[0])
    u = (side - np.float32(shape.eye_x)) / np.float32(shape.eye_width)
    hill = 1 - u * u
    level = place[1] - features.eye_line(shape, side)
    lids = features.lids_at(shape, moment)
    open_ = (hill > 0) & (level > np.float32(lids.upper) * hill) & (level < np.float32(lids.lower) * hill)
    centre_x, centre_y = features.iris_centre(shape, moment, mirror)
    from_x, from_y = place[0] - centre_x, place[1] - np.float32(centre_y)
    iris = open_ & (from_x**2 + from_y**2 < np.float32(features.iris_radius(shape) ** 2))
    above = level - np.float32(lids.upper) * hill
    lash = (above <= 0) & (above > np.float32(-features.LASH) * np.minimum(hill + np.float32(0.25), 1))
    _assign(hits, rows, open_ & ~iris, Part.SCLERA, (place[0], place[1], mirror))
    _assign(hits, rows, iris, Part.IRIS, (from_x, from_y, mirror))
    _assign(hits, rows, lash & (hill > -0.2), Part.LASH, (place[0], above, mirror))


def _paint_mouth(shape: Shape, moment: Moment, hits: Hits, rows: Rows, place: F32) -> None:
    x, y, _ = place
    u = x / np.float32(features.mouth_reach(shape, moment))
    within = np.abs(u) < 1
    rows, x, y, u = rows[within], x[within], y[within], u[within]
    mouth, none = features.mouth_curves(shape, moment, u), np.zeros_like(u)
    upper = (mouth.upper - y) / (mouth.upper - mouth.top + np.float32(1e-5))
    lower = (y - mouth.lower) / (mouth.bottom - mouth.lower + np.float32(1e-5))
    hollow = (upper < 0) & (lower < 0)
    teeth = hollow & (y < np.float32(shape.mouth_y + 0.05)) & (np.abs(x) < np.float32(0.85 * shape.mouth_width))
    _assign(hits, rows, (upper >= 0) & (upper < 1), Part.UPPER_LIP, (u, upper, none))
    _assign(hits, rows, (lower >= 0) & (lower < 1) & (upper < 0), Part.LOWER_LIP, (u, lower, none))
    _assign(hits, rows, hollow & ~teeth, Part.MOUTH, (x, y, none))
    _assign(hits, rows, teeth, Part.TEETH, (x, y, none))


def locate(subject: Subject, stage: Stage, traces: Traces) -> F64:
    """Return (2,n) where on the screen traced material is at a moment, hidden or not; zeros for the background."""
    place = traces.material.astype(np.float64)
    shape, moment = subject.identity.shape, stage.moment
    for part, mover in _MOVERS:
        rows = np.flatnonzero(traces.part == part)
        if rows.size:
            place[:2, rows] = mover(shape, moment, place[:, rows])
    painted = np.flatnonzero(traces.part >= Part.BROW)
    x, y = place[:2, painted]
    place[2, painted] = height_at(subject, x, features.jaw_rest(shape, moment, x, y))
    skin = np.flatnonzero((traces.part == Part.SKIN) | (traces.part == Part.BEARD))
    place[1, skin] = features.jaw_moved(shape, moment, place[0, skin], place[1, skin])
    found = np.zeros((2, place.shape[1]))
    on_body, there = ON_BODY[traces.part], traces.part != Part.BACKGROUND
    for placement, mask in ((stage.head, there & ~on_body), (stage.body, there & on_body)):
        found[:, mask] = to_screen(placement, place[:, mask])[:2]
    return found


def _brow(shape: Shape, moment: Moment, material: F64) -> tuple[F64, F64]:
    return material[0], material[1] + features.brow_line(shape, moment, np.abs(material[0]))


def _iris(shape: Shape, moment: Moment, material: F64) -> tuple[F64, F64]:
    x, y = features.iris_centre(shape, moment, material[2])
    return material[0] + x, material[1] + y


def _lash(shape: Shape, moment: Moment, material: F64) -> tuple[F64, F64]:
    side = np.abs(material[0])
    hill = 1 - ((side - shape.eye_x) / shape.eye_width) ** 2
    lid = features.lids_at(shape, moment).upper * hill
    return material[0], material[1] + lid + features.eye_line(shape, side)


def _upper_lip(shape: Shape, moment: Moment, material: F64) -> tuple[F64, F64]:
    mouth = features.mouth_curves(shape, moment, material[0])
    y = mouth.upper - material[1] * (mouth.upper - mouth.top)
    return material[0] * features.mouth_reach(shape, moment), y


def _lower_lip(shape: Shape, moment: Moment, material: F64) -> tuple[F64, F64]:
    mouth = features.mouth_curves(shape, moment, material[0])
    y = mouth.lower + material[1] * (mouth.bottom - mouth.lower)
    return material[0] * features.mouth_reach(shape, moment), y


_MOVERS = (
    (Part.BROW, _brow),
    (Part.LASH, _lash),
    (Part.IRIS, _iris),
    (Part.UPPER_LIP, _upper_lip),
    (Part.LOWER_LIP, _lower_lip),
)
"""Where parts are that move on the face, x and y in the head's coordinates."""
