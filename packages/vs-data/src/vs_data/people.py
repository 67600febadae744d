"""Persons over time: which one of a frame is followed, and how a track of points is smoothed."""

import math
from collections.abc import Callable, Sequence
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vs_data.keypoint_files import Person
from vs_data.landmark_files import gaussian, without_jumps

Follow: TypeAlias = Literal["largest", "nearest", "number"]
"""Who is followed: the largest person of each frame, the one nearest to that of the frame before, or a number."""

_MAX_MOVE = 1.0  # move of a person between neighbours, sizes of the person: a size is about a third of the height
_MAX_GROWTH = 1.6
_FEW = 2  # points in common by which two frames can be compared

_F64 = NDArray[np.float64]


def there(points: _F64) -> NDArray[np.bool_]:
    """Return which points (..., n, 3) are there."""
    return np.asarray(points[..., 2] > 0)


def extent_of(points: _F64) -> float:
    """Return how large a person (n, 3) is: the diagonal of the box around its points, pixels; nobody: 0."""
    seen = points[there(points), :2]
    return float(np.hypot(*np.ptp(seen, axis=0))) if len(seen) else 0.0


def choose(people: Sequence[Person], follow: Follow, number: int, last: _F64 | None) -> _F64 | None:
    """Return the points (n, 3) of the person who is followed, or None where there is nobody.

    Args:
        people: In the frame.
        follow: Whom to follow.
        number: The person's, for `follow` "number".
        last: Who was followed last, for `follow` "nearest"; None: nobody yet, the largest is taken.
    """
    seen = [person for person in people if there(person.points).any()]
    if follow == "number":
        return next((person.points for person in seen if person.number == number), None)
    if not seen:
        return None
    if follow == "nearest" and last is not None:
        return min(seen, key=lambda person: distance_between(person.points, last)).points
    return max(seen, key=lambda person: extent_of(person.points)).points


def distance_between(one: _F64, other: _F64) -> float:
    """Return the mean distance of the points that two persons (n, 3) have in common, or that of their centres."""
    common = there(one) & there(other)
    if common.any():
        return float(np.linalg.norm(one[common, :2] - other[common, :2], axis=1).mean())
    return float(np.linalg.norm(_centre(one) - _centre(other)))


def _centre(points: _F64) -> _F64:
    return np.asarray(points[there(points), :2].mean(axis=0))


def follow_all(frames: Sequence[Sequence[Person]], points: int, follow: Follow, number: int) -> _F64:
    """Return the person who is followed through all frames: (frames, points, 3), zeros where there is nobody."""
    track = np.zeros((len(frames), points, 3))
    last = None
    for index, people in enumerate(frames):
        chosen = choose(people, follow, number, last)
        if chosen is not None:
            last = track[index] = chosen
    return track


def jump_between_poses(before: _F64, after: _F64) -> str | None:
    """Say how the points (n, 3) of a frame cannot be the same person as those before, or None.

    Only points that are in both are compared.
    """
    common = there(before) & there(after)
    if common.sum() < _FEW:
        return None
    one, other = before[common, :2], after[common, :2]
    sizes = _spread(one), _spread(other)
    if min(sizes) < 1:
        return None
    move = float(np.linalg.norm(one.mean(axis=0) - other.mean(axis=0))) / max(sizes)
    if move > _MAX_MOVE:
        return f"the person moves by {move:.1f} times its size"
    growth = max(sizes) / min(sizes)
    return f"the person's size changes {growth:.1f}-fold" if growth > _MAX_GROWTH else None


def _spread(points: _F64) -> float:
    return float(np.sqrt(np.square(points - points.mean(axis=0)).sum(axis=1).mean()))


def jumps_in(found: dict[int, _F64]) -> list[int]:
    """Return the frames, of some in order, to which a person jumps from where it was seen last."""
    jumps, last = [], None
    for frame, points in found.items():
        if last is not None and jump_between_poses(last, points) is not None:
            jumps.append(frame)
        if there(points).any():
            last = points
    return jumps


def smoothed_poses(points_of: Callable[[int], _F64], frames: Sequence[int], total: int, sigma: float) -> _F64:
    """Smooth a person's points over time: (len(frames), n, 3).

    Each point that is there is the mean of itself at neighbouring times, where it is there too; a point that is absent
    stays absent. Weights are those of a Gaussian, cut off at three times its width, at the ends of the sequence and
    where the person jumps (`jump_between_poses`).

    Args:
        points_of: Frame -> points (n, 3) of the person.
        frames: Which frames, each in 0 to `total` - 1.
        total: Frames of the sequence.
        sigma: Width of the Gaussian, frames; 0: no smoothing.
    """
    if sigma == 0:
        return np.stack([points_of(frame) for frame in frames])
    reach = math.ceil(3 * sigma)
    spans = [range(max(0, frame - reach), min(total, frame + reach + 1)) for frame in frames]
    found = {near: points_of(near) for near in sorted({near for span in spans for near in span})}
    jumps = jumps_in(found)
    smooth = []
    for frame, span in zip(frames, spans, strict=True):
        kept = without_jumps(frame, span, jumps)
        near = np.stack([found[each] for each in kept])
        smooth.append(_mean(near, found[frame], gaussian(np.array(kept) - frame, sigma)))
    return np.stack(smooth)


def _mean(near: _F64, here: _F64, weights: _F64) -> _F64:
    """Return the weighted mean of points over time (m, n, 3), of those that are `here` (n, 3)."""
    weight = weights[:, None] * there(near)  # (m, n)
    total = np.maximum(weight.sum(axis=0), np.finfo(np.float64).tiny)[:, None]
    mean = (weight[..., None] * near[..., :2]).sum(axis=0) / total
    return np.where(there(here)[:, None], np.concatenate([mean, here[:, 2:]], axis=1), 0.0)
