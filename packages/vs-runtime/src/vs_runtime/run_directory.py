"""A run on disk: where its files are, how it begins, how it is found again, and who may write to it.

```
runs/street-tiny-20260131-120000/
    config.toml         the resolved configuration; fed back with --config it gives the same run
    environment.json    what makes the directory a run: its format, versions, machine, times of start and of resuming
    metrics.jsonl       one line per training step
    tensorboard/        the same as curves, and pictures
    samples/            strips and videos
    checkpoints/        step-XXXXXXXX/
    lock                held by the process that trains; freed when it dies
```
"""

import contextlib
import datetime
import functools
import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import attrs
from vs_config import DocumentError, load_config, read_json, read_toml

from vs_runtime.errors import RunDirectoryError
from vs_runtime.files import is_left_behind, remove, sweep, whole_directory, write_atomically
from vs_runtime.run_checkpoint import list_checkpoints

FIXED = "fixed"
"""The key under which environment.json holds what may not change in a run."""

RUN_FORMAT = 1
"""The layout's version, under the key `run_format` of environment.json."""

DEFAULT_ROOT = Path("runs")
"""Where runs go unless `--out` says otherwise."""

T = TypeVar("T")


@attrs.frozen
class RunDirectory:
    """The paths of a run. Making this object touches no file: see `create_run` and `open_run`.

    Attributes:
        path: The directory.
    """

    path: Path

    @property
    def config(self) -> Path:
        """The resolved configuration, TOML."""
        return self.path / "config.toml"

    @property
    def environment(self) -> Path:
        """Versions, machine and times, JSON; also the marker of a run."""
        return self.path / "environment.json"

    @property
    def metrics(self) -> Path:
        """One JSON object per training step."""
        return self.path / "metrics.jsonl"

    @property
    def tensorboard(self) -> Path:
        """TensorBoard's event files."""
        return self.path / "tensorboard"

    @property
    def samples(self) -> Path:
        """Pictures and videos."""
        return self.path / "samples"

    @property
    def checkpoints(self) -> Path:
        """The root of `step-XXXXXXXX/`."""
        return self.path / "checkpoints"

    @property
    def lock(self) -> Path:
        """The file that the training process holds."""
        return self.path / "lock"


def plan_run(out: Path | None, stem: str, *, now: datetime.datetime, root: Path = DEFAULT_ROOT) -> RunDirectory:
    """Choose the directory of a new run, without writing anything.

    Args:
        out: The directory that the user asked for; it must not exist, or be empty.
        stem: Name of the preset or configuration file, for the default `root/STEM-YYYYmmdd-HHMMSS`.
        now: The time for that name. When the name is taken, `-2`, `-3`, ... follow.
        root: Where default names go.

    Raises:
        RunDirectoryError: `out` is a file, a run, or some other directory that is not empty.
    """
    if out is not None:
        run = RunDirectory(out)
        _require_free(run)
        return run
    name = f"{stem}-{now:%Y%m%d-%H%M%S}"
    path, count = root / name, 1
    while path.exists():
        count += 1
        path = root / f"{name}-{count}"
    return RunDirectory(path)


def create_run(
    run: RunDirectory,
    *,
    config: str,
    environment: Mapping[str, Any],
    fixed: Mapping[str, Any] | None = None,
    now: datetime.datetime | None = None,
) -> Callable[[], None]:
    """Make the directory of a new run, all or nothing: a crash at any moment leaves a whole run or none.

    Call it once everything that can be wrong with the input has been checked. What it returns removes all of it again,
    the directories that had to be made too: for a run that is refused before its first step.

    Args:
        run: What `plan_run` returned.
        config: The text of config.toml.
        environment: What is to be remembered about versions and machine; plain JSON data.
        fixed: What may not change while the run lasts, for `fixed_at_start`; plain JSON data.
        now: The time of the start; the present unless given.

    Raises:
        RunDirectoryError: The directory has been taken meanwhile, or cannot be written.
    """
    _require_free(run)
    marker = {
        "run_format": RUN_FORMAT,
        "started": _timestamp(now),
        "resumed": [],
        "environment": dict(environment),
        **({} if fixed is None else {FIXED: dict(fixed)}),
    }
    files = {run.environment.name: _sealed(marker), run.config.name: config}
    missing = [path for path in (run.path, *run.path.parents) if not path.exists()]
    try:
        if run.path.exists():  # empty, and perhaps a mount point, which nothing can be renamed to
            _fill(run.path, files)
        else:
            with whole_directory(run.path) as draft:
                _write_all(draft, files)
    except OSError as error:
        message = f"{run.path}: cannot be created: {error.strerror or error}"
        raise RunDirectoryError(message, path=run.path) from None
    return functools.partial(_discard, run, missing)


