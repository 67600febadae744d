"""What varies along the street only: shade of the houses on the left, and crossings.

It is kept as tables over z, blurred in steps, so that sampling them does not alias.
"""

from collections.abc import Sequence

import attrs
import cv2
import numpy as np

from vs_data.procedural.arrays import F32, Bytes
from vs_data.procedural.noise import look_up

BLURS = (0.3, 0.9, 2.5, 8.0)
"""Widths over which the levels of a table are averaged, metres."""

_STEP = 0.1
_START = -40.0
_RISE = 0.35
_RISES = 44
_WINDOW = 3000
"""Entries of the shade that are looked at for one picture: OpenCV reads tables of limited width only."""


@attrs.frozen(kw_only=True, eq=False)
class Profile:
    """Tables over z, for each of the `BLURS`.

    Attributes:
        shade: (levels * heights, entries) uint8: 255 where the sun passes above the houses at a height.
        zebra: (levels * entries,) float32: 1 on a zebra crossing.
        junction: (levels * entries,) float32: 1 in a cross street, where lane markings end.
        entries: Entries of one level.
    """

    shade: Bytes
    zebra: F32
    junction: F32
    entries: int


def profile_of(
    silhouette: Sequence[tuple[float, float, float]], crossings: Sequence[tuple[float, float]], end: float
) -> Profile:
    """Return the tables of a street from its houses (start, end, height) and its cross streets (start, end)."""
    entries = int((end - _START) / _STEP)
    return Profile(
        shade=_shade(_spans(silhouette, entries)),
        zebra=_levels(_spans([(start - 3.6, start - 0.6, 1.0) for start, _ in crossings], entries)),
        junction=_levels(_spans([(start - 5.2, stop + 1.0, 1.0) for start, stop in crossings], entries)),
        entries=entries,
    )


def _spans(spans: Sequence[tuple[float, float, float]], entries: int) -> F32:
    table = np.zeros(entries, np.float32)
    for start, stop, value in spans:
        table[max(0, round((start - _START) / _STEP)) : max(0, round((stop - _START) / _STEP))] = value
    return table


def _width(blur: float) -> int:
    return 2 * int(blur / _STEP / 2) + 1


def _levels(table: F32) -> F32:
    return np.concatenate([cv2.blur(table[None], (_width(blur), 1))[0] for blur in BLURS])


def _shade(heights: F32) -> Bytes:
    above = (heights < (np.arange(_RISES, dtype=np.float32) * _RISE)[:, None]).astype(np.uint8) * np.uint8(255)
    return np.concatenate(
        [cv2.blur(above, (_width(blur), 3), borderType=cv2.BORDER_REPLICATE) for blur in BLURS], dtype=np.uint8
    )


def _level(footprint: F32) -> F32:
    level = (footprint > 0.7 * BLURS[0]).astype(np.float32)
    for blur in BLURS[1:-1]:
        level += footprint > 0.7 * blur
    return level


def along(profile: Profile, table: F32, z: F32, footprint: F32) -> F32:
    """Return a table of `profile` at z (n,), metres, averaged over about `footprint` metres."""
    place = np.clip((z - np.float32(_START)) * np.float32(1 / _STEP) + 0.5, 0, profile.entries - 1)
    index = place.astype(np.intp) + (_level(footprint) * np.float32(profile.entries)).astype(np.intp)
    return np.asarray(np.take(table, index))


def sun_above(profile: Profile, height: F32, z: F32, footprint: F32, camera: float) -> F32:
    """Return how much of the sun passes the houses on the left, 0 to 1.

    Args:
        profile: The street's.
        height: (n,) where the ray meets their front, metres.
        z: (n,) likewise.
        footprint: (n,) over which to average, metres along z.
        camera: z of the camera: what is more than 80 m behind or 200 m ahead of it is not told apart.
    """
    first = int(np.clip((camera - 80.0 - _START) / _STEP, 0, max(0, profile.entries - _WINDOW)))
    table = profile.shade[:, first : first + _WINDOW]
    column = np.clip((z - np.float32(_START)) * np.float32(1 / _STEP) - np.float32(first), 0, table.shape[1] - 1)
    row = np.clip(height * np.float32(1 / _RISE), 0, _RISES - 1) + _level(footprint) * np.float32(_RISES)
    return look_up(table, column, row) * np.float32(1 / 255)
