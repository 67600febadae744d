"""The numbers of a run, metrics.jsonl: one line for each training step, and one behind it where it was validated.

A line of validation has the step of the line before it and `"kind": "validation"`.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from vs_config import parse_json
from vs_config.files import read_regular

from vs_runtime.errors import RunDirectoryError
from vs_runtime.files import write_atomically
from vs_runtime.watched_file import WatchedFile

CLOCK_FIELDS = frozenset({"time", "images_per_second", "memory_bytes", "seconds_left"})
"""Fields of a metrics line that differ between two runs of the same configuration: clocks and what depends on them."""

LOST = "lost"
"""The key of a first line `{"lost": 120}`, by which people say that the lines of the first 120 steps are lost."""

KIND, VALIDATION = "kind", "validation"
"""The key of a line that is not a training step's, and its value in one of validation."""

Value = float | int | bool | str | None


class MetricsLog:
    """Appends one JSON object per step to a file, each line flushed when written.

    The keys of a line stand in one order whatever the order given: `step`, the deterministic fields by name, then the
    clock fields by name. Numbers that JSON lacks are written as the strings "nan", "inf" and "-inf".
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: WatchedFile | None = None
        self._record = _Record()

    def append(self, step: int, values: Mapping[str, Value], clock: Mapping[str, Value]) -> None:
        """Write the line of a step.

        Args:
            step: The training step, counted from 1.
            values: What is a function of the configuration alone.
            clock: What is not; every key has to be one of `CLOCK_FIELDS`.

        Raises:
            ValueError: A clock field among the values, or the other way round (a defect of the caller).
            OSError: The line cannot be written, with the path of the file.
            RunDirectoryError: The file was removed while it was written to.
        """
        misplaced = (values.keys() & CLOCK_FIELDS) | (clock.keys() - CLOCK_FIELDS) | ({"step"} & values.keys())
        if misplaced:
            raise ValueError(f"clock fields are {sorted(CLOCK_FIELDS)} and no others; misplaced: {sorted(misplaced)}")
        if self._file is None:
            self._file = WatchedFile(self.path)
        line = {"step": step, **_sorted(values)}
        self._file.write(_line({**line, **_sorted(clock)}).encode("ascii"))
        self._record.add(line)

    def append_validation(self, step: int, values: Mapping[str, Value], clock: Mapping[str, Value]) -> None:
        """Write what a validation of a step has found, behind the line of that step; see `append`."""
        self.append(step, {**values, KIND: VALIDATION}, clock)

    def check(self, step: int, saved: Mapping[str, Any] | None = None) -> None:
        """See that the file holds a line of every step up to `step`, and the ones that it held; writes nothing.

        Args:
            step: The step that the run goes on from.
            saved: What `fingerprint` said when the checkpoint of that step was written; None: it is not known.

        Raises:
            RunDirectoryError: Lines are missing, damaged, or of another run; the message has the number of the first.
        """
        lines = _read_lines(self.path)
        record = _record_of(lines, step)
        first = lines[0][1].get("step", 1) if lines else 1
        if first != 1 or record.end < step:
            what = f"begins with step {first}" if first != 1 else f"ends with step {record.end} instead of {step}"
            raise RunDirectoryError(
                f"{self.path}: {what}; put back the file, or, if it is lost, go on without it by one line "
                f'{{"{LOST}": {step}}} in its place',
                path=self.path,
            )
        if saved is not None and saved.get(LOST) == record.lost and saved != record.fingerprint():
            what = f"is not what the run wrote up to step {step}: lines were altered, or are of another run"
            raise RunDirectoryError(f"{self.path}: {what}; put back the file", path=self.path)

    def truncate_after(self, step: int) -> None:
        """Drop the lines of later steps, and a last line that a kill cut short: the run can go on from `step`.

        Raises:
            RunDirectoryError: A line is not one of ours; the message has its number.
        """
        if not self.path.exists():
            return
        self.close()
        lines = _read_lines(self.path)
        self._record = _record_of(lines, step)
        kept = [text for text, values in lines if values.get("step", math.inf) <= step]
        if self._record.lost:
            kept.insert(0, _line({LOST: self._record.lost}).encode("ascii"))
        write_atomically(self.path, b"".join(kept))

    def fingerprint(self) -> dict[str, Any]:
        """How many lines there are, and a checksum over them, clocks left out; fit for a checkpoint."""
        return self._record.fingerprint()

    def require(self, step: int) -> None:
        """See that the line of a step was written: no run could go on from a checkpoint that is ahead of this file.

        Raises:
            RunDirectoryError: It was not.
        """
        if self._record.end != step:
            raise RunDirectoryError(f"{self.path}: the line of step {step} could not be written", path=self.path)

    def sync(self) -> None:
        """Force what was written to the disk, as is right before a checkpoint that must not be ahead of this file."""
        if self._file is not None:
            self._file.sync()

    def close(self) -> None:
        """Force what was written to the disk and close the file; a later `append` opens it again."""
        if self._file is not None:
            file, self._file = self._file, None
            file.close()

    def __enter__(self) -> MetricsLog:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def read_metrics(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the lines of the steps, numbers that JSON lacks as floats; a partial last line is left out.

    Raises:
        RunDirectoryError: A line is not one of ours; the message has its number.
    """
    return (line for line in _with_numbers(path) if KIND not in line)


