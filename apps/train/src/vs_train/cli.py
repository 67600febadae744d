"""The command line: `train:vid2vid [--preset NAME | --config FILE] [--out DIR] [--resume DIR] [path=value ...]`.

`train:few-shot` takes the same.

Whatever is wrong with the input ends as lines `error: ...` on stderr and exit status 2, before any file is written.
Heavy modules (PyTorch, the packages) are imported only once there is something to train, so that `--help` is quick.
"""

from __future__ import annotations

import datetime
import fnmatch
import shlex
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Protocol

import attrs
from cyclopts import App, CycloptsError, Parameter

from . import __version__
from .config_io import read_document, render_config, resolve_config
from .config_overrides import COMMAND_LINE
from .errors import ConfigError, NonFiniteError, Problem, VsTrainError
from .presets import DEFAULT_PRESETS, list_presets, read_preset
from .progress import show_progress
from .run_directory import RunDirectory, is_run, open_run, plan_run
from .signals import StopNow, stop_requests
from .streams import lasting_streams

EXIT_INPUT = 2
"""Exit status when the input is wrong."""

EXIT_NON_FINITE = 3
"""Exit status when training failed on values that are not finite."""

NOTHING_YET = "stopped before training began; nothing was written"

RESUMABLE = (
    "run.*",
    "memory.checkpoint",
    "device",
    "loader.workers",
    "loader.prefetch",
    "loader.start_method",
    "loader.timeout",
)
"""Overrides that `--resume` takes: how long to train, what to write, where and how to compute; not what is learned."""


class Result(Protocol):
    """What the command needs to know of a training that returned."""

    @property
    def step(self) -> int:
        """The last step of the last checkpoint."""

    @property
    def finished(self) -> bool:
        """Whether all steps were made; if not, somebody asked to stop and a checkpoint was written."""


@attrs.frozen
class Job:
    """What the commands train.

    Attributes:
        config: The class of its configuration.
        train: `train(config, run, resume=..., progress=..., stop=...)`; it creates the run directory once it has
            checked everything, and returns a `Result`.
        command_of: Names the command that trains a configuration; None: any does.
    """

    config: type
    train: Callable[..., Result]
    command_of: Callable[[Any], str | None] = lambda _: None


@attrs.frozen(kw_only=True)
class Request:
    """What the command and its options say: what to train, changed how, and where the run goes."""

    command: str
    overrides: tuple[str, ...] = ()
    preset: str | None = None
    config: Path | None = None
    out: Path | None = None
    resume: Path | None = None


def training_job() -> Job:
    """Import what training needs."""
    from .config import TrainConfig
    from .training import train

    return Job(TrainConfig, train, lambda config: str(config.generator.kind))


def main(arguments: Sequence[str] | None = None, *, load_job: Callable[[], Job] = training_job) -> int:
    """Run the command line and return the exit status.

    Args:
        arguments: What follows the program's name; `sys.argv` unless given.
        load_job: Imports and returns the job behind the commands.
    """
    with lasting_streams() as output:
        status = _main(arguments, load_job)
    if output.lost is not None and status == 0:
        return _fail(f"standard output could not be written: {output.lost}")
    return status


def _main(arguments: Sequence[str] | None, load_job: Callable[[], Job]) -> int:
    app = _app(load_job)
    try:
        status = app(arguments, exit_on_error=False, print_error=False, result_action="return_value")
    except CycloptsError as error:
        hint = "; overrides have no dashes: path=value" if "=" in str(error) else ""
        return _fail(" ".join(str(error).split()).rstrip(".") + hint)
    except KeyboardInterrupt:
        return _fail(NOTHING_YET, 128 + signal.SIGINT)
    except Exception as error:
        failure = _status_of(error)
        if failure is None:
            raise
        return _fail(str(error), failure)
    return status if isinstance(status, int) else 0


_FLAG = Parameter(negative="", show_default=False)
_HELP = (
    "{what}\n\n"
    "Without options, the preset {preset} is trained into a new directory below runs/. Ctrl-C (or SIGTERM) "
    "writes a checkpoint and says how to go on. With --resume, only overrides of {resumable} "
    "are taken: they do not change what is learned."
)
_EXAMPLES = """hatch run {script}

hatch run {script} --preset {preset} run.steps=2000 optim.generator.lr=1e-4

hatch run {script} --resume runs/{preset}-20260131-120000"""
_USAGE = "Usage: hatch run {script} [OPTIONS] [DOTTED.PATH=VALUE ...]"
_COMMANDS = {
    "vid2vid": "Train vid2vid: label maps in, video out.",
    "few-shot": "Train few-shot vid2vid: labels and a few frames of a subject in, a video of that subject out.",
}


def _app(load_job: Callable[[], Job]) -> App:
    app = App(
        name="vs-train",
        version=__version__,
        help="Train a video-to-video network.",
        help_format="plaintext",
        suppress_keyboard_interrupt=False,
    )
    for command, what in _COMMANDS.items():
        words = {
            "what": what,
            "script": f"train:{command}",
            "preset": DEFAULT_PRESETS[command],
            "resumable": ", ".join(RESUMABLE),
        }
        app.command(
            _command(command, load_job),
            name=command,
            help=_HELP.format(**words),
            help_epilogue=_EXAMPLES.format(**words),
            usage=_USAGE.format(**words),
        )
    return app