def open_run(path: Path) -> RunDirectory:
    """Return the run in a directory, to resume or to evaluate it.

    Raises:
        RunDirectoryError: The directory does not exist, is not a run, or is a run of another format.
    """
    run = RunDirectory(path)
    if not path.is_dir():
        raise RunDirectoryError(f"{path}: there is no such directory", path=path)
    for file in (run.config, run.environment):
        if not file.is_file():
            raise RunDirectoryError(f"{path}: not a run: it has no {file.name}", path=path)
    read_environment(run)
    return run


def is_run(path: Path) -> bool:
    """Say whether a directory is a run."""
    try:
        open_run(path)
    except RunDirectoryError:
        return False
    return True


def read_environment(run: RunDirectory) -> dict[str, Any]:
    """Return the content of environment.json, every value of which is of the kind that it should be.

    Raises:
        RunDirectoryError: It is not that of a run, or damaged.
    """
    what = f"{run.path}: not a run: {run.environment.name}"
    marker: dict[str, Any]
    try:
        marker = read_json(run.environment, max_bytes=_MARKER_BYTES)
    except DocumentError as error:
        raise RunDirectoryError(f"{what} {error.problems[0].message}", path=run.path) from None
    found = marker.get("run_format") if type(marker) is dict else None
    if type(found) is not int or found != RUN_FORMAT:
        message = f"{what} has run_format {str(found)[:30]}, this program writes {RUN_FORMAT}"
        raise RunDirectoryError(message, path=run.path)
    for key, (kind, name) in _MARKER_KINDS.items():
        if key in marker and type(marker[key]) is not kind:
            raise RunDirectoryError(f"{what} is damaged: {key}: expected {name}", path=run.path)
    if any(type(item) is not dict for item in marker.get("resumed", ())):
        raise RunDirectoryError(f"{what} is damaged: resumed: expected a list of tables", path=run.path)
    if _SEAL in marker and marker[_SEAL] != _checksum(marker):
        message = f"{what} is damaged: its checksum does not hold; put back the file as the run wrote it"
        raise RunDirectoryError(message, path=run.path)
    return marker


def read_run_config(run: RunDirectory, cls: type[T]) -> T:
    """Return the configuration of a run.

    Raises:
        ConfigError: config.toml has been changed by hand and is no longer valid.
    """
    return load_config(cls, read_toml(run.config), str(run.config))


def record_resume(
    run: RunDirectory, *, config: str, environment: Mapping[str, Any], now: datetime.datetime | None = None
) -> None:
    """Note that a run goes on: the (possibly extended) config.toml, and time and machine in environment.json."""
    marker = read_environment(run)
    resumed = [*marker.get("resumed", []), {"time": _timestamp(now), "environment": dict(environment)}]
    write_atomically(run.environment, _sealed({**marker, "resumed": resumed}))
    if run.config.read_text("utf-8") != config:
        write_atomically(run.config, config)


def fixed_at_start(run: RunDirectory) -> Mapping[str, Any]:
    """Return what was to stay as it is when the run began; nothing where an older version began it.

    Raises:
        RunDirectoryError: environment.json is damaged.
    """
    fixed: Mapping[str, Any] = read_environment(run).get(FIXED, {})
    return fixed


def check_layout(run: RunDirectory) -> None:
    """See that what is to be written to is not in the way.

    Raises:
        RunDirectoryError: A folder of the run is a file, or one of its files is none.
    """
    for folder in (run.samples, run.checkpoints, run.tensorboard):
        if os.path.lexists(folder) and not folder.is_dir():
            raise RunDirectoryError(f"{folder}: is not a directory; move it out of the way", path=folder)
    for file in (run.metrics, run.lock):
        if os.path.lexists(file) and not file.is_file():
            raise RunDirectoryError(f"{file}: is not a regular file; move it out of the way", path=file)


def begin_writing(run: RunDirectory) -> None:
    """Make the folders that a run writes to and remove what killed processes left half-written, here and beside it.

    For the process that holds the run.
    """
    for folder in (run.samples, run.checkpoints):
        folder.mkdir(exist_ok=True)
    for folder in (run.path, run.samples, run.checkpoints):
        sweep(folder, held=True)
    for folder in (run.path / "eval", run.path.absolute().parent):
        sweep(folder)


def require_folder(folder: Path) -> None:
    """See that a folder of a run is still there.

    Raises:
        RunDirectoryError: It was removed.
    """
    if not folder.is_dir():
        message = f"{folder}: was removed while the run was training; put it back and go on with --resume"
        raise RunDirectoryError(message, path=folder)


