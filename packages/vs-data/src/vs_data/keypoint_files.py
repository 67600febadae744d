"""Files of keypoints, one per frame: the people in it, whichever program has written them, as points of one skeleton.

Formats: a list of [x, y] or [x, y, confidence], one for each point of the skeleton; OpenPose's JSON of versions 0.1 to
1.3; keypoints of COCO, as annotations or as results; landmarks of MediaPipe.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Literal, TypeAlias

import attrs
import numpy as np
from numpy.typing import NDArray

from vs_data.content import Content
from vs_data.errors import DataError
from vs_data.json_files import read_json
from vs_data.landmark_files import MAX_COORDINATE, far_outside
from vs_data.skeletons import (
    BUILT_IN,
    COCO17,
    LEFT_HAND21,
    MEDIAPIPE33,
    OPENPOSE_BODY25,
    OPENPOSE_COCO18,
    OPENPOSE_FACE70,
    RIGHT_HAND21,
    Skeleton,
)

KEYPOINT_EXTENSIONS = (".json",)

Units: TypeAlias = Literal["auto", "pixels", "normalised"]
"""What coordinates are: pixels, or parts of the picture's width and height; auto: that is told by the format."""

FIX = (
    "write [x, y, confidence] for each point of the skeleton, or what OpenPose (people), COCO (keypoints) or MediaPipe "
    "(landmarks) writes"
)

_MAX_FILE_BYTES = 2**22
_MAX_PEOPLE = 1000
_SOME = 3  # points; fewer may happen to be in one place

_F64 = NDArray[np.float64]

_OPENPOSE_PARTS = (
    ("face_keypoints_2d", "face_keypoints", OPENPOSE_FACE70),
    ("hand_left_keypoints_2d", "hand_left_keypoints", LEFT_HAND21),
    ("hand_right_keypoints_2d", "hand_right_keypoints", RIGHT_HAND21),
)
_MIDDLES = (("neck", "right shoulder", "left shoulder"), ("middle hip", "right hip", "left hip"))
"""Points that some formats lack, and between which two of theirs they are."""


@attrs.frozen(kw_only=True, eq=False)
class Person:
    """One person in a frame.

    Attributes:
        points: (n, 3) x, y, pixels, and confidence of each point of the skeleton; zeros where a point is absent.
        number: The person's number in the file, which is the same in all frames; None: the file gives none.
    """

    points: NDArray[np.float64]
    number: int | None = None


@attrs.frozen(kw_only=True, eq=False)
class _Found:
    """A person as a file has it: points by name."""

    names: tuple[str, ...]
    points: _F64
    number: int | None = None
    normalised: bool = False


def read_people(
    content: Content, skeleton: Skeleton, picture: tuple[int, int] | None, units: Units = "auto"
) -> tuple[Person, ...]:
    """Read the people in one frame; there may be none.

    Points are told by their names: OpenPose's COCO-18 fills its places in BODY_25, and what a file lacks is absent.
    Neck and middle of the hips are put between shoulders and hips where a format has no such points.

    Args:
        content: The file.
        skeleton: Whose points are wanted.
        picture: (H, W) of the frame; None: not known, what is normalised stays so.
        units: What coordinates are; auto: of MediaPipe normalised, of all others pixels.

    Raises:
        DataError: the file cannot be read, is none of these formats, a point is far outside of the picture, or a person
            is as small as coordinates that nobody has said to be normalised make it.
    """
    found = _read(content, skeleton)
    if units == "auto" and any(_in_one_pixel(each.points) for each in found if not each.normalised):
        fix = "set units = 'normalised' where coordinates are parts of the picture, else 'pixels'"
        raise DataError("all points of a person lie in the first pixel of the picture", file=str(content), fix=fix)
    people = tuple(_as_person(each, skeleton, picture, units) for each in found)
    for person in people:
        far = None if picture is None else far_outside(person.points[:, :2], picture)
        if far is not None:
            what = far.replace("landmark", "point", 1)
            raise DataError(what, file=str(content), fix="write coordinates in pixels of the frame")
    return people


def _in_one_pixel(points: _F64) -> bool:
    """Return whether all points (n, 3) that are there, if they are some, have coordinates in [0, 1]."""
    seen = points[points[:, 2] > 0, :2]
    return len(seen) >= _SOME and bool(((seen >= 0) & (seen <= 1)).all())


