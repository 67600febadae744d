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

from __future__ import annotations

import contextlib
import datetime
import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import attrs

from .config_io import load_config, read_document
from .errors import ConfigError
from .errors import RunDirectoryError as RunDirectoryError

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
    run: RunDirectory, *, config: str, environment: Mapping[str, Any], now: datetime.datetime | None = None
) -> None:
    """Make the directory of a new run, all or nothing: a crash at any moment leaves a whole run or none.

    Call it once everything that can be wrong with the input has been checked.

    Args:
        run: What `plan_run` returned.
        config: The text of config.toml.
        environment: What is to be remembered about versions and machine; plain JSON data.
        now: The time of the start; the present unless given.

    Raises:
        RunDirectoryError: The directory has been taken meanwhile, or cannot be written.
    """
    _require_free(run)
    started = _timestamp(now)
    marker = {"run_format": RUN_FORMAT, "started": started, "resumed": [], "environment": dict(environment)}
    files = {run.environment.name: _json(marker), run.config.name: config}
    try:
        if run.path.exists():  # empty, and perhaps a mount point, which nothing can be renamed to
            _fill(run.path, files)
        else:
            _make_whole(run.path, files)
    except OSError as error:
        message = f"{run.path}: cannot be created: {error.strerror or error}"
        raise RunDirectoryError(message, path=run.path) from None


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
    found = _read_marker(run).get("run_format")
    if found != RUN_FORMAT:
        message = (
            f"{path}: not a run: {run.environment.name} has run_format {found!r}, this program writes {RUN_FORMAT}"
        )
        raise RunDirectoryError(message, path=path)
    return run


def is_run(path: Path) -> bool:
    """Say whether a directory is a run."""
    try:
        open_run(path)
    except RunDirectoryError:
        return False
    return True


def read_run_config(run: RunDirectory, cls: type[T]) -> T:
    """Return the configuration of a run.

    Raises:
        ConfigError: config.toml has been changed by hand and is no longer valid.
    """
    return load_config(cls, read_document(run.config), str(run.config))


def record_resume(
    run: RunDirectory, *, config: str, environment: Mapping[str, Any], now: datetime.datetime | None = None
) -> None:
    """Note that a run goes on: the (possibly extended) config.toml, and time and machine in environment.json."""
    marker = _read_marker(run)
    resumed = [*marker.get("resumed", []), {"time": _timestamp(now), "environment": dict(environment)}]
    write_atomically(run.environment, _json({**marker, "resumed": resumed}))
    if run.config.read_text("utf-8") != config:
        write_atomically(run.config, config)


def latest_run(root: Path = DEFAULT_ROOT, *, kind: str | None = None) -> RunDirectory:
    """Return the run below `root` that saved a checkpoint last.

    Args:
        root: Where to look.
        kind: Only runs of this kind, see `run_kind`; None: any. A run whose kind cannot be read counts as one of every
            kind, so that whoever opens it says what is wrong with it.

    Raises:
        RunDirectoryError: There is no run, or none of them has a checkpoint yet.
    """
    runs = [RunDirectory(path) for path in sorted(root.iterdir()) if is_run(path)] if root.is_dir() else []
    what = "run"
    if kind is not None and runs:
        runs, what = [run for run in runs if run_kind(run) in (None, kind)], f"{kind} run"
    if not runs:
        raise RunDirectoryError(f"{root}: there is no {what} here yet; train one first, or name a run", path=root)
    saved = [(time, run) for run in runs if (time := _last_saved(run)) is not None]
    if not saved:
        raise RunDirectoryError(f"{root}: none of the {len(runs)} {what}s here has a checkpoint yet", path=root)
    return max(saved, key=lambda pair: (pair[0], pair[1].path.name))[1]


