"""The command line: `train:vid2vid [--preset NAME | --config FILE] [--out DIR] [--resume DIR] [path=value ...]`.

`train:few-shot` takes the same.

Whatever is wrong with the input ends as lines `error: ...` on stderr and exit status 2, before any file is written.
Heavy modules (PyTorch, the packages) are imported only once there is something to train, so that `--help` is quick.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol

import attrs
from cyclopts import App, Parameter
from vs_config import ConfigError, Problem, Range, render_config, repeated, report_error, resolve_config, shown
from vs_config.commands import EXIT_INPUT, ErrorStatuses, Report, option_of, run_command, status_of
from vs_config.progress import show_progress
from vs_config.signals import StopNow, stop_requests
from vs_training.errors import NonFiniteError, VsTrainingError
from vs_training.kinds import DEFAULT_KIND
from vs_training.presets import DEFAULT_PRESETS, list_presets

from vs_train import __version__
from vs_train.request import (
    RESUMABLE,
    TORCHRUN,
    Company,
    Request,
    Start,
    check_command,
    find_company_conflicts,
    find_conflicts,
    read_start,
    usable_overrides,
)

if TYPE_CHECKING:
    from vs_runtime.run_directory import RunDirectory

EXIT_NON_FINITE = 3
"""Exit status when training failed on values that are not finite."""

NOTHING_YET = "stopped before training began; nothing was written"


class Result(Protocol):
    """A training that returned, as far as the command needs to know."""

    @property
    def step(self) -> int:
        """The last step of the last checkpoint."""

    @property
    def finished(self) -> bool:
        """Whether all steps were made; if not, somebody asked to stop and a checkpoint was written."""


@attrs.frozen
class Job:
    """A kind of training that the commands do.

    Attributes:
        config: The class of its configuration.
        train: `train(config, run, resume=..., progress=..., stop=...)`; it creates the run directory once it has
            checked everything, and returns a `Result`.
        command_of: Names the command that trains a configuration; None: any does.
    """

    config: type
    train: Callable[..., Result]
    command_of: Callable[[Any], str | None] = lambda _: None


def training_job() -> Job:
    """Import what training needs."""
    from vs_training.config import TrainConfig

    from vs_train.training import train

    return Job(TrainConfig, train, lambda config: str(config.generator.kind))


def main(arguments: Sequence[str] | None = None, *, load_job: Callable[[], Job] = training_job) -> int:
    """Run the command line and return the exit status.

    Args:
        arguments: What follows the program's name; `sys.argv` unless given.
        load_job: Imports and returns the job behind the commands.
    """

    def run(report: Report) -> int:
        app = _app(load_job)
        return run_command(app, statuses=_error_statuses, stopped=NOTHING_YET, arguments=arguments, report=report)

    if not any(os.environ.get(name) for name in TORCHRUN):
        return run(report_error)
    from vs_train.company import run_in_company

    return run_in_company(run)


_OVERRIDES = Parameter(
    help="Changes to the configuration: dotted.path=value, value in TOML.",
    allow_leading_hyphen=True,  # what is no option comes here too, and is reported with all else that is wrong
)
_WORDS = Parameter(
    help="A preset or a configuration file, and changes to it: dotted.path=value.", allow_leading_hyphen=True
)
_PRESET = Parameter(help="A configuration by name (see --list-presets).")
_CONFIG = Parameter(help="A configuration file, TOML, instead of a preset.")
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


_PROCESSES = Range(kind=int, low=1, high=1024)
_RESTARTS = Range(kind=int, low=0, high=10**6)
_STEPS = Range(kind=int, low=1, high=10**6)
_RATES = Range(kind=float, low=0, high=1, open_low=True)
_SEEDS = Range(kind=int, low=0, high=2**63 - 1)
_ADAPT_HELP = (
    "Fit a few-shot model to one subject: what makes the picture is trained, flow and encoders stay.\n\n"
    "The last frames of the subject are held out: they decide when to stop, and say what it was worth. What is written "
    "is a model of its own, the best that was found. Ctrl-C writes what is best so far."
)
_ADAPT_EXAMPLE = "hatch run train:adapt models/faces --references clips/of-me --out models/me"
_ADAPT_USAGE = "Usage: hatch run train:adapt MODEL --references DIR [OPTIONS]"
_PLAN_HELP = (
    "Say what a run will take before it begins: parameters, memory, time, disk, and the largest batch that fits.\n\n"
    "A few steps on small batches are measured in processes of their own; nothing is written."
)
_PLAN_EXAMPLES = """hatch run train:plan street-tiny