def are_normalised(contents: Iterable[Content], skeleton: Skeleton, units: Units) -> bool:
    """Return whether the coordinates in files are parts of the picture's width and height.

    The first file that somebody is in decides.
    """
    if units != "auto":
        return units == "normalised"
    people = (found for content in contents for found in _read(content, skeleton))
    return any(found.normalised for found in islice(people, 1))


def _read(content: Content, skeleton: Skeleton) -> list[_Found]:
    data = read_json(content, _MAX_FILE_BYTES, FIX)
    try:
        return list(_people(data, skeleton))
    except _NotAPoseError as problem:
        raise DataError(str(problem), file=str(content), fix=FIX) from None


class _NotAPoseError(Exception):
    """A complaint about the content of a file, in words."""


def _people(data: Any, skeleton: Skeleton) -> Iterator[_Found]:
    """Yield the people of any format."""
    match data:
        case {"people": list() as people}:
            yield from (_of_openpose(person, index) for index, person in enumerate(_few(people)))
        case {"annotations": list() as people}:
            yield from (_of_coco(person, index, skeleton) for index, person in enumerate(_few(people)))
        case {"keypoints": _}:
            yield _of_coco(data, 0, skeleton)
        case {"pose_landmarks": list() as people} | {"landmarks": list() as people}:
            yield from _of_mediapipe(people, skeleton)
        case [{"keypoints": _}, *_]:
            yield from (_of_coco(person, index, skeleton) for index, person in enumerate(_few(data)))
        case [{"x": _}, *_] | [[{"x": _}, *_], *_]:
            yield from _of_mediapipe(data, skeleton)
        case []:
            return
        case list():
            yield _Found(names=_names(len(data), skeleton), points=_of_rows(data))
        case _:
            raise _NotAPoseError("holds no keypoints")


def _few(people: list[Any]) -> list[Any]:
    if len(people) > _MAX_PEOPLE:
        raise _NotAPoseError(f"holds {len(people)} people, at most {_MAX_PEOPLE} are read")
    return people


def _of_openpose(person: Any, index: int) -> _Found:
    match person:
        case {"pose_keypoints_2d": list() as body} | {"pose_keypoints": list() as body}:
            parts = [(_openpose_body(len(body), index), _of_triples(body, f"person {index}"))]
        case _:
            raise _NotAPoseError(f"person {index} has no pose_keypoints_2d")
    for name, old, skeleton in _OPENPOSE_PARTS:
        values = person.get(name) or person.get(old)
        if values:
            points = _of_triples(values, f"{name} of person {index}")
            if len(points) != len(skeleton.points):
                raise _NotAPoseError(_count(len(points), len(skeleton.points), f"{name} of person {index}"))
            parts.append((skeleton.points, points))
    return _Found(
        names=tuple(name for names, _ in parts for name in names),
        points=np.concatenate([points for _, points in parts]),
        number=_openpose_number(person.get("person_id")),
    )


def _openpose_body(values: int, index: int) -> tuple[str, ...]:
    for skeleton in (OPENPOSE_BODY25, OPENPOSE_COCO18):
        if values == 3 * len(skeleton.points):
            return skeleton.points
    if values == 0:
        return ()
    raise _NotAPoseError(f"person {index} has a body of {values} numbers, expected 75 (BODY_25) or 54 (COCO)")


def _openpose_number(value: Any) -> int | None:
    match value:
        case [int() as number] if number >= 0:
            return number
        case _:
            return None  # OpenPose writes [-1] where it does not track


def _of_coco(person: Any, index: int, skeleton: Skeleton) -> _Found:
    match person:
        case {"keypoints": list() as values}:
            points = _of_triples(values, f"person {index}")
        case _:
            raise _NotAPoseError(f"person {index} has no keypoints")
    number = person.get("track_id")
    points[:, 2] = np.minimum(points[:, 2], 1.0)  # 2: labelled and seen, 1: labelled
    coco = len(points) == len(COCO17.points)
    names = COCO17.points if coco else _names(len(points), skeleton)
    return _Found(names=names, points=points, number=number if type(number) is int else None)


