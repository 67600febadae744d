"""Text that comes from outside (names of files, classes and sequences, messages of libraries), fit to be shown."""

import datetime
from collections.abc import Mapping
from itertools import islice

import attrs

_LONGEST_VALUE = 60
_MAX_BITS = 128
_DEEPEST = 3


def shown(text: object, limit: int | None = None) -> str:
    r"""Escape what would not be seen as itself: one line, without control characters.

    Everything that Unicode calls not printable is written as Python writes it in a string: escape sequences that move a
    cursor or name a window (`\x1b`), line breaks (`\n`), marks that turn the direction of text (`\u202e`), and bytes of
    a file name that are not UTF-8 (`\udcff`). What is printable stays, backslashes included. The result can be encoded
    as UTF-8.

    Args:
        text: Anything with a `str`, such as a path or an error.
        limit: At most so many characters of the result, the last of them an ellipsis if there was more; None: all.
    """
    whole = str(text)
    line = whole if whole.isprintable() else "".join(map(_escaped, whole))
    return line if limit is None or len(line) <= limit else line[: max(limit - 1, 0)] + "…"


def _escaped(character: str) -> str:
    return character if character.isprintable() else character.encode("unicode_escape").decode("ascii")


def show(value: object, limit: int = _LONGEST_VALUE) -> str:
    """Return a value that somebody gave as they would write it in a file, in one line of at most `limit` characters.

    Works for every value: those too long, too deep or too large to be written out are shortened or described.
    """
    text = _written(value, limit, _DEEPEST)
    return text if len(text) <= limit else text[: limit - 3] + "..."


def _written(value: object, limit: int, deepest: int) -> str:
    match value:
        case None:
            return "none"
        case bool():
            return "true" if value else "false"
        case str():
            return repr(value[: limit + 1])
        case Mapping():
            return "a table"
        case datetime.date():
            return f"the date {value.isoformat()}"
        case datetime.time():
            return f"the time {value.isoformat()}"
        case int() if value.bit_length() > _MAX_BITS:
            digits = value.bit_length() * 30103 // 100_000 + 1  # Python refuses to write out very long ones
            return f"a whole number of about {digits} digits"
        case list() | tuple():
            if not deepest:
                return "a list"
            return "[" + ", ".join(_written(item, limit, deepest - 1) for item in islice(value, limit)) + "]"
        case _ if attrs.has(type(value)):
            kind = getattr(value, "kind", None)
            return "a table" if kind is None else f"a table of kind {kind!r}"
        case _:
            return repr(value)
