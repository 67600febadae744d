"""Files of settings, TOML and JSON, from disk to plain data: whatever is wrong with them is one error.

What is read is bounded before it is parsed: a named pipe would be waited for, a file of gigabytes fills the memory, and
parsers recurse as deep as brackets nest.
"""

import json
import re
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Never

from vs_config.errors import DocumentError
from vs_config.fields import BACKSLASHES
from vs_config.files import FileTooLargeError, NotAFileError, read_regular

MAX_BYTES = 2**18
"""Size of the largest file of settings; one that somebody has written has a few thousand bytes."""

LONGEST_LINE = 2**14
"""Characters of the longest line: the time that a parser takes grows faster than a key's length."""

DEEPEST = 32
"""How deep tables and lists may nest; everything that walks through a document recurses."""

_PLACE = re.compile(r"(.*) \(at (?:line (\d+), column (\d+)|end of document)\)", re.DOTALL)


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file. Raises `DocumentError`, with line and column where they are known."""
    return parse_toml(read_text(path), str(path))


def read_json(path: Path, *, max_bytes: int = MAX_BYTES) -> Any:
    """Read a JSON file. Raises `DocumentError`."""
    return parse_json(read_text(path, max_bytes=max_bytes), str(path))


def read_text(path: Path, *, max_bytes: int = MAX_BYTES) -> str:
    """Read a text file in UTF-8, with a byte order mark or without.

    Raises:
        DocumentError: It cannot be read, is no regular file, is larger than `max_bytes`, or is not UTF-8.
    """
    try:
        data = read_regular(path, max_bytes=max_bytes)
    except (NotAFileError, FileTooLargeError) as error:
        raise DocumentError(str(path), str(error.strerror)) from None
    except (OSError, ValueError) as error:  # ValueError: names that no file can have
        raise DocumentError(str(path), f"cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise DocumentError(str(path), "is text in UTF-16: save it as UTF-8")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        problem = f"is not a text file: {error.reason} at byte {error.start}"
        raise DocumentError(str(path), problem) from None


def parse_toml(text: str, source: str = "") -> dict[str, Any]:
    """Parse TOML. Raises `DocumentError`, with line and column where they are known."""
    for number, line in enumerate(text.splitlines(), start=1):
        if len(line) > LONGEST_LINE:
            raise DocumentError(
                source, f"has a line of {len(line)} characters: at most {LONGEST_LINE} are read", line=number
            )
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        _refuse_toml(str(error), text, source)
    except RecursionError:
        raise _too_deep(source) from None
    except ValueError:
        raise _too_long(source) from None
    _require_shallow(document, source)
    return document


def parse_json(text: str, source: str = "", *, max_depth: int | None = DEEPEST) -> Any:
    """Parse JSON, nested at most so deep. Raises `DocumentError`, with line and column where they are known."""

    def constant(name: str) -> Never:
        raise DocumentError(source, f"is not JSON: {name} is not a number that JSON has")

    try:
        document = json.loads(text, parse_constant=constant)
    except json.JSONDecodeError as error:
        raise DocumentError(source, f"is not JSON: {error.msg}", line=error.lineno, column=error.colno) from None
    except DocumentError:
        raise
    except RecursionError:
        raise _too_deep(source) from None
    except ValueError:
        raise _too_long(source) from None
    if max_depth is not None:
        _require_shallow(document, source, max_depth)
    return document


def _refuse_toml(message: str, text: str, source: str) -> Never:
    place = _PLACE.fullmatch(message)
    problem, line, column = place.groups() if place else (message, None, None)
    if line is None or column is None:
        raise DocumentError(source, f"is not TOML: {problem} (at the end)")
    before = text.split("\n")[int(line) - 1]
    hint = f"; {BACKSLASHES}" if re.search(r'"[^"]*\\', before) else ""
    raise DocumentError(source, f"is not TOML: {problem}{hint}", line=int(line), column=int(column))


def _too_deep(source: str, max_depth: int = DEEPEST) -> DocumentError:
    return DocumentError(source, f"nests more than {max_depth} tables and lists")


def _too_long(source: str) -> DocumentError:
    return DocumentError(source, "has a number of too many digits")


def _require_shallow(document: object, source: str, max_depth: int = DEEPEST) -> None:
    level = [document]
    for _ in range(max_depth + 1):
        level = [item for value in level for item in _below(value) if type(item) in (dict, list)]
        if not level:
            return
    raise _too_deep(source, max_depth)


def _below(value: object) -> Iterable[object]:
    match value:
        case dict():
            return value.values()
        case list():
            return value
        case _:
            return ()
