"""What can go wrong with data, as exceptions that carry the facts and survive a trip between processes."""

from functools import partial
from typing import Any


class VsDataError(ValueError):
    """Root of everything that this package raises on purpose; its text is one line."""


class DataError(VsDataError):
    """Data on disk (or asked of a source) that cannot be used.

    Args:
        what: What is wrong, without the place: "class id 77 at x=3, y=9 (12 pixels)".
        file: The file or folder concerned, if there is one.
        fix: What to do about it.

    The three are attributes too; the text is `FILE: WHAT; FIX`.
    """

    def __init__(self, what: str, *, file: str | None = None, fix: str | None = None) -> None:
        self.what = what
        self.file = file
        self.fix = fix
        place = f"{file}: " if file else ""
        cure = f"; {fix}" if fix else ""
        super().__init__(f"{place}{what}{cure}")

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(type(self), file=self.file, fix=self.fix), (self.what,)


class RequestError(VsDataError):
    """A clip was asked for that the source does not have (sequence, start or length out of range)."""


class LoaderError(VsDataError):
    """The loader's processes failed for a reason that is not in the data (killed, out of memory)."""
