"""JSON that somebody brings: read whole, with one message for everything that it can be instead."""

import json
from typing import Any

from vs_data.content import Content, bytes_of
from vs_data.errors import DataError


def read_json(content: Content, limit: int, fix: str) -> Any:
    """Return what a JSON file of at most `limit` bytes holds.

    Raises:
        DataError: the file cannot be read or is no JSON; `fix` says what to write into it.
    """
    data = bytes_of(content, limit)
    try:
        return json.loads(data, parse_int=_whole)
    except json.JSONDecodeError as error:
        what = error.msg.removesuffix(" at")  # as that of text without an end ends
        raise DataError(f"is not JSON: {what} at line {error.lineno}", file=str(content), fix=fix) from None
    except UnicodeDecodeError:
        raise DataError("is not JSON: is not UTF-8 text", file=str(content), fix=fix) from None
    except RecursionError:
        raise DataError("is not a list of points: lists are nested too deeply", file=str(content), fix=fix) from None


def _whole(digits: str) -> int | float:
    """Read a whole number; one of very many digits, which Python refuses to read as such, as infinite."""
    return int(digits) if len(digits) < 600 else float(digits)
