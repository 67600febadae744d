"""The directory of a report: it is either complete or as it was before."""

import contextlib
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from vs_runtime import sweep, temporary_path, whole_directory

from vs_eval.errors import OutputError

MARKER = "report.json"
"""The file that makes a directory a report, which a new one may replace."""


def check_output(path: Path, marker: str = MARKER) -> None:
    """See that a report may be put at `path`, without writing anything; `marker` is the file that makes it a report.

    Raises:
        OutputError: it is a file, or a directory that has something else in it than a report.
    """
    if path.exists() and not path.is_dir():
        raise OutputError(path, "is a file; --out wants a directory")
    if path.is_dir() and any(path.iterdir()) and not (path / marker).is_file():
        raise OutputError(path, f"holds other files than a report (no {marker}); choose another --out")


@contextlib.contextmanager
def report_directory(path: Path, marker: str = MARKER) -> Iterator[Path]:
    """Yield a draft directory beside `path` that becomes `path` when the block succeeds, and is removed when not.

    A report that was there is replaced. Drafts of processes that were killed are removed first.

    Raises:
        OutputError: the directory cannot be written.
    """
    check_output(path, marker)
    sweep(path.parent)
    try:
        with whole_directory(path, replaced=temporary_path(path)) as draft:
            yield draft
            check_output(path, marker)  # somebody may have put something there meanwhile
    except OSError as error:
        raise OutputError(path, f"cannot be written: {error.strerror or error}") from error


def write_json(path: Path, document: Mapping[str, Any]) -> None:
    """Write a document as JSON, which has no numbers that are not finite: they are null."""
    text = json.dumps(_finite(document), indent=1, allow_nan=False, default=str)
    path.write_text(text + "\n", "utf-8")


def _finite(value: Any) -> Any:
    match value:
        case Mapping():
            return {key: _finite(below) for key, below in value.items()}
        case list() | tuple():
            return [_finite(below) for below in value]
        case float() if not math.isfinite(value):
            return None
        case _:
            return value
