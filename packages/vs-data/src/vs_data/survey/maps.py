"""What a sample of pictures in a folder has in common: which numbers and colours occur, and how flat they are."""

from collections.abc import Iterable

import attrs
import numpy as np
from numpy.typing import NDArray

from vs_data.content import Content, FrameOfVideo
from vs_data.errors import DataError
from vs_data.labels.densepose import PARTS
from vs_data.pictures import Stored, inspect_stored, inspect_wide_ids
from vs_data.videos import read_levels, read_shown

_LEVELS = 2**16
_COLOURS = 2**24


@attrs.frozen(kw_only=True, eq=False)
class Maps:
    """Pictures of one folder.

    Attributes:
        looked: How many of them were looked at.
        channels: Of each pixel; the most that one of them has, without transparency.
        lossy: Whether some were compressed with loss.
        wide: Whether some hold 16 bits.
        palette: Whether some have a palette, whose indices `levels` are.
        levels: The numbers that occur, in order, where all of them have one channel.
        colours: The RGB colours that occur, where some have three: (n, 3).
        flat: Part of the neighbours side by side that are equal.
        parts: Whether blue holds parts of bodies: 0 to 24, flat, with nothing in red and green where it is 0.
    """

    looked: int
    channels: int
    lossy: bool
    wide: bool
    palette: bool
    levels: NDArray[np.int64]
    colours: NDArray[np.int64]
    flat: float
    parts: bool


def look_at_maps(contents: Iterable[Content]) -> Maps:
    """Look at all pixels of some pictures.

    Raises:
        DataError: one of them cannot be read.
    """
    levels, colours = np.zeros(_LEVELS, np.bool_), np.zeros(_COLOURS, np.bool_)
    flat, channels, parts = [], [], []
    looked, lossy, wide, palette = 0, False, False, False
    for content in contents:
        found, exact = _numbers(content)
        values = found.values
        looked, lossy, wide = looked + 1, lossy or not exact, wide or values.dtype == np.uint16
        palette = palette or any("palette" in note for note in found.notes)
        channels.append(min(values.shape[2], 3))
        flat.append(float((values[:, 1:] == values[:, :-1]).all(axis=2).mean()) if values.shape[1] > 1 else 1.0)
        if values.shape[2] < 3:
            levels[np.unique(values[..., 0])] = True
        elif not wide:
            colours[_packed(values)] = True
            parts.append(_are_parts(values))
    return Maps(
        looked=looked,
        channels=max(channels, default=0),
        lossy=lossy,
        wide=wide,
        palette=palette,
        levels=np.flatnonzero(levels),
        colours=_unpacked(np.flatnonzero(colours)),
        flat=float(np.mean(flat)) if flat else 0.0,
        parts=bool(parts) and all(parts),
    )


def _numbers(content: Content) -> tuple[Stored, bool]:
    """Return the numbers (H,W,C) in a file, indices where it has a palette, and whether they are as they were written.

    That is so of PNG and of lossless videos, which may hold ids.
    """
    match content:
        case FrameOfVideo():
            try:
                shown = read_levels(content)
            except DataError:  # it has lost levels
                return Stored(values=read_shown(content).pixels, lossy=True), False
            values = shown.pixels if shown.pixels.ndim == 3 else shown.pixels[..., None]
            grey = values.shape[2] == 3 and bool((values == values[..., :1]).all())
            return Stored(values=values[..., :1] if grey else values, lossy=False), True
        case _:
            try:
                ids = inspect_wide_ids(content)
            except DataError:  # it is no PNG, or a picture of colours
                stored = inspect_stored(content)
                return stored, not stored.lossy and str(content).lower().endswith(".png")
            return Stored(values=ids.ids[..., None], lossy=False, notes=ids.notes), True


def _packed(values: NDArray[np.uint8]) -> NDArray[np.int64]:
    wide = values[..., :3].astype(np.int64)
    return np.asarray(wide[..., 0] << 16 | wide[..., 1] << 8 | wide[..., 2])


def _unpacked(codes: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.stack([codes >> 16, codes >> 8 & 255, codes & 255], axis=-1)


def _are_parts(values: NDArray[np.uint8]) -> bool:
    """Return whether a picture (H,W,3) is laid out as DensePose is; one of nobody is, too."""
    part = values[..., 2]
    return bool(part.max() <= PARTS and not values[part == 0][:, :2].any())
