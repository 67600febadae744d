"""The size of clips: what networks allow, as near to the shape of the pictures as it gets, and never larger."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from vs_config import ConfigError

from vs_train.initial.draft import resolved

_TIMES = 4  # a side's longest, of what the preset's sides are
_AREA = 0.5  # what the area counts beside the shape


def sizes_for(
    pictures: tuple[int, int], shape: float, wanted: tuple[int, int], stride: int
) -> Iterator[tuple[int, int]]:
    """Yield sizes (H, W) of clips, the best first.

    Args:
        pictures: (H, W) that no clip is larger than.
        shape: Width by height that is wanted.
        wanted: (H, W) whose area is.
        stride: Of the networks, which both sides are multiples of.
    """
    longest = _TIMES * max(wanted)
    heights, widths = (range(stride, min(side, longest) + 1, stride) for side in pictures)
    area = wanted[0] * wanted[1]

    def cost(size: tuple[int, int]) -> float:
        off = abs(math.log(size[1] / size[0] / shape))
        return off + _AREA * abs(math.log(size[0] * size[1] / area))

    yield from sorted(((height, width) for height in heights for width in widths), key=cost)


def first_that_fits(document: Mapping[str, Any], sizes: Iterator[tuple[int, int]]) -> tuple[int, int] | None:
    """Return the first size with which a document is a configuration; None: all are too small for its networks.

    Raises:
        ConfigError: something else is wrong with the document.
    """
    for height, width in sizes:
        data = {**document["data"], "height": height, "width": width}
        try:
            resolved({**document, "data": data})
        except ConfigError as error:
            if not all(problem.path in {"data.height", "data.width"} for problem in error.problems):
                raise
        else:
            return height, width
    return None


def cut_off(pictures: tuple[int, int], size: tuple[int, int]) -> float:
    """Return the part of pictures that clips of a size do not show."""
    factor = max(size[0] / pictures[0], size[1] / pictures[1])
    return 1 - size[0] * size[1] / (factor**2 * pictures[0] * pictures[1])