def read_validations(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the lines of validations, with their steps; see `read_metrics`."""
    for line in _with_numbers(path):
        if line.pop(KIND, None) == VALIDATION:
            yield line


def _with_numbers(path: Path) -> Iterator[dict[str, Any]]:
    for _, values in _read_lines(path):
        if "step" in values:
            yield _as_numbers(values)


def salvage_metrics(path: Path) -> tuple[list[dict[str, Any]], list[str]]:
    """Return what can be read of metrics.jsonl, for those who only look: its lines, and what is wrong with the rest.

    Lines of validations are among them, with their kind. A partial last line, which a run is still writing, is left
    out. Of a step that is there twice the last line counts.
    """
    try:
        whole = read_regular(path).split(b"\n")[:-1]
    except FileNotFoundError:
        return [], []
    found: dict[tuple[Any, Any], dict[str, Any]] = {}
    problems = []
    for number, line in enumerate(whole, start=1):
        try:
            values = _as_numbers(_values_of(path, number, line))
        except RunDirectoryError as error:
            problems.append(str(error))
            continue
        if "step" in values:
            found[values["step"], values.get(KIND)] = values
    return sorted(found.values(), key=lambda values: values["step"]), problems


def without_clock(line: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of a metrics line has to be the same in two runs of the same configuration."""
    return {key: value for key, value in line.items() if key not in CLOCK_FIELDS}


class _Record:
    """The steps that a file has lines of, and the checksum over them, clocks left out, which every line changes."""

    def __init__(self, lost: int = 0) -> None:
        self.lost = lost
        self.end = lost
        self._digest = hashlib.sha256()

    def add(self, line: Mapping[str, Any]) -> None:
        self.end = line["step"]
        self._digest.update(_line(without_clock(line)).encode("ascii"))

    def fingerprint(self) -> dict[str, Any]:
        return {LOST: self.lost, "end": self.end, "sha256": self._digest.hexdigest()}


_NUMBERS = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


def _as_numbers(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a line with numbers that JSON lacks as floats."""
    return {key: _NUMBERS.get(value, value) if type(value) is str else value for key, value in values.items()}


def _sorted(values: Mapping[str, Value]) -> dict[str, Value]:
    return {key: values[key] for key in sorted(values)}


def _line(values: Mapping[str, Value]) -> str:
    finite = {
        key: str(value) if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in values.items()
    }
    return json.dumps(finite, allow_nan=False) + "\n"


def _read_lines(path: Path) -> list[tuple[bytes, dict[str, Any]]]:
    """Return the whole lines of a file, as they are and as values; their steps follow one upon the other.

    A line of another kind is of the step before it.

    Raises:
        RunDirectoryError: They do not, or a line is not one of ours; the message has its number.
    """
    try:
        text = read_regular(path)
    except FileNotFoundError:
        return []
    whole = [line + b"\n" for line in text.split(b"\n")[:-1]]
    lines = []
    step: int | None = None
    for number, line in enumerate(whole, start=1):
        values = _values_of(path, number, line)
        found = values.get("step", values.get(LOST))
        if found != step if KIND in values else step is not None and found != step + 1:
            message = f"{path}: line {number} is of step {found}, and the one before of step {step}; put back the file"
            raise RunDirectoryError(message, path=path)
        step = found
        lines.append((line, values))
    return lines


def _values_of(path: Path, number: int, line: bytes) -> dict[str, Any]:
    """Return the values of a line: `step` and others; the first may hold `LOST` alone."""
    try:
        values = parse_json(line.decode("utf-8"))
    except ValueError:
        values = None
    if type(values) is dict:
        key = "step" if "step" in values or number > 1 or len(values) > 1 else LOST
        if type(values.get(key)) is int and values[key] >= 0:
            return values
    start = line[:40].decode("utf-8", "backslashreplace").strip()
    raise RunDirectoryError(f"{path}: line {number} is not a line of metrics: {start!r}; put back the file", path=path)


def _record_of(lines: list[tuple[bytes, dict[str, Any]]], step: int) -> _Record:
    """Sum up the lines up to a step."""
    record = _Record(min(lines[0][1].get(LOST, 0), step) if lines else 0)
    for _, values in lines:
        if "step" in values and values["step"] <= step:
            record.add(values)
    return record
