"""What a run writes while it trains: metrics.jsonl, one line per step, and the same for TensorBoard."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TextIO

import torch

from .errors import RunDirectoryError
from .run_directory import write_atomically

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

CLOCK_FIELDS = frozenset({"time", "images_per_second", "memory_bytes", "seconds_left"})
"""Fields of a metrics line that differ between two runs of the same configuration: clocks and what depends on them."""

Value = float | int | bool | str | None


class MetricsLog:
    """Appends one JSON object per step to a file, each line flushed when written.

    The keys of a line stand in one order whatever the order given: `step`, the deterministic fields by name, then the
    clock fields by name. Numbers that JSON lacks are written as the strings "nan", "inf" and "-inf".
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: TextIO | None = None

    def append(self, step: int, values: Mapping[str, Value], clock: Mapping[str, Value]) -> None:
        """Write the line of a step.

        Args:
            step: The training step, counted from 1.
            values: What is a function of the configuration alone.
            clock: What is not; every key has to be one of `CLOCK_FIELDS`.

        Raises:
            ValueError: A clock field among the values, or the other way round (a defect of the caller).
        """
        misplaced = (values.keys() & CLOCK_FIELDS) | (clock.keys() - CLOCK_FIELDS) | ({"step"} & values.keys())
        if misplaced:
            raise ValueError(f"clock fields are {sorted(CLOCK_FIELDS)} and no others; misplaced: {sorted(misplaced)}")
        if self._file is None:
            self._file = self.path.open("a", encoding="utf-8", newline="\n")
        self._file.write(_line({"step": step, **_sorted(values), **_sorted(clock)}))
        self._file.flush()

    def truncate_after(self, step: int) -> None:
        """Drop the lines of later steps, and a last line that a kill cut short: the run can go on from `step`.

        Raises:
            RunDirectoryError: A line is not one of ours; the message has its number.
        """
        if not self.path.exists():
            return
        self.close()
        lines = enumerate(_whole_lines(self.path), start=1)
        kept = [line for number, line in lines if _step_of(self.path, number, line) <= step]
        write_atomically(self.path, "".join(kept))

    def sync(self) -> None:
        """Force what was written to the disk, as is right before a checkpoint that must not be ahead of this file."""
        if self._file is not None:
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Force what was written to the disk and close the file; a later `append` opens it again."""
        self.sync()
        if self._file is not None:
            self._file.close()
            self._file = None

    def __enter__(self) -> MetricsLog:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def read_metrics(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the lines of metrics.jsonl, numbers that JSON lacks as floats; a partial last line is left out."""
    for line in _whole_lines(path):
        yield {
            key: _NUMBERS.get(value, value) if isinstance(value, str) else value
            for key, value in json.loads(line).items()
        }


def without_clock(line: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of a metrics line has to be the same in two runs of the same configuration."""
    return {key: value for key, value in line.items() if key not in CLOCK_FIELDS}


class Curves:
    """TensorBoard's event files: scalars and pictures by name.

    TensorBoard is imported when the first value is written, since that takes a second.
    """

    def __init__(self, path: Path, *, resume_after: int | None = None) -> None:
        """Prepare to write.

        Args:
            path: Directory of the event files.
            resume_after: When a run is resumed, the step of its checkpoint: what was written later is purged.
        """
        self.path = path
        self._purge_step = None if resume_after is None else resume_after + 1
        self._writer: SummaryWriter | None = None

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Add numbers, each to the curve of its name."""
        for name, value in values.items():
            self._open().add_scalar(name, value, step)

    def image(self, step: int, name: str, picture: torch.Tensor) -> None:
        """Add a picture: (3,H,W) uint8 RGB.

        Raises:
            ValueError: Another shape or type.
        """
        if picture.ndim != 3 or picture.shape[0] != 3 or picture.dtype != torch.uint8:
            raise ValueError(f"expected a (3,H,W) uint8 picture, got {tuple(picture.shape)} {picture.dtype}")
        self._open().add_image(name, picture.cpu().numpy(), step)

    def flush(self) -> None:
        """Write out what is buffered."""
        if self._writer is not None:
            self._writer.flush()

    def close(self) -> None:
        """Write out what is buffered and close the files."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def __enter__(self) -> Curves:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _open(self) -> SummaryWriter:
        if self._writer is None:
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(self.path), purge_step=self._purge_step)
        return self._writer


_NUMBERS = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


def _sorted(values: Mapping[str, Value]) -> dict[str, Value]:
    return {key: values[key] for key in sorted(values)}


def _line(values: Mapping[str, Value]) -> str:
    finite = {
        key: str(value) if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in values.items()
    }
    return json.dumps(finite, allow_nan=False) + "\n"


def _step_of(path: Path, number: int, line: str) -> int:
    try:
        step = json.loads(line)["step"]
    except (ValueError, KeyError, TypeError):
        step = None
    if type(step) is not int:
        raise RunDirectoryError(f"{path}: line {number} is not a line of metrics: {line[:40].strip()!r}", path=path)
    return step


def _whole_lines(path: Path) -> list[str]:
    with path.open(encoding="utf-8", newline="\n") as file:
        return [line for line in file if line.endswith("\n")]
