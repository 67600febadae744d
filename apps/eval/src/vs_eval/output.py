"""The directory of a report: it is either complete or as it was before."""

import json
import math
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from vs_runtime import check_place, checkpoint_path, marked_directory
from vs_synthesis import ModelContents

MARKER = "report.json"
"""The file that makes a directory a report, which a new one may replace."""


def results_of(contents: ModelContents, what: str) -> Path:
    """Return the folder of what is made with a run, in it, or with a model, beside it: that stays as it is."""
    if contents.checkpoint is not None:
        return contents.path / what
    return beside(contents.path, what)


def checkpoint_name(contents: ModelContents) -> str:
    """Return what the results of a run's checkpoint are called after: its step, of the one kept as the best too."""
    return checkpoint_path(Path(), contents.provenance["steps"]).name


def beside(path: Path, what: str) -> Path:
    """Return the folder of what is made of a run or a model, beside it: `runs/mine-model`."""
    named = path if path.name not in ("", "..") else path.resolve()
    return named.with_name(f"{named.name}-{what}")


def check_output(path: Path, marker: str = MARKER) -> None:
    """See that a report may be put at `path`, without writing anything; `marker` is the file that makes it a report.

    Raises:
        PlaceError: it is a file, or a directory that has something else in it than a report.
    """
    check_place(path, marker=marker, what="report")


def report_directory(path: Path, marker: str = MARKER) -> AbstractContextManager[Path]:
    """Return a context with a draft of a report, see `vs_runtime.marked_directory`."""
    return marked_directory(path, marker=marker, what="report")


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
