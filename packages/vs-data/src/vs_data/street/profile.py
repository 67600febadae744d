"""What varies along the street only, as tables over z, blurred in steps so that sampling them does not alias."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import cv2
import numpy as np

from vs_data.street.arrays import F32

STEP = 0.05
"""Distance between entries, metres."""

BLURS = (0.25, 0.8, 2.5, 8.0)
"""Widths over which the levels of a table are averaged, metres."""

_START = -90.0


@attrs.frozen(kw_only=True, eq=False)
class Profile:
    """Tables of shape (levels * entries,), a level after the other.

    Attributes:
        heights: Height of the houses on the left, metres.
        zebra: 1 on a zebra crossing.
        junction: 1 in a cross street, where lane markings end.
        entries: Entries of one level.
    """

    heights: F32
    zebra: F32
    junction: F32
    entries: int


def profile_of(
    silhouette: Sequence[tuple[float, float, float]], crossings: Sequence[tuple[float, float]], end: float
) -> Profile:
    """The tables of a street from its houses (start, end, height) and its cross streets (start, end)."""
    entries = int((end - _START) / STEP)
    return Profile(
        heights=_table(silhouette, entries),
        zebra=_table([(start - 3.6, start - 0.6, 1.0) for start, _ in crossings], entries),
        junction=_table([(start - 5.2, stop + 1.0, 1.0) for start, stop in crossings], entries),
        entries=entries,
    )


def _table(spans: Sequence[tuple[float, float, float]], entries: int) -> F32:
    table = np.zeros((1, entries), np.float32)
    for start, stop, value in spans:
        table[0, max(0, int((start - _START) / STEP)) : max(0, int((stop - _START) / STEP))] = value
    return np.concatenate([cv2.blur(table, (round(blur / STEP), 1))[0] for blur in BLURS])


def look_up(profile: Profile, table: F32, z: F32, footprint: F32) -> F32:
    """The table at z (n,), metres, averaged over about `footprint` metres."""
    index = np.clip((z - np.float32(_START)) * np.float32(1 / STEP), 0, profile.entries - 1).astype(np.intp)
    for blur in BLURS[:-1]:
        index += (footprint > 0.7 * blur) * profile.entries
    return np.asarray(np.take(table, index))