def latest_run(
    root: Path = DEFAULT_ROOT,
    *,
    what: str = "run",
    fits: Callable[[RunDirectory], bool] = lambda _: True,
    notice: Callable[[str], None] = lambda _: None,
) -> RunDirectory:
    """Return the run below `root` that saved a checkpoint last.

    Args:
        root: Where to look.
        what: What is looked for, in words: `few-shot run`.
        fits: Whether a run is one of those.
        notice: Told of each damaged run that is left out, in words.

    Raises:
        RunDirectoryError: There is no run, or none of them has a checkpoint yet.
    """
    runs, damaged = _find_runs(root)
    for reason in damaged:
        notice(f"left out: {reason}")
    name, runs = what if runs else "run", [run for run in runs if fits(run)]
    if not runs:
        more = f" ({'; '.join(damaged[:3])})" if damaged else ""
        raise RunDirectoryError(f"{root}: there is no {name} here yet{more}; train one first, or name a run", path=root)
    saved = [(time, run) for run in runs if (time := _last_saved(run)) is not None]
    if not saved:
        raise RunDirectoryError(f"{root}: none of the {len(runs)} {what}s here has a checkpoint yet", path=root)
    return max(saved, key=lambda pair: (pair[0], pair[1].path.name))[1]


def _find_runs(root: Path) -> tuple[list[RunDirectory], list[str]]:
    """Return the runs below a directory, and what is wrong with those that look like runs and are damaged."""
    runs, damaged = [], []
    for path in sorted(root.iterdir()) if root.is_dir() else ():
        run = RunDirectory(path)
        if run.config.is_file() and run.environment.is_file():
            try:
                runs.append(open_run(path))
            except RunDirectoryError as error:
                damaged.append(str(error))
    return runs, damaged


def _require_free(run: RunDirectory) -> None:
    if not run.path.exists():
        return
    if not run.path.is_dir():
        raise RunDirectoryError(f"{run.path}: is a file, not a directory", path=run.path)
    if is_run(run.path):
        message = f"{run.path}: holds a run already; go on with it by --resume {run.path}, or choose another --out"
        raise RunDirectoryError(message, path=run.path)
    if not _is_unbegun(run):
        message = f"{run.path}: is not empty, and what is in it is not a run; choose another --out"
        raise RunDirectoryError(message, path=run.path)


def _is_unbegun(run: RunDirectory) -> bool:
    """Whether a directory is empty, but for what a process left that was killed while it began a run there."""
    rest = [path for path in run.path.iterdir() if not is_left_behind(path)]
    if rest != [run.environment]:
        return not rest
    try:
        marker = read_environment(run)
    except RunDirectoryError:
        return False
    return not marker.get("resumed")


def _discard(run: RunDirectory, made: Sequence[Path]) -> None:
    """Remove a run that has not begun and the directories made for it, unless another process goes on with it."""
    with contextlib.suppress(OSError, RunDirectoryError):
        if read_environment(run)["resumed"]:
            return
        # Killed meanwhile, it leaves a directory that another run may begin in.
        for path in sorted(run.path.iterdir(), key=lambda path: path == run.environment):
            remove(path)
        for folder in made:
            folder.rmdir()


_MARKER_KINDS: Mapping[str, tuple[type, str]] = {
    "started": (str, "a time"),
    "resumed": (list, "a list of tables"),
    "environment": (dict, "a table"),
    FIXED: (dict, "a table"),
}
_MARKER_BYTES = 2**26
_SEAL = "sha256"


def _checksum(marker: Mapping[str, Any]) -> str:
    content = {key: value for key, value in marker.items() if key != _SEAL}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _sealed(marker: Mapping[str, Any]) -> str:
    """Return the text of environment.json, with a checksum over all that it says."""
    plain = json.loads(json.dumps(marker, default=str))
    return json.dumps({**plain, _SEAL: _checksum(plain)}, indent=2) + "\n"


def _last_saved(run: RunDirectory) -> float | None:
    times = []
    for path in list_checkpoints(run.checkpoints):
        with contextlib.suppress(FileNotFoundError):  # the process that trains there deletes old ones
            times.append(path.stat().st_mtime)
    return max(times, default=None)


def _timestamp(now: datetime.datetime | None) -> str:
    return (now or datetime.datetime.now(datetime.UTC)).astimezone(datetime.UTC).isoformat(timespec="microseconds")


def _fill(path: Path, files: Mapping[str, str]) -> None:
    sweep(path)
    try:
        _write_all(path, files)
    except BaseException:
        for name in files:
            (path / name).unlink(missing_ok=True)
        raise


def _write_all(path: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        write_atomically(path / name, text)
