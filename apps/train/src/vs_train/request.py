"""What somebody asks for on the command line: what is wrong with it, where settings come from, where the run goes."""

from __future__ import annotations

import datetime
import fnmatch
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import attrs
from vs_config import (
    COMMAND_LINE,
    ConfigError,
    Problem,
    did_you_mean,
    option_path,
    override_path,
    read_toml,
    show,
    shown,
)
from vs_training.errors import VsTrainingError
from vs_training.presets import DEFAULT_PRESETS, read_preset

if TYPE_CHECKING:
    from vs_runtime.run_directory import RunDirectory

RESUMABLE = (
    "run.*",
    "memory.checkpoint",
    "performance.keep_memory",
    "performance.give_way",
    "performance.graphs",
    "device",
    "loader.workers",
    "loader.prefetch",
    "loader.start_method",
    "loader.timeout",
    "distributed.timeout",
    "distributed.check_every",
)
"""Overrides that `--resume` takes: how long to train, what to write, where and how to compute; not what is learned."""

TORCHRUN = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
"""Variables that torchrun sets for each of its processes."""

LONGEST_RUN_NAME = 200
"""Bytes of the name of a run's directory: drafts beside it have a longer one, and file systems take 255."""

_LONGEST_STEM = 50
_OPTIONS = ("preset", "config", "out", "resume", "print-config", "list-presets", "processes", "max-restarts", "help")


@attrs.frozen(kw_only=True)
class Request:
    """The words of a command line: what to train, changed how, and where the run goes."""

    command: str
    overrides: tuple[str, ...] = ()
    preset: str | None = None
    config: str | None = None
    out: str | None = None
    resume: str | None = None


@attrs.frozen(kw_only=True)
class Company:
    """The processes that a command line asks for, and how often all of them start again; None: no others."""

    processes: int | None = None
    max_restarts: int = 0


@attrs.frozen(kw_only=True)
class Start:
    """The document that a request starts from, its name for messages, and a name for a new run."""

    document: Mapping[str, Any]
    source: str
    stem: str = ""


def find_conflicts(request: Request) -> list[Problem]:
    """Return what is wrong with options in themselves: which configuration and directory are meant is not known."""
    found = []
    if request.resume is not None:
        reason = "--resume goes on with the run's own configuration and directory: drop"
        found = [f"{reason} --{name}" for name in ("preset", "config", "out") if getattr(request, name) is not None]
    if request.preset is not None and request.config is not None:
        found.append("--preset and --config exclude each other: a preset is a configuration file; give one")
    for name in ("config", "out", "resume"):
        given = getattr(request, name)
        if given is not None:
            try:
                option_path(given)
            except ValueError as error:
                found.append(f"--{name}: {error}")
    return [Problem("", text) for text in found]


def find_company_conflicts(company: Company, environment: Mapping[str, str]) -> list[Problem]:
    """Return what is wrong with the options that start processes."""
    if company.processes is None:
        return [Problem("", "--max-restarts goes with --processes")] if company.max_restarts else []
    if any(environment.get(name) for name in TORCHRUN):
        return [Problem("", "--processes starts processes, and torchrun has started this one already: drop it")]
    return []


def _is_resumable(override: str) -> bool:
    return any(fnmatch.fnmatchcase(override_path(override), pattern) for pattern in RESUMABLE)


def usable_overrides(request: Request) -> tuple[list[str], list[Problem]]:
    """Return the overrides that can be looked at further, and what is wrong with the others."""
    given = [text for text in request.overrides if not text.startswith("-")]
    problems = [_unknown_option(text) for text in request.overrides if text.startswith("-")]
    if request.resume is not None:
        refused = [text for text in given if not _is_resumable(text)]
        message = f"would change what is computed; --resume takes overrides of {', '.join(RESUMABLE)} only"
        problems += [Problem(override_path(text), message, COMMAND_LINE) for text in refused]
        given = [text for text in given if text not in refused]
    return given, problems


def _unknown_option(text: str) -> Problem:
    close = did_you_mean(text.partition("=")[0].lstrip("-"), _OPTIONS)
    hint = close or "overrides have no dashes: path=value"
    return Problem("", f"Unknown option: {shown(text, 80)}; {hint}")


def read_start(request: Request) -> Start:
    """Read the settings that a request starts from: those of the run to resume, of a file, or of a preset.

    Raises:
        ConfigError: They cannot be read.
        RunDirectoryError: There is no such run.
        PresetError: There is no such preset.
    """
    if request.resume is not None:
        from vs_runtime.run_directory import open_run

        run = open_run(option_path(request.resume))
        return Start(document=read_toml(run.config), source=str(run.config))
    if request.config is not None:
        path = option_path(request.config)
        return Start(document=read_toml(path), source=request.config, stem=path.stem)
    preset = read_preset(DEFAULT_PRESETS[request.command] if request.preset is None else request.preset)
    return Start(document=preset.document, source=f"preset {preset.name}", stem=preset.name)


def choose_directory(request: Request, start: Start | None) -> RunDirectory:
    """Return the directory that the run is in, or is to be made in; nothing is written.

    Raises:
        RunDirectoryError: There is no such run, or the directory is taken.
        VsTrainingError: Its name is too long.
    """
    from vs_runtime.run_directory import open_run, plan_run

    if request.resume is not None:
        return open_run(option_path(request.resume))
    if request.out is not None and len(option_path(request.out).name.encode()) > LONGEST_RUN_NAME:
        raise VsTrainingError(f"--out: the name of a run has at most {LONGEST_RUN_NAME} bytes, got {show(request.out)}")
    out = None if request.out is None else option_path(request.out)
    return plan_run(out, stem_of(start), now=datetime.datetime.now())


def stem_of(start: Start | None) -> str:
    """Return what the name of a new run begins with."""
    return "" if start is None else start.stem[:_LONGEST_STEM]


def check_command(request: Request, command: str | None, source: str) -> None:
    """See that the command is the one that trains such a configuration.

    Raises:
        ConfigError: Another command does.
    """
    if command not in (None, request.command):
        hint = f"`hatch run train:{command}` trains generators of that kind"
        expected = f"{show(request.command)} for `train:{request.command}`"
        raise ConfigError([Problem("generator.kind", hint, source, expected=expected, got=command)])