def run_kind(run: RunDirectory) -> str | None:
    """What kind of generator a run trains: `generator.kind` of its config.toml, "vid2vid" where that is not said.

    None where the file cannot be read.
    """
    try:
        generator = read_document(run.config).get("generator", {})
    except ConfigError:
        return None
    return str(generator.get("kind", "vid2vid")) if isinstance(generator, Mapping) else None


@contextlib.contextmanager
def hold_run(run: RunDirectory) -> Iterator[None]:
    """Keep every other process from training in this run; the system frees it when this process ends, however.

    Raises:
        RunDirectoryError: Another process holds it; the message has its process id.
    """
    with run.lock.open("a+", encoding="utf-8") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # unlike flock, workers that outlive us do not inherit it
        except (BlockingIOError, PermissionError):
            file.seek(0)
            owner = file.read().strip() or "unknown"
            message = f"{run.path}: another process (pid {owner}) is training here; wait for it or stop it"
            raise RunDirectoryError(message, path=run.path) from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        try:
            yield
        finally:
            file.truncate(0)


def write_atomically(path: Path, text: str) -> None:
    """Replace a file's text so that a crash leaves the old text or the new one, never a part."""
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    os.close(descriptor)
    draft = Path(name)
    try:
        draft.chmod(0o666 & ~_umask())
        _write(draft, text)
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def _require_free(run: RunDirectory) -> None:
    if not run.path.exists():
        return
    if not run.path.is_dir():
        raise RunDirectoryError(f"{run.path}: is a file, not a directory", path=run.path)
    if is_run(run.path):
        message = f"{run.path}: holds a run already; go on with it by --resume {run.path}, or choose another --out"
        raise RunDirectoryError(message, path=run.path)
    if any(run.path.iterdir()):
        message = f"{run.path}: is not empty, and what is in it is not a run; choose another --out"
        raise RunDirectoryError(message, path=run.path)


def _read_marker(run: RunDirectory) -> dict[str, Any]:
    try:
        marker = json.loads(run.environment.read_text("utf-8"))
    except (ValueError, OSError) as error:
        message = f"{run.path}: not a run: {run.environment.name} cannot be read: {error}"
        raise RunDirectoryError(message, path=run.path) from None
    return marker if isinstance(marker, dict) else {}


def _last_saved(run: RunDirectory) -> float | None:
    from vs_runtime import list_checkpoints  # imports PyTorch, which --help has no need of

    times = []
    for path in list_checkpoints(run.checkpoints):
        with contextlib.suppress(FileNotFoundError):  # the process that trains there deletes old ones
            times.append(path.stat().st_mtime)
    return max(times, default=None)


def _timestamp(now: datetime.datetime | None) -> str:
    return (now or datetime.datetime.now(datetime.UTC)).astimezone(datetime.UTC).isoformat(timespec="microseconds")


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, indent=2, default=str) + "\n"


def _write(path: Path, text: str) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _make_whole(path: Path, files: Mapping[str, str]) -> None:
    """Make a directory with files in it under another name and rename it, so that it never exists in part."""
    missing = _make_parents(path.parent)
    draft = None
    try:
        draft = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
        draft.chmod(0o777 & ~_umask())
        for name, text in files.items():
            _write(draft / name, text)
        draft.rename(path)
    except BaseException:
        if draft is not None:
            shutil.rmtree(draft, ignore_errors=True)
        _remove_empty(missing)
        raise


def _fill(path: Path, files: Mapping[str, str]) -> None:
    try:
        for name, text in files.items():
            write_atomically(path / name, text)
    except BaseException:
        for name in files:
            (path / name).unlink(missing_ok=True)
        raise


def _make_parents(path: Path) -> list[Path]:
    """Make a directory with its parents; return those that were missing, the innermost first."""
    missing = [parent for parent in (path, *path.parents) if not parent.exists()]
    path.mkdir(parents=True, exist_ok=True)
    return missing


def _remove_empty(directories: list[Path]) -> None:
    for directory in directories:
        with contextlib.suppress(OSError):
            directory.rmdir()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
