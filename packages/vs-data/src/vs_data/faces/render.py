"""Frames of a person in motion: pictures, regions, and exact flow between any two of them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vs_data.faces.arrays import F32, F64, Bytes
from vs_data.faces.head import Subject
from vs_data.faces.paint import backdrop, colours_of
from vs_data.faces.parts import REGION_OF, Part
from vs_data.faces.stage import Stage, from_pixels, to_pixels, unit
from vs_data.faces.trace import Traces, locate, trace

_FINE = 192
"""Samples along the shorter side of a picture that are enough for its edges."""

_SAME_PLACE = 0.02
"""How far apart, head units, two traces of one piece of material may be."""


class Shot(NamedTuple):
    """What the centres of the pixels show at a moment.

    Attributes:
        subject, stage, size: Of whom, when, (H, W) of the picture.
        traces: Of the pixels, row by row.
    """

    subject: Subject
    stage: Stage
    size: tuple[int, int]
    traces: Traces


def shoot(subject: Subject, stage: Stage, size: tuple[int, int]) -> Shot:
    """What a picture of size (H, W) shows."""
    return Shot(subject, stage, size, trace(subject, stage, *_samples(size, 1)))


def regions_of(shot: Shot) -> Bytes:
    """(H,W) uint8 ids of `vs_data.clips.REGIONS`."""
    return np.asarray(REGION_OF[shot.traces.part].reshape(shot.size), np.uint8)


def picture_of(subject: Subject, stage: Stage, size: tuple[int, int]) -> F32:
    """(3,H,W) float32 in [0,1]; each pixel is the mean of a square of samples."""
    height, width = size
    fine = max(2, -(-_FINE // min(size)))
    traces = trace(subject, stage, *_samples(size, fine))

    def averaged(values: F32) -> F32:
        return np.asarray(values.reshape(-1, height, fine, width, fine).mean(axis=(2, 4), dtype=np.float32))

    person = averaged(colours_of(subject, traces))
    bare = averaged((traces.part == Part.BACKGROUND).astype(np.float32))
    return person + bare * backdrop(subject.identity, size)


def flow_between(shot: Shot, other: Shot) -> tuple[F32, F32]:
    """Where what one picture shows is in another picture of the same person.

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
    """(n,) whether a look at the places `there` (2,n) of another picture finds what `shot` shows."""
    height, width = shot.size
    inside = ((there >= 0) & (there <= np.array([[width - 1], [height - 1]]))).all(axis=0)
    found = trace(other.subject, other.stage, *from_pixels(there, shot.size).astype(np.float32))
    apart = np.abs(found.material - shot.traces.material).max(axis=0)
    return np.asarray(inside & (found.part == shot.traces.part) & (apart < _SAME_PLACE))


def _samples(size: tuple[int, int], fine: int) -> tuple[F32, F32]:
    """Screen coordinates x and y (n,) of fine * fine samples of each pixel, row by row."""
    height, width = size
    x = ((np.arange(width * fine) + 0.5) / fine - width / 2) / unit(size)
    y = ((np.arange(height * fine) + 0.5) / fine - height / 2) / unit(size)
    return np.tile(x.astype(np.float32), height * fine), np.repeat(y.astype(np.float32), width * fine)
