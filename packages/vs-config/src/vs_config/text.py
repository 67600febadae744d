"""Text that comes from outside (names of files, classes and sequences, messages of libraries), fit to be shown."""


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
