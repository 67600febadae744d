"""Frames of a person in motion: pictures, regions, and exact flow between any two of them."""

from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from vs_data.faces.head import Subject
from vs_data.faces.paint import backdrop, colours_of
from vs_data.faces.parts import REGION_OF, Part
from vs_data.faces.stage import Stage, from_pixels, to_pixels
from vs_data.faces.trace import Traces, locate, trace
from vs_data.procedural.arrays import F32, F64, Bytes, Rows

_SAMPLES_PER_SQUARE = 20_000
"""So many samples in a square as wide as the picture's shorter side are enough for its edges and small features."""

_SAMPLES_AT_ONCE = 24_000
"""Samples that are computed at a time, so that they stay in the processor's caches."""

_LATTICES = ((5, 3), (13, 8), (34, 21), (89, 55))
"""Numbers of samples of a pixel, and the step of each in its second coordinate: Fibonacci lattices, which see an edge
that is nearly upright or level as finely as there are samples, other than a square of them."""

_SAME_PLACE = 0.02
"""How far apart, head units, two traces of one piece of material may be."""

_ROUNDING = 1e-3
"""What is less than this outside of the picture, pixels, is on its border."""


class Shot(NamedTuple):
    """The surfaces at the centres of the pixels at a moment.

    Attributes:
        subject, stage, size: Of whom, when, (H, W) of the picture.
        traces: Of the pixels, row by row.
    """

    subject: Subject
    stage: Stage
    size: tuple[int, int]
    traces: Traces


def shoot(subject: Subject, stage: Stage, size: tuple[int, int]) -> Shot:
    """Return what a picture of size (H, W) shows."""
    return Shot(
        subject, stage, size, trace(subject, stage, *_samples(size, np.arange(size[0] * size[1]), np.zeros((2, 1))))
    )


def regions_of(shot: Shot) -> Bytes:
    """Return (H,W) uint8 ids of `vs_data.clips.REGIONS`."""
    return np.asarray(REGION_OF[shot.traces.part].reshape(shot.size), np.uint8)


def picture_of(shot: Shot) -> F32:
    """Return (3,H,W) float32 in [0,1]; each pixel is the mean of a lattice of samples."""
    subject, stage, size, traces = shot
    picture = backdrop(subject.identity, size).copy().reshape(3, -1)
    person = (traces.part != Part.BACKGROUND).astype(np.uint8).reshape(size)
    pixels = np.flatnonzero(cv2.dilate(person, np.ones((3, 3), np.uint8)))  # all others show the background alone
    within = _lattice(min(size))
    count = within.shape[1]
    for start in range(0, pixels.size, _SAMPLES_AT_ONCE // count):
        some = pixels[start : start + _SAMPLES_AT_ONCE // count]
        finer = trace(subject, stage, *_samples(size, some, within))
        bare = (finer.part == Part.BACKGROUND).reshape(-1, count).mean(axis=1, dtype=np.float32)
        colours = colours_of(subject, finer).reshape(3, -1, count).mean(axis=2)
        picture[:, some] = colours + bare * picture[:, some]
    return picture.reshape(3, *size)


def flow_between(shot: Shot, other: Shot) -> tuple[F32, F32]:
    """Return where what one picture shows is in another picture of the same person.

    Returns:
        (2,H,W) float32 pixels, x then y: pixel p of `shot` shows what is at p + flow in `other`; and (1,H,W) float32, 1
        where that point can be seen in `other`, else 0.
    """
    height, width = shot.size
    rows, columns = np.divmod(np.arange(height * width), width)
    here = np.stack([columns, rows]).astype(np.float64)
    there = here.copy()
    person = shot.traces.part != Part.BACKGROUND
    there[:, person] = to_pixels(locate(shot.subject, other.stage, shot.traces)[:, person], shot.size)
    seen = _seen(shot, other, there)
    return (
        (there - here).reshape(2, height, width).astype(np.float32),
        seen.reshape(1, height, width).astype(np.float32),
    )


def _seen(shot: Shot, other: Shot, there: F64) -> NDArray[np.bool_]:
    """Return (n,) whether a look at the places `there` (2,n) of another picture finds what `shot` shows."""
    height, width = shot.size
    last = np.array([[width - 1], [height - 1]])
    inside = ((there > -_ROUNDING) & (there < last + _ROUNDING)).all(axis=0)
    found = trace(other.subject, other.stage, *from_pixels(there, shot.size).astype(np.float32))
    apart = np.abs(found.material - shot.traces.material).max(axis=0)
    return np.asarray(inside & (found.part == shot.traces.part) & (apart < _SAME_PLACE))


@lru_cache(maxsize=8)
def _lattice(shorter: int) -> F64:
    """Return (2,n) places of samples within a pixel, from -0.5 to 0.5, for pictures whose shorter side is so long."""
    wanted = _SAMPLES_PER_SQUARE / shorter**2
    count, step = next((lattice for lattice in _LATTICES if lattice[0] >= wanted), _LATTICES[-1])
    index = np.arange(count)
    return np.stack([(index + 0.5) / count, (index * step % count + 0.5) / count]) - 0.5


def _samples(size: tuple[int, int], pixels: Rows, within: F64) -> tuple[F32, F32]:
    """Return the screen coordinates x and y (n * k,) of samples at places (2,k) within each of some pixels (n,)."""
    corner = np.stack(np.divmod(pixels, size[1])[::-1])
    places = (corner[:, :, None] + within[:, None]).reshape(2, -1)
    x, y = from_pixels(places, size).astype(np.float32)
    return x, y
