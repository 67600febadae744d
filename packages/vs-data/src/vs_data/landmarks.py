"""Faces as drawings: 68 landmarks in dlib's order become the edge map that conditions the networks."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vs_data.errors import VsDataError

LANDMARKS = 68
"""Points of a face: jaw 0-16, brows 17-26, nose 27-35, eyes 36-47, outer lips 48-59, inner lips 60-67."""

JAW = tuple(range(17))
"""The outline of the face from ear to ear, by way of the chin."""

CURVES: tuple[tuple[int, ...], ...] = (
    JAW,
    tuple(range(17, 22)),  # brows
    tuple(range(22, 27)),
    tuple(range(27, 31)),  # nose: bridge, base
    tuple(range(31, 36)),
    (36, 37, 38, 39),  # eyes: each lid is a curve of its own, so that the corners stay sharp
    (39, 40, 41, 36),
    (42, 43, 44, 45),
    (45, 46, 47, 42),
    tuple(range(48, 55)),  # outer lips: upper, lower
    (54, 55, 56, 57, 58, 59, 48),
    tuple(range(60, 65)),  # inner lips: upper, lower
    (64, 65, 66, 67, 60),
)
"""Which landmarks each line of the drawing goes through."""

_SAMPLES = 8  # straight pieces per span of a curve
_FOREHEAD = 1.7  # height of the forehead above the line between the ears, in lengths of the nose
_SIZE_PER_LINE = 12.5  # centroid size of a face, pixels, whose lines would be one pixel wide: one in a 64x64 picture
_MIN_LINE_WIDTH = 2.0
_MAX_LINE_WIDTH = 8.0

_EYES = (slice(36, 42), slice(42, 48))  # of the face's right and left side
_CHIN = 8
_MAX_MOVE = 1.0  # move of the centre between neighbours, sizes of the face
_MAX_GROWTH = 1.5
_MAX_BEND = 1.0  # move of a landmark against the centre, sizes of the face
_MIN_FRONTAL_AREA = 0.3  # squares of the face's size; from the side less is seen, and not which eye is which

_F64 = NDArray[np.float64]


def draw_face(points: NDArray[Any], size: tuple[int, int]) -> NDArray[np.float32]:
    """Return the edge map of a face: jaw, brows, nose, eyes, lips and an arch over the forehead.

    Lines are Catmull-Rom curves through the landmarks with anti-aliased edges; a pixel's value is how much of it a line
    covers. Pixel (x, y) has its centre at (x, y). What lies outside of the picture is cut off.

    Args:
        points: (68, 2) x and y, pixels, in dlib's order.
        size: (H, W) of the map.

    Returns:
        (H, W) float32 in [0, 1].

    Raises:
        VsDataError: not 68 points, or numbers that are not finite.
    """
    face = check_points(points)
    lines = [smooth_curve(face[list(curve)]) for curve in CURVES]
    return _draw([*lines, forehead(face)], line_width(face), size)


def check_points(points: NDArray[Any]) -> NDArray[np.float64]:
    """Return landmarks (68, 2) as float64; `VsDataError` when they are not 68 finite pairs."""
    face = np.asarray(points, np.float64)
    if face.shape != (LANDMARKS, 2):
        raise VsDataError(f"landmarks have the shape {face.shape}, allowed: ({LANDMARKS}, 2), x and y of dlib's points")
    if not np.isfinite(face).all():
        raise VsDataError("landmarks hold numbers that are not finite")
    return face


def line_width(points: _F64) -> float:
    """Return the width of lines for a face (68, 2), pixels: 2 up to 256x256, then growing with the root of its size.

    A line as wide in proportion everywhere would be gone in small pictures, or hide the eyes in large ones; and of
    lines one pixel wide, a flow network learns later how far apart two faces are. Even of a face larger than any
    screen, lines stay at most `_MAX_LINE_WIDTH` wide.
    """
    return float(np.clip(np.sqrt(face_size(points) / _SIZE_PER_LINE), _MIN_LINE_WIDTH, _MAX_LINE_WIDTH))


def face_size(points: _F64) -> float:
    """Return the root mean square distance of landmarks (N, 2) from their mean, pixels: changes with scale alone."""
    return float(np.sqrt(np.square(points - points.mean(axis=0)).sum(axis=1).mean()))


def jump_between(before: _F64, after: _F64) -> str | None:
    """Say how the landmarks (68, 2) of a frame cannot be the same face as those of the frame before, or None.

    Sizes are those of `face_size`, a third of a head's width, so that the centre of a face beside another is three of
    them away. The wildest heads of `FacesConfig` move by 0.3 between two frames, people who talk by 0.1; they grow by
    3 %, nobody turns upside down, and no landmark moves by more than 0.25 against the others. Faces smaller than a
    pixel are not looked at.
    """
    sizes = face_size(before), face_size(after)
    if min(sizes) < 1:
        return None
    move = float(np.linalg.norm(after.mean(axis=0) - before.mean(axis=0))) / max(sizes)
    if move > _MAX_MOVE:
        return f"its centre moves by {move:.1f} times the size of the face"
    growth = max(sizes) / min(sizes)
    if growth > _MAX_GROWTH:
        return f"its size changes {growth:.1f}-fold"
    (one, one_plain), (other, other_plain) = _upright(before), _upright(after)
    if one_plain and other_plain and float(one @ other) < 0:
        return "it turns upside down"
    bend = np.linalg.norm((after - after.mean(axis=0)) - (before - before.mean(axis=0)), axis=1) / max(sizes)
    index = int(bend.argmax())
    return f"landmark {index} moves by {bend[index]:.1f} times its size in it" if bend[index] > _MAX_BEND else None


def is_mirrored(points: _F64) -> bool:
    """Tell whether right and left of a face (68, 2) are exchanged: its chin below, its right eye is on the right.

    So are landmarks of a mirrored picture whose numbers were not exchanged along.
    """
    across, plain = _upright(points)
    down = points[_CHIN] - (points[_EYES[0]].mean(axis=0) + points[_EYES[1]].mean(axis=0)) / 2
    return plain and float(across[0] * down[1] - across[1] * down[0]) < 0


def _upright(points: _F64) -> tuple[_F64, bool]:
    """Return the way from the right eye to the left one, and whether the view shows plainly which is which."""
    right, left = points[_EYES[0]].mean(axis=0), points[_EYES[1]].mean(axis=0)
    across, down = left - right, points[_CHIN] - (right + left) / 2
    area = abs(float(across[0] * down[1] - across[1] * down[0]))
    return across, area > _MIN_FRONTAL_AREA * face_size(points) ** 2


def forehead(points: _F64) -> _F64:
    """Return the arch (n, 2) that closes the outline of a face: half an ellipse from jaw point 16 to jaw point 0.

    dlib has no points above the brows. The arch stands on the line between the ears, which turns it with the head's
    roll; its height is in proportion to the nose, which neither speaking nor turning the head changes much.
    """
    right, left = points[0], points[16]
    middle, across = (left + right) / 2, (left - right) / 2
    nose = points[27] - points[33]
    length = float(across @ across)
    up = _FOREHEAD * (nose - across * (float(nose @ across) / length if length > 0 else 0.0))
    angle = np.linspace(0.0, np.pi, 4 * _SAMPLES + 1)[:, None]
    arch: _F64 = middle + np.cos(angle) * across + np.sin(angle) * up
    return arch


def smooth_curve(points: _F64) -> _F64:
    """Return a Catmull-Rom curve through points (n, 2), as `_SAMPLES` straight pieces per span: (m, 2).

    Source: Catmull and Rom, "A class of local interpolating splines", 1974; the ends are mirrored.
    """
    before, after = 2 * points[0] - points[1], 2 * points[-1] - points[-2]
    p = np.concatenate([before[None], points, after[None]])[:, None]
    t = (np.arange(_SAMPLES) / _SAMPLES)[:, None]
    p0, p1, p2, p3 = p[:-3], p[1:-2], p[2:-1], p[3:]
    bends = (2 * p0 - 5 * p1 + 4 * p2 - p3) * t**2 + (3 * p1 - p0 - 3 * p2 + p3) * t**3
    spans = p1 + ((p2 - p0) * t + bends) / 2  # (spans, samples, 2)
    return np.concatenate([spans.reshape(-1, 2), points[-1:]])


def _draw(lines: list[_F64], width: float, size: tuple[int, int]) -> NDArray[np.float32]:
    """Return how much of each pixel lines of a width cover: a ramp of one pixel by distance from the nearest piece."""
    starts, stops = _pieces(lines, size, margin=width)
    reach = int(
        np.ceil(width / 2 + 1.5)
    )  # half the width, the ramp's half, half a piece, and the rounding of its middle
    steps = np.arange(-reach, reach + 1)
    middles = np.rint((starts + stops) / 2).astype(np.int64)
    x = middles[:, 0, None, None] + steps[None, None, :]
    y = middles[:, 1, None, None] + steps[None, :, None]
    covered = np.clip(width / 2 + 0.5 - distance_to(x, y, starts, stops), 0.0, 1.0).astype(np.float32)
    x, y = np.broadcast_arrays(x, y)
    height, columns = size
    seen = (x >= 0) & (x < columns) & (y >= 0) & (y < height)
    canvas = np.zeros(height * columns, np.float32)
    np.maximum.at(canvas, y[seen] * columns + x[seen], covered[seen])
    return canvas.reshape(size)


def distance_to(x: NDArray[np.int64], y: NDArray[np.int64], starts: _F64, stops: _F64) -> _F64:
    """Return the distance of the pixels around each piece, (n, 1, s) and (n, s, 1), from it: (n, s, s)."""
    (ax, ay), (dx, dy) = starts.T[:, :, None, None], (stops - starts).T[:, :, None, None]
    length = np.maximum(dx**2 + dy**2, 1e-12)
    along = np.clip(((x - ax) * dx + (y - ay) * dy) / length, 0.0, 1.0)
    return np.asarray(np.hypot(x - ax - along * dx, y - ay - along * dy))


def _pieces(lines: list[_F64], size: tuple[int, int], margin: float) -> tuple[_F64, _F64]:
    """Start and stop (n, 2) of straight pieces of at most one pixel; what is outside of the picture is left out."""
    starts = np.concatenate([line[:-1] for line in lines])
    stops = np.concatenate([line[1:] for line in lines])
    first, last = _clip(starts, stops, np.array((size[1], size[0]), np.float64), margin)
    inside = first <= last
    starts, stops, first, last = starts[inside], stops[inside], first[inside, None], last[inside, None]
    starts, stops = starts + first * (stops - starts), starts + last * (stops - starts)
    counts = np.maximum(1, np.ceil(np.linalg.norm(stops - starts, axis=1))).astype(np.int64)
    number = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    length = np.repeat(1 / counts, counts)[:, None]  # of a piece, in lengths of its line
    origin, way = np.repeat(starts, counts, axis=0), np.repeat(stops - starts, counts, axis=0)
    begin = origin + way * length * number[:, None]
    return begin, begin + way * length


def _clip(starts: _F64, stops: _F64, extent: _F64, margin: float) -> tuple[_F64, _F64]:
    """Return from which to which part (n,) of its way each piece is in the picture and a margin; first > last: never.

    Source: Liang and Barsky, "A new concept and method for line clipping", 1984.
    """
    way = stops - starts
    way = np.where(np.abs(way) < 1e-9, 1e-9, way)
    enter, leave = (-margin - 1 - starts) / way, (extent + margin - starts) / way
    return (
        np.maximum(np.minimum(enter, leave).max(axis=1), 0.0),
        np.minimum(np.maximum(enter, leave).min(axis=1), 1.0),
    )
