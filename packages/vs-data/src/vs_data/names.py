"""What names of files and folders mean: which are nobody's data, which are the same, in which order they come."""

import re
import unicodedata
from collections.abc import Callable
from pathlib import PurePath
from typing import Literal, TypeAlias

Order: TypeAlias = Literal["name", "natural"]

ORDERS: tuple[Order, ...] = ("name", "natural")
"""By name: 1, 10, 2, as most programs list files. Natural: by the numbers in the names: 1, 2, 10."""

_LEFT_BEHIND = frozenset(
    {
        "@eadir",  # network storage
        "@recycle",
        "@recently-snapshot",
        "#recycle",
        "__macosx",  # archives made on a Mac; its other traces begin with a dot
        "icon\r",
        "thumbs.db",  # Windows
        "ehthumbs.db",
        "desktop.ini",
        "$recycle.bin",
        "system volume information",
        "lost+found",  # file systems
    }
)
_NUMBER = re.compile(r"(\d+)")


OPENPOSE = "_keypoints"
"""What OpenPose adds to the name of a frame: 000012_keypoints.json."""


def is_left_behind(name: str) -> bool:
    """Return whether operating systems and storage leave such files and folders behind, hidden ones among them."""
    return name.startswith(".") or name.casefold() in _LEFT_BEHIND


def same(name: str) -> str:
    """Return what names have in common that differ only in how accents are encoded: as one character or as two."""
    return unicodedata.normalize("NFC", name)


def frame_of(name: str) -> str:
    """Return which frame a file belongs to: its name without the extension, and without what OpenPose adds to it."""
    return PurePath(name).stem.removesuffix(OPENPOSE)


def sort_key(order: Order) -> Callable[[str], tuple[object, ...]]:
    """Return the key to sort names by, which orders all names: those whose numbers are alike sort by name."""
    return _natural if order == "natural" else _plain


def _plain(name: str) -> tuple[object, ...]:
    return (name,)


def _natural(name: str) -> tuple[object, ...]:
    parts = _NUMBER.split(name)  # text and digits by turns, text first
    return tuple(int(part) if index % 2 else part for index, part in enumerate(parts)), name


def numbers_of(name: str) -> list[int]:
    """Return all whole numbers in a name."""
    return [int(digits) for digits in _NUMBER.findall(name)]


def pattern_of(name: str) -> str:
    """Return a name with `#` for each of its numbers."""
    return _NUMBER.sub("#", name)
