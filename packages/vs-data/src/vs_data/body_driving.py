"""Driving one body by another's motion: limbs keep their directions and get the lengths of the subject's.

A body is a tree of limbs, taken apart from its root outwards: every limb is as long, against the driver's usual length
of it, as it is in the driver's frame, in the subject's usual length; so a limb that points at the camera stays short.
The feet stand as high above the subject's ground as the driver's above the driver's, by the sizes of both.
"""

from collections.abc import Sequence

import attrs
import numpy as np
from numpy.typing import NDArray

from vs_data.people import there
from vs_data.skeletons import Part, Skeleton

_ROOTS = ("middle hip", "neck")
_FEET = ("ankle", "heel", "toe", "foot")
_ANCHORS = {"left hand": "left wrist", "right hand": "right wrist", "face": "nose"}
"""Which point of the body a part of a skeleton is carried by."""

_TRUNK = ("neck", "left shoulder")
"""What carries points of a body that no limb joins to its root, as a head without a neck."""

_MIN_RATIO, _MAX_RATIO = 0.25, 4.0  # of the proportions of two bodies of one size, against broken points
_EPSILON = 1e-9

_F64 = NDArray[np.float64]


@attrs.frozen(kw_only=True, eq=False)
class BodySubject:
    """A description of a sequence's body, and of where it usually is in the picture.

    Attributes:
        lengths: (limbs,) usual length of each limb of the skeleton, pixels; NaN: it was never seen.
        extents: (parts,) usual size of each part of the skeleton (root mean square distance from its centre), pixels.
        place: (2,) mean place of all points, pixels.
        ground: y of the lowest foot, usually, pixels; NaN: no foot was ever seen.
    """

    lengths: NDArray[np.float64]
    extents: NDArray[np.float64]
    place: NDArray[np.float64]
    ground: float


def body_subject_of(track: NDArray[np.float64], skeleton: Skeleton) -> BodySubject:
    """Return the subject of points (frames, n, 3) of a whole sequence; absent points do not count."""
    seen = there(track)
    lengths = [
        _median(np.linalg.norm(track[:, a, :2] - track[:, b, :2], axis=1)[seen[:, a] & seen[:, b]])
        for a, b in skeleton.limbs
    ]
    extents = [_median(_extents(track[:, part.first : part.stop])) for part in skeleton.parts]
    places = np.array([points[mask, :2].mean(axis=0) for points, mask in zip(track, seen, strict=True) if mask.any()])
    grounds = [_lowest_foot(points, skeleton) for points in track]
    return BodySubject(
        lengths=np.array(lengths),
        extents=np.array(extents),
        place=places.mean(axis=0) if len(places) else np.zeros(2),
        ground=_median(np.array([ground for ground in grounds if ground is not None])),
    )


def _median(values: _F64) -> float:
    return float(np.median(values)) if len(values) else float("nan")


def _extents(track: _F64) -> _F64:
    """Return the size of a part in each frame (frames, n, 3) in which most of it is there."""
    sizes = []
    for points in track:
        seen = points[there(points), :2]
        if 2 * len(seen) > len(points):
            sizes.append(np.sqrt(np.square(seen - seen.mean(axis=0)).sum(axis=1).mean()))
    return np.array(sizes)


def _lowest_foot(points: _F64, skeleton: Skeleton) -> float | None:
    """Return y of the lowest foot of a body (n, 3), or None where no foot is there."""
    feet = [index for index, name in enumerate(skeleton.points) if any(word in name for word in _FEET)]
    seen = [points[index, 1] for index in feet if points[index, 2] > 0]
    return float(max(seen)) if seen else None


def drive_body(
    points: NDArray[np.float64], driver: BodySubject, subject: BodySubject, skeleton: Skeleton
) -> NDArray[np.float64]:
    """Return points of `subject` in the motion of `driver`; driving a subject by itself changes nothing.

    Args:
        points: (T, n, 3) of the driver, pixels of its pictures.
        driver: Made from the whole sequence that the points are from.
        subject: Made from the sequence of the subject that is to be shown.
        skeleton: Of both.

    Returns:
        (T, n, 3) points, pixels of the subject's pictures; absent ones stay absent.
    """
    size = _size_ratio(driver, subject)
    limbs = np.array([_ratio(one, other, size) for one, other in zip(subject.lengths, driver.lengths, strict=True)])
    parts = np.array([_ratio(one, other, size) for one, other in zip(subject.extents, driver.extents, strict=True)])
    tree = _tree(skeleton, limbs, parts)
    return np.stack([_driven(frame, tree, driver, subject, size, skeleton) for frame in points])


