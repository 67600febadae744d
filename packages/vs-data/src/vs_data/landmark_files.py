"""Files of landmarks, one per frame, and their way to labels: read, smoothed over time, brought to the final size."""

import json
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vs_data.content import Content, Contents, all_in
from vs_data.errors import DataError
from vs_data.json_files import read_json
from vs_data.landmarks import LANDMARKS, face_size, jump_between

LANDMARK_EXTENSIONS = (".json",)

FIX = f"write the {LANDMARKS} points of dlib as [x, y] pairs, pixels of the frame"

FIX_PLACE = "write coordinates in pixels of the frame"

_MAX_FILE_BYTES = 2**20  # bytes; 68 points take about 3,000, with all the digits of a double precision number

_MIN_FACE = 1.0  # centroid size of a face, pixels
MAX_COORDINATE = 1e6  # coordinate, pixels
_MIN_SIGMA = 1e-3  # Gaussian, frames; whatever is narrower weighs a neighbour with nothing either

_F64 = NDArray[np.float64]


def read_landmarks(content: Content, picture: tuple[int, int] | None = None) -> NDArray[np.float64]:
    """Read the landmarks (68, 2), pixels, of one frame from a JSON file that is a list of 68 [x, y] pairs.

    Args:
        content: The file.
        picture: (H, W) of the frame; None: not known.

    Raises:
        DataError: the file is missing, no JSON, or anything else than 68 pairs of finite numbers; the points are all in
            one place, as coordinates that are not in pixels would be; or one of them is far outside of the picture.
    """
    points = read_json(content, _MAX_FILE_BYTES, FIX)
    if not isinstance(points, list):
        raise DataError("is not a list of points", file=str(content), fix=FIX)
    if len(points) != LANDMARKS:
        count = f"{len(points)} landmark{'s' * (len(points) != 1)}"
        raise DataError(f"holds {count}, {LANDMARKS} are needed", file=str(content), fix=FIX)
    for index, point in enumerate(points):
        problem = _no_point(point)
        if problem is not None:
            raise DataError(f"landmark {index} is {_shortened(point)}, {problem}", file=str(content), fix=FIX)
    face = np.array(points, np.float64)
    if face_size(face) < _MIN_FACE:
        what = f"the face is smaller than a pixel (centroid size {face_size(face):.3g})"
        raise DataError(what, file=str(content), fix=FIX_PLACE)
    far = None if picture is None else far_outside(face, picture)
    if far is not None:
        raise DataError(far, file=str(content), fix=FIX_PLACE)
    return face


def _no_point(point: Any) -> str | None:
    """Say what is wrong with what should be [x, y], or None."""
    match point:
        case [x, y] if {type(x), type(y)} <= {int, float}:  # truth values are none
            if not all(abs(number) < math.inf for number in point):
                return "not finite"
            return None if all(abs(number) <= MAX_COORDINATE for number in point) else "beyond any picture"
        case _:
            return "not a pair of numbers [x, y]"


def _shortened(point: Any) -> str:
    try:
        text = json.dumps(point)
    except RecursionError:
        return "a list of lists, nested very deeply"
    return text if len(text) <= 40 else f"{text[:40]}..."


def far_outside(points: _F64, size: tuple[int, int]) -> str | None:
    """Say which landmark (68, 2) is farther from a picture (H, W) than the picture is large, or None."""
    index = _first_beyond(points, size, (size[1], size[0]))
    return None if index is None else f"{_place(points, index)}, far outside of the picture ({size[1]}x{size[0]})"


def slightly_outside(points: _F64, size: tuple[int, int]) -> str | None:
    """Say how many landmarks (68, 2) are not in a picture (H, W) and which is the first, or None."""
    index = _first_beyond(points, size, (0.5, 0.5))
    if index is None:
        return None
    count = int(_beyond(points, size, (0.5, 0.5)).sum())
    several = "" if count == 1 else f" ({count} such landmarks)"
    return f"{_place(points, index)}, outside of the picture ({size[1]}x{size[0]}){several}"


def _beyond(points: _F64, size: tuple[int, int], margin: tuple[float, float]) -> NDArray[np.bool_]:
    low, high = -np.array(margin), np.array((size[1] - 1, size[0] - 1)) + np.array(margin)
    return np.asarray(((points < low) | (points > high)).any(axis=1))


def _first_beyond(points: _F64, size: tuple[int, int], margin: tuple[float, float]) -> int | None:
    outside = _beyond(points, size, margin)
    return int(outside.argmax()) if outside.any() else None


def _place(points: _F64, index: int) -> str:
    return f"landmark {index} is at x={points[index, 0]:g}, y={points[index, 1]:g}"


def read_track(contents: Contents, picture: tuple[int, int]) -> NDArray[np.float64]:
    """Read the landmarks of a whole sequence, as they are in its files: (frames, 68, 2); see `read_landmarks`."""
    return np.stack([read_landmarks(content, picture) for content in all_in(contents)])


def smoothed(points_of: Callable[[int], _F64], frames: Sequence[int], total: int, sigma: float) -> NDArray[np.float64]:
    """Smooth landmarks of some frames of a sequence, each the mean of its neighbours in time: (len(frames), 68, 2).

    Weights are those of a Gaussian, cut off at three times its width, at the ends of the sequence and where the face
    jumps (`jump_between`), since a mean of two people is nobody; what is left of them makes up the whole. What a frame
    becomes depends on the sequence alone, not on which frames are asked.

    Args:
        points_of: Frame -> landmarks (68, 2).
        frames: Which frames, each in 0 to `total` - 1.
        total: Frames of the sequence.
        sigma: Width of the Gaussian, frames; 0: no smoothing.
    """
    if sigma == 0:
        return np.stack([points_of(frame) for frame in frames])
    reach = math.ceil(3 * sigma)
    spans = [range(max(0, frame - reach), min(total, frame + reach + 1)) for frame in frames]
    found = {near: points_of(near) for near in sorted({near for span in spans for near in span})}
    jumps = [near for near in found if near - 1 in found and jump_between(found[near - 1], found[near]) is not None]
    return np.stack(
        [
            _mean(np.stack([found[near] for near in kept]), np.array(kept) - frame, sigma)
            for frame, span in zip(frames, spans, strict=True)
            for kept in [without_jumps(frame, span, jumps)]
        ]
    )


def without_jumps(frame: int, span: range, jumps: Sequence[int]) -> range:
    """Return what of a span around a frame shows the same face; `jumps` are the frames that the face jumps to."""
    first = max((jump for jump in jumps if jump <= frame), default=0)
    stop = min((jump for jump in jumps if jump > frame), default=span.stop)
    return range(max(first, span.start), min(stop, span.stop))


def gaussian(distance: NDArray[np.int64], sigma: float) -> NDArray[np.float64]:
    """Return what neighbours at distances (n,), frames, weigh in a mean."""
    return np.asarray(np.exp(-0.5 * np.square(distance / max(sigma, _MIN_SIGMA))))


def _mean(points: _F64, distance: NDArray[np.int64], sigma: float) -> _F64:
    weights = gaussian(distance, sigma)
    return np.asarray(np.average(points, axis=0, weights=weights), np.float64)