def _of_mediapipe(data: list[Any], skeleton: Skeleton) -> Iterator[_Found]:
    people = data if data and all(type(person) is list for person in data) else [data] if data else []
    for person in _few(people):
        points = np.array([_landmark(landmark, index) for index, landmark in enumerate(person)]).reshape(-1, 3)
        own = len(points) == len(MEDIAPIPE33.points)
        yield _Found(
            names=MEDIAPIPE33.points if own else _names(len(points), skeleton), points=_checked(points), normalised=True
        )


def _landmark(landmark: Any, index: int) -> tuple[float, float, float]:
    match landmark:
        case {"x": (int() | float()) as x, "y": (int() | float()) as y}:
            seen = landmark.get("visibility", 1.0)
            return _finite(x), _finite(y), _finite(seen) if type(seen) in {int, float} else 1.0
        case _:
            raise _NotAPoseError(f"landmark {index} has no numbers x and y")


def _of_rows(rows: list[Any]) -> _F64:
    points = []
    for index, row in enumerate(rows):
        match row:
            case [x, y] if _are_numbers(x, y):
                points.append((_finite(x), _finite(y), 1.0))
            case [x, y, confidence] if _are_numbers(x, y, confidence):
                points.append((_finite(x), _finite(y), _finite(confidence)))
            case _:
                raise _NotAPoseError(f"point {index} is neither [x, y] nor [x, y, confidence]")
    return _checked(np.array(points, np.float64))


def _of_triples(values: Any, whose: str) -> _F64:
    if type(values) is not list or len(values) % 3 or not _are_numbers(*values):
        raise _NotAPoseError(f"{whose}: expected x, y, confidence of each point, in one list")
    return _checked(np.array([_finite(value) for value in values], np.float64).reshape(-1, 3), f" of {whose}")


def _are_numbers(*values: Any) -> bool:
    return all(type(value) in {int, float} for value in values)


def _finite(value: float) -> float:
    """Return a number that floating point can hold; whatever is beyond it is infinite, and refused later."""
    return math.inf if abs(value) >= 1e300 else float(value)


def _checked(points: _F64, whose: str = "") -> _F64:
    """Return points (n, 3), of which those without confidence are zeros."""
    bad = ~(np.isfinite(points).all(axis=1) & (np.abs(points) <= MAX_COORDINATE).all(axis=1))
    if bad.any():
        index = int(bad.argmax())
        x, y, confidence = points[index]
        what = "beyond any picture" if np.isfinite(points[index]).all() else "not finite"
        raise _NotAPoseError(f"point {index}{whose} is at x={x:g}, y={y:g}, confidence {confidence:g}: {what}")
    return np.where(points[:, 2:] > 0, points, 0.0)


def _names(count: int, skeleton: Skeleton) -> tuple[str, ...]:
    if count != len(skeleton.points):
        fitting = next(
            (f"; skeleton = {name!r} has as many" for name, other in BUILT_IN.items() if len(other.points) == count), ""
        )
        raise _NotAPoseError(_count(count, len(skeleton.points), "the skeleton") + fitting)
    return skeleton.points


def _count(got: int, wanted: int, whose: str) -> str:
    return f"holds {got} point{'s' * (got != 1)}, {wanted} are needed by {whose}"


def _as_person(found: _Found, skeleton: Skeleton, picture: tuple[int, int] | None, units: Units) -> Person:
    normalised = found.normalised if units == "auto" else units == "normalised"
    points = found.points
    if normalised and picture is not None:
        scaled = points[:, :2] * (picture[1], picture[0]) - 0.5
        points = np.where(points[:, 2:] > 0, np.concatenate([scaled, points[:, 2:]], axis=1), 0.0)
    known = dict(zip(found.names, points, strict=True))
    for middle, right, left in _MIDDLES:
        if middle not in known and right in known and left in known:
            known[middle] = _between(known[right], known[left])
    absent = np.zeros(3)
    return Person(points=np.stack([known.get(name, absent) for name in skeleton.points]), number=found.number)


def _between(one: _F64, other: _F64) -> _F64:
    """Return the middle of two points with the lesser confidence; absent unless both are there."""
    confidence = min(one[2], other[2])
    return np.array([*((one[:2] + other[:2]) / 2), confidence]) if confidence > 0 else np.zeros(3)


def without_doubt(points: Sequence[_F64] | _F64, least: float) -> _F64:
    """Return points (..., n, 3), those of less confidence than `least` absent."""
    there = np.asarray(points)
    return np.where((there[..., 2:] >= least) & (there[..., 2:] > 0), there, 0.0)
