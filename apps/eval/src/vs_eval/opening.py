"""What every command begins with: the run, its checkpoint and its held-out data, checked before anything is written."""

import datetime
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Generic, Literal, TypeVar, assert_never

import attrs
import torch
from vs_config import shown
from vs_data import (
    ClipSource,
    FacesConfig,
    FolderConfig,
    SourceConfig,
    StreetConfig,
    check_roots,
    every_so_often,
    look_at_folder,
    open_source,
)
from vs_nets import AnyGeneratorConfig, LabelSpec
from vs_runtime import LoadedCheckpoint, choose_device, describe_environment
from vs_runtime.run_directory import RunDirectory, latest_run, open_run, read_run_config
from vs_training.config import TrainConfig, label_spec
from vs_training.kinds import may_be_kind

from vs_eval.errors import RunError
from vs_eval.facts import Facts
from vs_eval.output import check_output
from vs_eval.runs import read_checkpoint, require_same, training_facts

COMMANDS: Mapping[str, str] = {"vid2vid": "hatch run eval:vid2vid", "few-shot": "hatch run eval:few-shot"}
"""What evaluates a run, by the kind of its generator."""

SEEN = "data.val_root names no other folder, so that nothing is held out: the run was trained on these sequences"
"""What is said of an evaluation on the training data."""

ConfigKind = TypeVar("ConfigKind", bound=AnyGeneratorConfig)


@attrs.frozen(kw_only=True)
class Request:
    """A request of the command line, whatever the kind of the generator."""

    run: Path | None
    out: Path | None
    checkpoint: int | None
    device: Literal["auto", "cpu", "cuda"]
    clips: int | None
    frames: int | None


@attrs.frozen(kw_only=True, eq=False)
class Opened(Generic[ConfigKind]):
    """A run that can be evaluated.

    Attributes:
        run: its directory.
        config: its configuration.
        generator: that of its generator.
        checkpoint: what was saved.
        source: held-out sequences.
        labels: how their labels enter the networks.
        device: what to compute on.
        out: where the report goes.
        facts: what the report is made from.
    """

    run: RunDirectory
    config: TrainConfig
    generator: ConfigKind
    checkpoint: LoadedCheckpoint
    source: ClipSource
    labels: LabelSpec
    device: torch.device
    out: Path
    facts: Facts


def open_evaluation(request: Request, kind: type[ConfigKind]) -> Opened[ConfigKind]:
    """Find and check everything that a command needs; nothing is written.

    Args:
        request: what the command line asks for.
        kind: the configuration of the generators that the command evaluates.

    Raises:
        RunError: the run is of another kind (and whatever reading a run, a checkpoint and data raises).
    """
    # The run, by its own configuration.
    device = choose_device(request.device)
    run = _latest_run(kind.kind) if request.run is None else open_run(request.run)
    config = read_run_config(run, TrainConfig)
    generator = config.generator
    if not isinstance(generator, kind):
        command = COMMANDS[generator.kind]
        raise RunError(run.path, f"trains a {generator.kind} generator; evaluate it by `{command} {run.path}`")
    # Its checkpoint, which must be of that configuration, or scores would be of another network.
    checkpoint = read_checkpoint(run, request.checkpoint)
    require_same(run, checkpoint, config)
    out = request.out or run.path / "eval" / f"step-{checkpoint.step:08d}"
    check_output(out)
    # What it has never seen, looked at as long as nothing has been computed.
    source = open_source(config.data, "val")
    looked_at = _look_at_data(config, request.clips)
    return Opened(
        run=run,
        config=config,
        generator=generator,
        checkpoint=checkpoint,
        source=source,
        labels=label_spec(config.labels, source),
        device=device,
        out=out,
        facts=_facts(request, run, checkpoint, config, device, looked_at),
    )


def _latest_run(kind: str) -> RunDirectory:
    return latest_run(what=f"{kind} run", fits=lambda run: may_be_kind(run.config, kind), notice=say_warning)


def warn(notices: tuple[str, ...]) -> None:
    """Say on stderr what goes otherwise than asked for."""
    for notice in notices:
        say_warning(notice)


def say_warning(text: str) -> None:
    """Say one thing on stderr; it may hold names from outside."""
    print(f"warning: {shown(text)}", file=sys.stderr)


def _look_at_data(config: TrainConfig, clips: int | None) -> tuple[str, ...]:
    """Return warnings about a folder of held-out data, of which the sequences are opened that are evaluated.

    Raises:
        DataError: something is wrong with it.
    """
    match config.data:
        case StreetConfig() | FacesConfig():
            return ()  # what is drawn needs no look
        case FolderConfig() as folder:
            if not config.run.check_data:
                return ()
            watch = every_so_often("looking at the held-out data", lambda line: print(line, file=sys.stderr))
            summary, *warnings = look_at_folder(folder, "val", progress=watch, sequences=clips, severity=False)
            return (summary, *warnings) if warnings else ()
        case _:
            assert_never(config.data)


def notices_on(config: TrainConfig, checkpoint: LoadedCheckpoint | None, instead: str) -> tuple[str, ...]:
    """Return what goes otherwise than one would expect.

    Args:
        config: the run's.
        checkpoint: the one that is used, if there is one.
        instead: what is used instead of newer ones that are damaged, in words.
    """
    skipped = () if checkpoint is None else checkpoint.skipped
    damaged = (f"{path.name} is damaged ({why}); {instead} is used instead" for path, why in skipped)
    return (*damaged, *(() if is_held_out(config.data) else (SEEN,)))


def is_held_out(data: SourceConfig) -> bool:
    """Say whether the sequences that are evaluated are others than those that are trained on."""
    match data:
        case FolderConfig():
            return len(check_roots(data)) > 1
        case StreetConfig() | FacesConfig():
            return True
        case _:
            assert_never(data)


def place(path: Path) -> Path:
    """Return a path as a report may tell it: from the working directory on, or its last part if it is elsewhere."""
    whole, here = path.resolve(), Path.cwd().resolve()
    return whole.relative_to(here) if here in whole.parents else Path(whole.name)


def _command(request: Request, kind: str, run: Path, step: int, device: torch.device) -> str:
    """Return what repeats the evaluation, whatever checkpoints there are by then; where the report goes is left out."""
    options = {"checkpoint": step, "device": device.type, "clips": request.clips, "frames": request.frames}
    given = [f"--{name} {value}" for name, value in options.items() if value is not None]
    return " ".join([COMMANDS[kind], shlex.quote(str(run)), *given])


def _facts(
    request: Request,
    run: RunDirectory,
    checkpoint: LoadedCheckpoint,
    config: TrainConfig,
    device: torch.device,
    looked_at: tuple[str, ...],
) -> Facts:
    where = place(run.path)
    return Facts(
        command=_command(request, config.generator.kind, where, checkpoint.step, device),
        measured=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        run=str(where),
        config=str(where / run.config.name),
        checkpoint=str(where / checkpoint.path.relative_to(run.path)),
        step=checkpoint.step,
        device=str(device),
        weights="average of the generator (EMA)",
        data=config.data.kind,
        fps=float(config.run.video_fps),
        environment=describe_environment(),
        training=training_facts(run),
        notices=(*notices_on(config, checkpoint, f"step {checkpoint.step}"), *looked_at),
    )
