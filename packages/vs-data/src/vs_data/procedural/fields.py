"""What configurations of procedural worlds have in common."""

from collections.abc import Iterator
from functools import partial
from typing import Protocol

from vs_config import Check, Problem


class _Sized(Protocol):
    @property
    def height(self) -> int: ...

    @property
    def width(self) -> int: ...


def aspect_up_to(most: int) -> Check:
    """Return the check that pictures are at least a quarter and at most so many times as wide as they are high."""
    return Check(("height", "width"), partial(_check_aspect, most))


def _check_aspect(most: int, config: _Sized) -> Iterator[Problem]:
    if not 1 / 4 <= config.width / config.height <= most:
        expected = f"a quarter to {most} times the height, {config.height}"
        yield Problem("width", expected=expected, got=config.width)