def _command(command: str, load_job: Callable[[], Job]) -> Callable[..., int]:
    def train(
        *overrides: Annotated[str, Parameter(help="Changes to the configuration: dotted.path=value, value in TOML.")],
        preset: Annotated[str | None, Parameter(help="A configuration by name (see --list-presets).")] = None,
        config: Annotated[Path | None, Parameter(help="A configuration file, TOML, instead of a preset.")] = None,
        out: Annotated[Path | None, Parameter(help="New run directory; runs/NAME-DATE-TIME unless given.")] = None,
        resume: Annotated[Path | None, Parameter(help="Go on with the run in this directory, exactly.")] = None,
        print_config: Annotated[
            bool, _FLAG, Parameter(help="Write the whole configuration as TOML, and stop.")
        ] = False,
        list_presets: Annotated[bool, _FLAG, Parameter(help="Write the names of the presets, and stop.")] = False,
    ) -> int:
        if list_presets:
            return _list_presets(command)
        request = Request(command=command, overrides=overrides, preset=preset, config=config, out=out, resume=resume)
        return _run(request, load_job, print_config=print_config)

    return train


def _run(request: Request, load_job: Callable[[], Job], *, print_config: bool) -> int:
    _check_options(request)
    document, source, stem = _document(request)
    job = load_job()
    config: Any = resolve_config(job.config, document, request.overrides, source)
    command = job.command_of(config)
    if command not in (None, request.command):
        script = f"train:{command}"
        raise VsTrainError(
            f"{source}: $.generator.kind is '{command}', which `hatch run {script}` trains; "
            f"`train:{request.command}` needs a generator of kind '{request.command}'"
        )
    if print_config:
        print(render_config(config), end="")
        return 0
    if request.resume is None:
        run = plan_run(request.out, stem, now=datetime.datetime.now())
    else:
        run = open_run(request.resume)
    return _train(f"train:{request.command}", job, config, run, resume=request.resume is not None)


def _check_options(request: Request) -> None:
    if request.resume is not None:
        for option in ("preset", "config", "out"):
            if getattr(request, option) is not None:
                raise VsTrainError(f"--resume goes on with the run's own configuration and directory: drop --{option}")
        refused = [text for text in request.overrides if not _is_resumable(text)]
        message = f"would change what is computed; --resume takes overrides of {', '.join(RESUMABLE)} only"
        if refused:
            raise ConfigError([Problem(f"$.{text.partition('=')[0]}", message, COMMAND_LINE) for text in refused])
    if request.preset is not None and request.config is not None:
        raise VsTrainError("--preset and --config exclude each other: a preset is a configuration file; give one")


def _is_resumable(override: str) -> bool:
    path = override.partition("=")[0].strip().removeprefix("$.")
    return any(fnmatch.fnmatchcase(path, pattern) for pattern in RESUMABLE)


def _document(request: Request) -> tuple[Mapping[str, Any], str, str]:
    """Return the document that the request starts from, its name for messages, and a name for a new run."""
    if request.resume is not None:
        run = open_run(request.resume)
        return read_document(run.config), str(run.config), ""
    if request.config is not None:
        return read_document(request.config), str(request.config), request.config.stem
    preset = read_preset(request.preset or DEFAULT_PRESETS[request.command])
    return preset.document, f"preset {preset.name}", preset.name


def _train(command: str, job: Job, config: Any, run: RunDirectory, *, resume: bool) -> int:
    go_on = f"hatch run {command} --resume {shlex.quote(str(run.path))}"
    with stop_requests() as stop:
        try:
            with show_progress(notice=lambda: stop.notice) as progress:
                result = job.train(config, run, resume=resume, progress=progress, stop=stop)
        except KeyboardInterrupt as interrupt:
            first = isinstance(interrupt, StopNow)
            status = stop.exit_status if first else 128 + signal.SIGINT
            if not is_run(run.path):
                return _fail(NOTHING_YET, status)
            when = "before it went on" if first else "at once"
            print(f"stopped {when}; go on from the last checkpoint with: {go_on}", file=sys.stderr)
            return status
    if not result.finished:
        print(f"stopped after step {result.step} ({stop.requested}); go on with: {go_on}", file=sys.stderr)
        return stop.exit_status
    print(_where_everything_is(run))
    return 0


def _where_everything_is(run: RunDirectory) -> str:
    names = [path.name + "/" for path in (run.samples, run.checkpoints, run.tensorboard)]
    return f"done: {run.path}: {', '.join([*names, run.metrics.name, run.config.name])}"


def _list_presets(command: str) -> int:
    presets = [preset for preset in list_presets() if preset.command == command]
    width = max((len(preset.name) for preset in presets), default=0)
    for preset in presets:
        print(f"{preset.name:{width}}  {preset.summary}")
    return 0


def _status_of(error: Exception) -> int | None:
    """Return the exit status for an error that a message explains, None for a defect of the program."""
    if isinstance(error, NonFiniteError):
        return EXIT_NON_FINITE
    if isinstance(error, (VsTrainError, OSError)):
        return EXIT_INPUT
    import vs_data
    import vs_metrics
    import vs_nets
    import vs_ops
    import vs_optim
    import vs_runtime

    if isinstance(error, vs_optim.GradientOverflowError):
        return EXIT_NON_FINITE
    roots = (
        vs_data.VsDataError,
        vs_metrics.VsMetricsError,
        vs_nets.VsNetsError,
        vs_ops.VsOpsError,
        vs_optim.VsOptimError,
        vs_runtime.VsRuntimeError,
    )
    return EXIT_INPUT if isinstance(error, roots) else None


def _fail(text: str, status: int = EXIT_INPUT) -> int:
    for line in text.splitlines():
        print(f"error: {line}", file=sys.stderr)
    return status