def _size_ratio(driver: BodySubject, subject: BodySubject) -> float:
    """Return how much larger the subject is: the ratio of all limbs that were seen in both."""
    both = np.isfinite(driver.lengths) & np.isfinite(subject.lengths)
    one, other = float(subject.lengths[both].sum()), float(driver.lengths[both].sum())
    return one / other if min(one, other) > _EPSILON else 1.0


def _ratio(subject: float, driver: float, size: float) -> float:
    """Return how much longer something of the subject is than of the driver; where nobody knows, as all the body."""
    if not (np.isfinite([subject, driver]).all() and min(subject, driver) > _EPSILON):
        return size
    return size * float(np.clip(subject / driver / size, _MIN_RATIO, _MAX_RATIO))


@attrs.frozen(kw_only=True)
class _Branch:
    """A point, the one that carries it (None: the picture), and how much longer the way between them becomes."""

    point: int
    parent: int | None
    ratio: float | None


def _tree(skeleton: Skeleton, limbs: _F64, parts: _F64) -> tuple[_Branch, ...]:
    """Return all points, each behind the one that carries it; no ratio: that of the whole body."""
    body = skeleton.part("body")
    number = {name: index for index, name in enumerate(skeleton.points)}
    branches = [] if body is None else _body_branches(skeleton, body, number, limbs)
    for part, ratio in zip(skeleton.parts, parts, strict=True):
        if part != body:
            anchor = number.get(_ANCHORS.get(part.name, ""))
            branches += [_Branch(point=point, parent=anchor, ratio=ratio) for point in range(part.first, part.stop)]
    return tuple(branches)


def _body_branches(skeleton: Skeleton, body: Part, number: dict[str, int], limbs: _F64) -> list[_Branch]:
    """Walk along the limbs of a body from its root, nearest first; what no limb leads to hangs on the trunk."""
    root = next((number[name] for name in _ROOTS if name in number), body.first)
    trunk = next((number[name] for name in _TRUNK if name in number), root)
    branches: list[_Branch] = []
    reached: set[int] = set()
    for start in (root, *range(body.first, body.stop)):
        if start not in reached:
            reached.add(start)
            parent = None if start == root or trunk not in reached - {start} else trunk
            branches.append(_Branch(point=start, parent=parent, ratio=None))
            branches += _along(skeleton, body, start, reached, limbs)
    return branches


def _along(skeleton: Skeleton, body: Part, start: int, reached: set[int], limbs: _F64) -> list[_Branch]:
    branches, edge = [], [start]
    while edge:
        here = edge.pop(0)
        for ends, ratio in zip(skeleton.limbs, limbs, strict=True):
            if here in ends and body.first <= min(ends) and max(ends) < body.stop:
                (other,) = set(ends) - {here} or {here}
                if other not in reached:
                    reached.add(other)
                    edge.append(other)
                    branches.append(_Branch(point=other, parent=here, ratio=float(ratio)))
    return branches


def _driven(
    points: _F64, tree: Sequence[_Branch], driver: BodySubject, subject: BodySubject, size: float, skeleton: Skeleton
) -> _F64:
    seen = there(points)
    if not seen.any():
        return points
    parents = {branch.point: branch.parent for branch in tree}
    moved = points.copy()
    for branch in tree:
        if seen[branch.point]:
            carrier = _first_seen(branch.parent, parents, seen)
            if carrier is None:
                moved[branch.point, :2] = subject.place + (points[branch.point, :2] - driver.place) * size
            else:
                direct = carrier == branch.parent and branch.ratio is not None
                ratio = branch.ratio if direct and branch.ratio is not None else size
                way = (points[branch.point, :2] - points[carrier, :2]) * ratio
                moved[branch.point, :2] = moved[carrier, :2] + way
    moved[seen, 1] += _rise(points, moved, driver, subject, size, skeleton)
    return moved


def _first_seen(point: int | None, parents: dict[int, int | None], seen: NDArray[np.bool_]) -> int | None:
    """Return the nearest of those that carry a point which is there, or None."""
    while point is not None and not seen[point]:
        point = parents[point]
    return point


def _rise(
    points: _F64, moved: _F64, driver: BodySubject, subject: BodySubject, size: float, skeleton: Skeleton
) -> float:
    """Return how far down a body has to go for its feet to be where they belong; without feet it stays."""
    low, moved_low = _lowest_foot(points, skeleton), _lowest_foot(moved, skeleton)
    if low is None or moved_low is None or not np.isfinite([driver.ground, subject.ground]).all():
        return 0.0
    return subject.ground + (low - driver.ground) * size - moved_low
