"""The command line: `train:vid2vid [--preset NAME | --config FILE] [--out DIR] [--resume DIR] [path=value ...]`.

Whatever is wrong with the input ends as lines `error: ...` on stderr and exit status 2, before any file is written.
Heavy modules (PyTorch, the packages) are imported only once there is something to train, so that `--help` is quick.
"""

from __future__ import annotations

import datetime
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
from .presets import DEFAULT_PRESET, list_presets, read_preset
from .progress import show_progress
from .run_directory import RunDirectory, open_run, plan_run
from .signals import stop_requests

EXIT_INPUT = 2
"""Exit status when the input is wrong."""

EXIT_NON_FINITE = 3
"""Exit status when training failed on values that are not finite."""

RESUMABLE = ("run.", "memory.checkpoint")
"""Overrides that `--resume` takes: how long to train, what to write, and what to recompute; not what is learned."""


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
    """What a command trains.

    Attributes:
        config: The class of its configuration.
        train: `train(config, run, resume=..., progress=..., stop=...)`; it creates the run directory once it has
            checked everything, and returns a `Result`.
    """

    config: type
    train: Callable[..., Result]


@attrs.frozen(kw_only=True)
class Request:
    """What the options say: which configuration, changed how, and where the run goes."""

    overrides: tuple[str, ...] = ()
    preset: str | None = None
    config: Path | None = None
    out: Path | None = None
    resume: Path | None = None


def vid2vid_job() -> Job:
    """Import what vid2vid needs."""
    from .config import TrainConfig
    from .training import train

    return Job(TrainConfig, train)


def main(arguments: Sequence[str] | None = None, *, load_vid2vid: Callable[[], Job] = vid2vid_job) -> int:
    """Run the command line and return the exit status.

    Args:
        arguments: What follows the program's name; `sys.argv` unless given.
        load_vid2vid: Imports and returns the job behind the command `vid2vid`.
    """
    app = _app(load_vid2vid)
    try:
        status = app(arguments, exit_on_error=False, print_error=False, result_action="return_value")
    except CycloptsError as error:
        hint = "; overrides have no dashes: path=value" if "=" in str(error) else ""
        return _fail(" ".join(str(error).split()).rstrip(".") + hint)
    except KeyboardInterrupt:
        return _fail("stopped before training began; nothing was written", 128 + signal.SIGINT)
    except Exception as error:
        failure = _status_of(error)
        if failure is None:
            raise
        return _fail(str(error), failure)
    return status if isinstance(status, int) else 0


_FLAG = Parameter(negative="", show_default=False)
_HELP = (
    "Train vid2vid: label maps in, video out.\n\n"
    f"Without options, the preset {DEFAULT_PRESET} is trained into a new directory below runs/. Ctrl-C (or SIGTERM) "
    "writes a checkpoint and says how to go on. With --resume, only overrides of run.* and memory.checkpoint are "
    "taken: they do not change what is learned."
)
_EXAMPLES = """hatch run train:vid2vid

hatch run train:vid2vid --preset street-small run.steps=2000 optim.generator.lr=1e-4

hatch run train:vid2vid --resume runs/street-small-20260131-120000"""
_USAGE = "Usage: hatch run train:vid2vid [OPTIONS] [DOTTED.PATH=VALUE ...]"


def _app(load_vid2vid: Callable[[], Job]) -> App:
    app = App(
        name="vs-train",
        version=__version__,
        help="Train a video-to-video network.",
        help_format="plaintext",
        suppress_keyboard_interrupt=False,
    )

    @app.command(help=_HELP, help_epilogue=_EXAMPLES, usage=_USAGE)
    def vid2vid(
        *overrides: Annotated[str, Parameter(help="Changes to the configuration: dotted.path=value, value in TOML.")],
        preset: Annotated[
            str | None, Parameter(help=f"A configuration by name; {DEFAULT_PRESET} unless given.")
        ] = None,
        config: Annotated[Path | None, Parameter(help="A configuration file, TOML, instead of a preset.")] = None,
        out: Annotated[Path | None, Parameter(help="New run directory; runs/NAME-DATE-TIME unless given.")] = None,
        resume: Annotated[Path | None, Parameter(help="Go on with the run in this directory, exactly.")] = None,
        print_config: Annotated[
            bool, _FLAG, Parameter(help="Write the whole configuration as TOML, and stop.")
        ] = False,
        list_presets: Annotated[bool, _FLAG, Parameter(help="Write the names of the presets, and stop.")] = False,
    ) -> int:
        if list_presets:
            return _list_presets()
        request = Request(overrides=overrides, preset=preset, config=config, out=out, resume=resume)
        return _run("train:vid2vid", request, load_vid2vid, print_config=print_config)

    return app


def _run(command: str, request: Request, load_job: Callable[[], Job], *, print_config: bool) -> int:
    _check_options(request)
    document, source, stem = _document(request)
    job = load_job()
    config: Any = resolve_config(job.config, document, request.overrides, source)
    if print_config:
        print(render_config(config), end="")
        return 0
    if request.resume is None:
        run = plan_run(request.out, stem, now=datetime.datetime.now())
    else:
        run = open_run(request.resume)
    return _train(command, job, config, run, resume=request.resume is not None)


def _check_options(request: Request) -> None:
    if request.resume is not None:
        for option in ("preset", "config", "out"):
            if getattr(request, option) is not None:
                raise VsTrainError(f"--resume goes on with the run's own configuration and directory: drop --{option}")
        refused = [text for text in request.overrides if not text.removeprefix("$.").startswith(RESUMABLE)]
        message = "would change what is computed; --resume takes overrides of run.* and memory.checkpoint only"
        if refused:
            raise ConfigError([Problem(f"$.{text.partition('=')[0]}", message, COMMAND_LINE) for text in refused])
    if request.preset is not None and request.config is not None:
        raise VsTrainError("--preset and --config exclude each other: a preset is a configuration file; give one")


def _document(request: Request) -> tuple[Mapping[str, Any], str, str]:
    """Return the document that the request starts from, its name for messages, and a name for a new run."""
    if request.resume is not None:
        run = open_run(request.resume)
        return read_document(run.config), str(run.config), ""
    if request.config is not None:
        return read_document(request.config), str(request.config), request.config.stem
    preset = read_preset(request.preset or DEFAULT_PRESET)
    return preset.document, f"preset {preset.name}", preset.name


def _train(command: str, job: Job, config: Any, run: RunDirectory, *, resume: bool) -> int:
    go_on = f"hatch run {command} --resume {shlex.quote(str(run.path))}"
    with stop_requests() as stop:
        try:
            with show_progress(notice=lambda: stop.notice) as progress:
                result = job.train(config, run, resume=resume, progress=progress, stop=stop)
        except KeyboardInterrupt:
            print(f"stopped at once; go on from the last checkpoint with: {go_on}", file=sys.stderr)
            return 128 + signal.SIGINT
    if not result.finished:
        print(f"stopped after step {result.step} ({stop.requested}); go on with: {go_on}", file=sys.stderr)
        return stop.exit_status
    print(_where_everything_is(run))
    return 0


def _where_everything_is(run: RunDirectory) -> str:
    names = [path.name + "/" for path in (run.samples, run.checkpoints, run.tensorboard)]
    return f"done: {run.path}: {', '.join([*names, run.metrics.name, run.config.name])}"


def _list_presets() -> int:
    presets = list_presets()
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