hatch run train:plan my.toml loader.batch_size=auto --json"""
_PLAN_USAGE = "Usage: hatch run train:plan [PRESET | CONFIG] [OPTIONS] [DOTTED.PATH=VALUE ...]"
_INIT_HELP = (
    "Look at a video or a folder that nobody has described, and write a configuration that trains on it.\n\n"
    "Each choice is printed and stands in the file with its reason; what the data do not say is a question."
)
_INIT_EXAMPLE = "hatch run data:init clip.mp4 --out clip.toml"
_INIT_USAGE = "Usage: hatch run data:init SOURCE --out FILE [OPTIONS]"


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
    app.command(_adapt, name="adapt", help=_ADAPT_HELP, help_epilogue=_ADAPT_EXAMPLE, usage=_ADAPT_USAGE)
    app.command(_plan, name="plan", help=_PLAN_HELP, help_epilogue=_PLAN_EXAMPLES, usage=_PLAN_USAGE)
    app.command(_init, name="init", help=_INIT_HELP, help_epilogue=_INIT_EXAMPLE, usage=_INIT_USAGE)
    return app


def _adapt(
    model: Annotated[str, Parameter(help="A few-shot model directory, or a run.")],
    /,
    *,
    references: Annotated[str, Parameter(help="A data folder with the frames and labels of one subject.")],
    out: Annotated[str | None, Parameter(help="New model directory; adapted-NAME unless given.")] = None,
    steps: Annotated[int, option_of(_STEPS), Parameter(help="Training steps at most.")] = 300,
    lr: Annotated[float, option_of(_RATES), Parameter(help="Learning rate.")] = 2e-4,
    seed: Annotated[int, option_of(_SEEDS), Parameter(help="Of the order of clips.")] = 0,
    photos: Annotated[bool, _FLAG, Parameter(help="The frames do not follow one another.")] = False,
    device: Annotated[
        Literal["auto", "cpu", "cuda"], Parameter(help="What to compute on; auto: a GPU where there is one.")
    ] = "auto",
) -> int:
    from vs_runtime.ranks import ranks_of, require_one

    from vs_train.adapting.command import run_adapt
    from vs_train.adapting.settings import Options

    require_one(ranks_of(os.environ), "train:adapt")

    options = Options(steps=steps, lr=lr, seed=seed, photos=photos, device=device)
    return run_adapt(model, references, out, options)


def _plan(
    *words: Annotated[str, _WORDS],
    preset: Annotated[str | None, _PRESET] = None,
    config: Annotated[str | None, _CONFIG] = None,
    device: Annotated[
        Literal["auto", "cpu", "cuda"] | None, Parameter(help="Another than the configuration's.")
    ] = None,
    processes: Annotated[int, option_of(_PROCESSES), Parameter(help="Of this machine, that share each batch.")] = 1,
    no_probe: Annotated[bool, _FLAG, Parameter(help="Measure nothing: say what can be counted.")] = False,
    json: Annotated[bool, _FLAG, Parameter(help="Write JSON.")] = False,
) -> int:
    from vs_runtime.ranks import ranks_of, require_one

    from vs_train.planning.command import run_plan, with_name

    require_one(ranks_of(os.environ), "train:plan")
    named, overrides = with_name(words)
    if device is not None:
        overrides = (*overrides, f"device={device}")
    request = Request(command=DEFAULT_KIND, overrides=overrides, **{"preset": preset, "config": config, **named})
    return run_plan(request, measured=not no_probe, as_json=json, processes=processes)


def _init(
    source: Annotated[str, Parameter(help="A video, a folder of videos, a data folder or a pack.")],
    /,
    *,
    out: Annotated[str, Parameter(help="The file to write, TOML; it must not exist yet.")],
    preset: Annotated[str | None, Parameter(help="Whose networks and losses are taken; chosen unless given.")] = None,
) -> int:
    from vs_runtime.ranks import ranks_of, require_one

    from vs_train.initial.command import run_init

    require_one(ranks_of(os.environ), "data:init")
    return run_init(source, out, preset)


def _command(command: str, load_job: Callable[[], Job]) -> Callable[..., int]:
    def train(
        *overrides: Annotated[str, _OVERRIDES],
        preset: Annotated[str | None, _PRESET] = None,
        config: Annotated[str | None, _CONFIG] = None,
        out: Annotated[str | None, Parameter(help="New run directory; runs/NAME-DATE-TIME unless given.")] = None,
        resume: Annotated[str | None, Parameter(help="Go on with the run in this directory, exactly.")] = None,
        print_config: Annotated[
            bool, _FLAG, Parameter(help="Write the whole configuration as TOML, and stop.")
        ] = False,
        list_presets: Annotated[bool, _FLAG, Parameter(help="Write the names of the presets, and stop.")] = False,
        processes: Annotated[
            int | None, option_of(_PROCESSES), Parameter(help="Processes on this machine that share each batch.")
        ] = None,
        max_restarts: Annotated[
            int, option_of(_RESTARTS), Parameter(help="How often all of them start again when one is lost.")
        ] = 0,
    ) -> int:
        if list_presets:
            return _list_presets(command)
        request = Request(command=command, overrides=overrides, preset=preset, config=config, out=out, resume=resume)
        company = Company(processes=processes, max_restarts=max_restarts)
        return _run(request, load_job, company, print_config=print_config)

    return train


def _run(request: Request, load_job: Callable[[], Job], company: Company, *, print_config: bool) -> int:
    """Find everything that is wrong with the input before anything is done with it."""
    overrides, problems = usable_overrides(request)
    conflicts = [*find_conflicts(request), *find_company_conflicts(company, os.environ)]
    start = None
    run: tuple[RunDirectory, bool] | None = None
    config: Any = None
    if not conflicts:
        with _gathered(problems):
            start = read_start(request)
        with _gathered(problems):
            run = None if print_config or (request.resume and not start) else _choose_run(request, start)
    if start is not None:
        job = load_job()
        with _gathered(problems):
            config = resolve_config(job.config, start.document, overrides, start.source)
            check_command(request, job.command_of(config), start.source)
    if conflicts or problems:
        raise ConfigError([*conflicts, *problems])
    for notice in repeated(overrides) if company.processes is None else ():
        print(f"warning: {shown(notice)}", file=sys.stderr)
    if run is None:
        print(render_config(config), end="")
        return 0
    if company.processes is not None:
        from vs_train.launching import launch_processes

        return launch_processes(request, config, processes=company.processes, max_restarts=company.max_restarts)
    return _train(request.command, job, config, run[0], resume=run[1])


def _choose_run(request: Request, start: Start | None) -> tuple[RunDirectory, bool]:
    from vs_train.attempts import choose_run

    return choose_run(request, start)


@contextlib.contextmanager
def _gathered(problems: list[Problem]) -> Iterator[None]:
    """Add what is wrong to `problems`, so that what comes next is looked at too."""
    try:
        yield
    except ConfigError as error:
        problems += error.problems
    except Exception as error:
        if status_of(error, _error_statuses()) != EXIT_INPUT:
            raise
        problems.append(Problem("", str(error)))


def _train(command: str, job: Job, config: Any, run: RunDirectory, *, resume: bool) -> int:
    from vs_train.attempts import may_start_again
    from vs_train.commands import evaluate_command, resume_command

    way = "go on with" if not may_start_again(os.environ) else "unless torchrun starts it again, go on with"
    go_on = shown(resume_command(command, run))
    with stop_requests() as stop:
        try:
            with show_progress("step", notice=lambda: stop.notice, keep=True, at_once=True) as progress:
                result = job.train(config, run, resume=resume, progress=progress, stop=stop)
        except StopNow:
            return _stopped(run, "before it went on", go_on, status=stop.exit_status)
        except KeyboardInterrupt:
            return _stopped(run, "at once", go_on, status=128 + signal.SIGINT)
    if not result.finished:
        print(f"stopped after step {result.step} ({stop.requested}); {way}: {go_on}", file=sys.stderr)
        return stop.exit_status
    print(_where_everything_is(run))
    print(f"look at what it learnt: {shown(evaluate_command(command, run))}")
    return 0


def _stopped(run: RunDirectory, when: str, go_on: str, *, status: int) -> int:
    from vs_runtime.run_directory import is_run

    if not is_run(run.path):
        return report_error(NOTHING_YET, status=status)
    print(f"stopped {when}; go on from the last checkpoint with: {go_on}", file=sys.stderr)
    return status


def _where_everything_is(run: RunDirectory) -> str:
    names = [path.name + "/" for path in (run.samples, run.checkpoints, run.tensorboard)]
    return f"done: {shown(run.path)}: {', '.join([*names, run.metrics.name, run.config.name])}"


def _list_presets(command: str) -> int:
    presets = [preset for preset in list_presets() if preset.command == command]
    width = max((len(preset.name) for preset in presets), default=0)
    for preset in presets:
        print(f"{preset.name:{width}}  {shown(preset.summary)}")
    return 0


def _error_statuses() -> ErrorStatuses:
    """Yield what a message explains, with the exit status; packages are imported only if it is none of the first."""
    yield NonFiniteError, EXIT_NON_FINITE
    yield from ((kind, EXIT_INPUT) for kind in (VsTrainingError, ConfigError, OSError))

    import vs_data
    import vs_metrics
    import vs_nets
    import vs_ops
    import vs_optim
    import vs_runtime
    import vs_synthesis

    yield vs_data.VsDataError, EXIT_INPUT
    yield vs_metrics.VsMetricsError, EXIT_INPUT
    yield vs_nets.VsNetsError, EXIT_INPUT
    yield vs_ops.VsOpsError, EXIT_INPUT
    yield vs_optim.VsOptimError, EXIT_INPUT
    yield vs_runtime.VsRuntimeError, EXIT_INPUT
    yield vs_synthesis.VsSynthesisError, EXIT_INPUT
