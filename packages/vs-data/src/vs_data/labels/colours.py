"""Colours that stand for classes, and numbers of classes, as published with data sets."""

from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Colour: TypeAlias = tuple[int, int, int]
"""RGB, 0 to 255."""

Colours: TypeAlias = tuple[Colour, ...]
"""The colour of each class; its place is the id. Of equal ones the first counts."""

Pairs: TypeAlias = tuple[tuple[int, int], ...]
"""What an id becomes, for each that becomes something: (id, class)."""


def _colours(words: str) -> Colours:
    codes = (bytes.fromhex(word) for word in words.split())
    return tuple((red, green, blue) for red, green, blue in codes)


CITYSCAPES = _colours("""
    000000 000000 000000 000000 000000 6f4a00 510051 804080
    f423e8 faaaa0 e6968c 464646 66669c be9999 b4a5b4 966464
    96785a 999999 999999 faaa1e dcdc00 6b8e23 98fb98 4682b4
    dc143c ff0000 00008e 000046 003c64 00005a 00006e 005064
    0000e6 770b20 00008e
""")
"""Cityscapes' colours of its classes, 0 to 34 as in its `labelIds`; of the classes 0 to 4 all are black."""

ADE20K = _colours("""
    000000
    787878 b47878 06e6e6 503232 04c803 787850 8c8c8c cc05ff
    e6e6e6 04fa07 e005ff ebff07 96053d 787846 08ff33 ff0652
    8fff8c ccff04 ff3307 cc4603 0066c8 3de6fa ff0633 0b66ff
    ff0747 ff09e0 0907e6 dcdcdc ff095c 7009ff 08ffd6 07ffe0
    ffb806 0aff47 ff290a 07ffff e0ff08 6608ff ff3d06 ffc207
    ff7a08 00ff14 ff0829 ff0599 0633ff eb0cff a09614 00a3ff
    8c8c8c fa0a0f 14ff00 1fff00 ff1f00 ffe000 99ff00 0000ff
    ff4700 00ebff 00adff 1f00ff 0bc8c8 ff5200 00fff5 003dff
    00ff70 00ff85 ff0000 ffa300 ff6600 c2ff00 008fff 33ff00
    0052ff 00ff29 00ffad 0a00ff adff00 00ff99 ff5c00 ff00ff
    ff00f5 ff0066 ffad00 ff0014 ffb8b8 001fff 00ff3d 0047ff
    ff00cc 00ffc2 00ff52 000aff 0070ff 3300ff 00c2ff 007aff
    00ffa3 ff9900 00ff0a ff7000 8fff00 5200ff a3ff00 ffeb00
    08b8aa 8500ff 00ff5c b800ff ff001f 00b8ff 00d6ff ff0070
    5cff00 00e0ff 70e0ff 46b8a0 a300ff 9900ff 47ff00 ff00a3
    ffcc00 ff008f 00ffeb 85ff00 ff00eb f500ff ff007a fff500
    0abed4 d6ff00 00ccff 1400ff ffff00 0099ff 0029ff 00ffcc
    2900ff 29ff00 ad00ff 00f5ff 4700ff 7a00ff 00ffb8 005cff
    b8ff00 0085ff ffd600 19c2c2 66ff00 5c00ff
""")
"""ADE20K's colours of its classes for scene parsing, 1 to 150 as in its annotations; 0, black, is no class.

Two of its classes, road and skyscraper, have one colour: it stands for the first.
"""

TABLES = {"cityscapes": CITYSCAPES, "ade20k": ADE20K}

CITYSCAPES_TRAIN = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
"""The `labelIds` that are classes when networks are trained on Cityscapes; their places here are its `trainIds`."""

MAPS: dict[str, Pairs] = {
    "cityscapes-train": tuple((label, train) for train, label in enumerate(CITYSCAPES_TRAIN)),
    "ade20k-150": tuple((label, label - 1) for label in range(1, len(ADE20K))),
}

NOTHING = -1
"""The id of a colour that stands for nothing."""


def ids_of_colours(pixels: NDArray[np.uint8], colours: Colours) -> NDArray[np.int32]:
    """Return the place in a table of each colour (H,W,3), `NOTHING` where it is in none, as (H,W)."""
    codes, places = _sorted(colours)
    wanted = _packed(pixels)
    found = np.searchsorted(codes, wanted).clip(max=len(codes) - 1)
    return np.where(codes[found] == wanted, places[found], np.int32(NOTHING))


def nearest_colour(colour: Colour, colours: Colours) -> int:
    """Return the place in a table of the colour that differs least from another."""
    return int(((np.array(colours, np.int64) - np.array(colour)) ** 2).sum(axis=1).argmin())


@lru_cache(maxsize=64)
def _sorted(colours: Colours) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return the different colours of a table as rising numbers, and the first place of each."""
    codes, places = np.unique(_packed(np.array(colours, np.uint8)), return_index=True)
    return codes, places.astype(np.int32)


def _packed(pixels: NDArray[np.uint8]) -> NDArray[np.int32]:
    wide = pixels.astype(np.int32)
    packed: NDArray[Any] = wide[..., 0] << 16 | wide[..., 1] << 8 | wide[..., 2]
    return packed
