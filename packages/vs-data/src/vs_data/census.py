"""What the class ids of a whole folder say: classes that never occur, pixels that teach nothing, masks in disguise."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from vs_data.clips import ClassIds
from vs_data.findings import Finding, some, warning

_MUCH_IGNORED = 1 / 3
"""Part of the pixels that is worth a word when it is ignored: Cityscapes ignores a tenth, more than others do."""

_WHITE = 255


def check_classes(place: str, info: ClassIds, pixels: NDArray[np.int64], *, declared: bool = True) -> Iterator[Finding]:
    """Warn of classes that never occur, of too many ignored pixels and of masks in black and white.

    Args:
        place: The folder of the maps.
        info: What they should hold.
        pixels: (256,) how many there are of each id, in all maps that were opened.
        declared: Whether somebody said how many classes there are, of all maps that are in these.
    """
    total = int(pixels.sum())
    if total == 0:
        return
    ignored = 0 if info.ignore_id is None else int(pixels[info.ignore_id])
    if _is_mask(pixels):
        white = f"{_percent(int(pixels[_WHITE]), total)} of the pixels are {_WHITE}"
        role = ", the ignore_id, and teach nothing" if info.ignore_id == _WHITE else ""
        what = f"only the ids 0 and {_WHITE} occur, as in a black and white mask: {white}{role}"
        yield warning("masks in black and white", place, what, f"write 1 for {_WHITE}, and set num_classes to 2")
    elif ignored > 0 and ignored >= _MUCH_IGNORED * total:
        what = f"{_percent(ignored, total)} of the pixels are {info.ignore_id}, the ignore_id, and teach nothing"
        yield warning("ignored pixels", place, what, "see whether this id is meant to be ignored")
    missing = np.flatnonzero(pixels[: info.classes] == 0).tolist() if declared else []
    if missing:
        what = f"{len(missing)} of {info.classes} classes never occur: {some(_spans(missing), 12)}"
        yield warning("classes that never occur", place, what, "correct the maps or num_classes, if that is not meant")


def _is_mask(pixels: NDArray[np.int64]) -> bool:
    return bool(pixels[_WHITE]) and not pixels[1:_WHITE].any()


def _percent(part: int, total: int) -> str:
    return f"{100 * part / total:.1f} %"


def _spans(ids: Sequence[int]) -> list[str]:
    """Write ids in words, neighbours in one: 3, 7 to 9."""
    breaks = [0, *(index + 1 for index, (low, high) in enumerate(pairwise(ids)) if high != low + 1), len(ids)]
    runs = [ids[start:stop] for start, stop in pairwise(breaks)]
    return [str(run[0]) if len(run) == 1 else f"{run[0]} to {run[-1]}" for run in runs]
