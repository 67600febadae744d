"""What every command begins with: what was trained, and held-out data, checked before anything is written."""

import datetime
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar, assert_never

import attrs
from vs_config import shown
from vs_data import (
    ClipSource,
    DancersConfig,
    FacesConfig,
    SourceConfig,
    StoredConfig,
    StreetConfig,
    check_roots,
    every_so_often,
    look_at_folder,
    open_source,
)
from vs_nets import AnyGeneratorConfig
from vs_runtime import BEST, choose_device, describe_environment
from vs_runtime.run_directory import open_run, read_run_config
from vs_synthesis import (
    Model,
    ModelContents,
    ModelError,
    Which,
    build_model,
    find_run,
    folder_for,
    held_out_in,
    read_trained,
    training_config,
)
from vs_training.config import TrainConfig
from vs_training.quality.features import FeatureNetworks, open_networks

from vs_eval.facts import Facts, ModelFacts, RunFacts, step_title
from vs_eval.output import check_output, checkpoint_name, results_of

COMMANDS: Mapping[str, str] = {"vid2vid": "hatch run eval:vid2vid", "few-shot": "hatch run eval:few-shot"}
"""What evaluates a run or model, by the kind of its generator."""

SEEN = "data names neither another val_root nor val_sequences, so that what is evaluated is what the run was trained on"
"""What is said of an evaluation on the training data."""

ConfigKind = TypeVar("ConfigKind", bound=AnyGeneratorConfig)


@attrs.frozen(kw_only=True)
class Request:
    """A request of the command line, whatever the kind of the generator."""

    run: Path | None
    out: Path | None
    checkpoint: Which
    device: Literal["auto", "cpu", "cuda"]
    clips: int | None
    frames: int | None
    data: Path | None = None
    agreement: bool = True
    features: tuple[Path, ...] = ()


@attrs.frozen(kw_only=True, eq=False)
class Trained:
    """A trained generator, and data to look at it with.

    Attributes:
        contents: its weights, and where they come from.
        config: of its training, with `data` in the place of what it says of data; None: nobody knows.
        data: whose held-out sequences it is evaluated on.
        seen: whose training sequences it was trained on; None: they are not here.
    """

    contents: ModelContents
    config: TrainConfig | None
    data: SourceConfig
    seen: SourceConfig | None

    @property
    def title(self) -> str:
        """The directory, and the training step where it is known."""
        return step_title(str(self.contents.path), self.step)

    @property
    def step(self) -> int | None:
        """The training step of the weights, as far as known."""
        match self.contents.provenance.get("steps"):
            case int(step):
                return step
            case _:
                return None

    @property
    def notices(self) -> tuple[str, ...]:
        """What goes otherwise than one would expect."""
        seen = self.seen is not None and not is_held_out(self.data)
        return (*self.contents.notices, *((SEEN,) if seen else ()))


@attrs.frozen(kw_only=True, eq=False)
class Opened(Generic[ConfigKind]):
    """A run or model that can be evaluated.

    Attributes:
        trained: what was read.
        generator: the configuration of its generator.
        model: the average of the generator, on its device.
        source: held-out sequences.
        out: where the report goes.
        facts: what the report is made from.
        networks: what frames are also measured with.
    """

    trained: Trained
    generator: ConfigKind
    model: Model
    source: ClipSource
    out: Path
    facts: Facts
    networks: FeatureNetworks


def open_evaluation(request: Request, kind: type[ConfigKind]) -> Opened[ConfigKind]:
    """Find and check everything that a command needs; nothing is written.

    Args:
        request: what the command line asks for.
        kind: the configuration of the generators that the command evaluates.

    Raises:
        ModelError: the generator is of another kind (and whatever reading runs, models and data raises).
    """
    choose_device(request.device)
    path = find_run(say_warning, kind.kind).path if request.run is None else request.run
    trained = open_trained(path, checkpoint=request.checkpoint, data=request.data)
    contents = trained.contents
    generator = contents.config.generator
    if not isinstance(generator, kind):
        command = f"{COMMANDS[generator.kind]} {path}"
        raise ModelError(path, f"its generator is a {generator.kind} generator; evaluate it by `{command}`")
    out = request.out or results_of(contents, "eval") / report_name(contents)
    check_output(out)
    return open_held_out(request, trained, generator, out)


def open_held_out(request: Request, trained: Trained, generator: ConfigKind, out: Path) -> Opened[ConfigKind]:
    """Open held-out data and the generator of what was read; nothing is written.

    Args:
        request: what the command line asks for.
        trained: what was read.
        generator: the configuration of its generator.
        out: where the report goes.
    """
    # What it has never seen, looked at as long as nothing has been computed.
    source = open_source(trained.data, "val")
    looked_at = _look_at_data(trained, request.clips)
    model = build_model(trained.contents, device=request.device)
    networks = open_networks(request.features, model.device, source.size)
    return Opened(
        trained=trained,
        generator=generator,
        model=model,
        source=source,
        out=out,
        facts=_facts(request, trained, model, looked_at),
        networks=networks,
    )


def open_trained(path: Path, *, checkpoint: Which, data: Path | None, training: bool = False) -> Trained:
    """Read a run or a model directory, with the data that it is looked at with.

    Args:
        path: of the directory.
        checkpoint: of a run, which.
        data: folder of held-out sequences; None: those of the training.
        training: also read what training goes on from, where it is there.

    Raises:
        ModelError: it is neither, or damaged, or its data are not known (and whatever reading runs raises).
    """
    contents = read_trained(path, checkpoint=checkpoint, training=training)
    if contents.checkpoint is not None:
        config = read_run_config(open_run(contents.path), TrainConfig)
        known = config.data if data is None else held_out_in(config.data, data, path)
        return Trained(contents=contents, config=attrs.evolve(config, data=known), data=known, seen=known)
    if contents.settings is None and data is not None:
        return Trained(contents=contents, config=None, data=folder_for(contents.config, data), seen=None)
    config = training_config(contents, data=data)
    return Trained(contents=contents, config=config, data=config.data, seen=config.data if data is None else None)


def report_name(contents: ModelContents) -> str:
    """Return what the report on a run or a model is called."""
    return "scores" if contents.checkpoint is None else checkpoint_name(contents)


def asked_for(contents: ModelContents) -> Which:
    """Return what names a run's checkpoint again: the best one may have no other with its step beside it."""
    if contents.checkpoint is None:
        return None
    return "best" if contents.checkpoint.name == BEST else contents.provenance["steps"]


def warn(notices: tuple[str, ...]) -> None:
    """Say on stderr what goes otherwise than asked for."""
    for notice in notices:
        say_warning(notice)


def say_warning(text: str) -> None:
    """Say one thing on stderr; it may hold names from outside."""
    print(f"warning: {shown(text)}", file=sys.stderr)


def _look_at_data(trained: Trained, clips: int | None) -> tuple[str, ...]:
    """Return warnings about a folder of held-out data, of which the sequences are opened that are evaluated.

    Raises:
        DataError: something is wrong with it.
    """
    match trained.data:
        case StreetConfig() | FacesConfig() | DancersConfig():
            return ()  # what is drawn needs no look
        case StoredConfig() as folder:
            if trained.config is not None and not trained.config.run.check_data:
                return ()
            watch = every_so_often("looking at the held-out data", lambda line: print(line, file=sys.stderr))
            summary, *warnings = look_at_folder(folder, "val", progress=watch, sequences=clips, severity=False)
            return (summary, *warnings) if warnings else ()
        case _:
            assert_never(trained.data)


def is_held_out(data: SourceConfig) -> bool:
    """Say whether the sequences that are evaluated are others than those that are trained on."""
    match data:
        case StoredConfig():
            return len(check_roots(data)) > 1
        case StreetConfig() | FacesConfig() | DancersConfig():
            return True
        case _:
            assert_never(data)


def place(path: Path) -> Path:
    """Return a path as a report may tell it: from the working directory on, or its last part if it is elsewhere."""
    whole, here = path.resolve(), Path.cwd().resolve()
    return whole.relative_to(here) if here in whole.parents else Path(whole.name)


def _quoted(path: Path) -> str:
    return shlex.quote(str(place(path)))


def _command(request: Request, trained: Trained, where: Path, device: str) -> str:
    """Return what repeats the evaluation, whatever checkpoints there are by then; where the report goes is left out."""
    options: Mapping[str, Any] = {
        "checkpoint": asked_for(trained.contents),
        "device": device,
        "clips": request.clips,
        "frames": request.frames,
        "data": None if request.data is None else _quoted(request.data),
        "features": " ".join(map(_quoted, request.features)) or None,
    }
    given = [f"--{name} {value}" for name, value in options.items() if value is not None]
    given += [] if request.agreement else ["--no-agreement"]
    return " ".join([COMMANDS[trained.contents.config.kind], shlex.quote(str(where)), *given])


def _facts(request: Request, trained: Trained, model: Model, looked_at: tuple[str, ...]) -> Facts:
    where = place(trained.contents.path)
    return Facts(
        what=_origin(trained, where),
        command=_command(request, trained, where, model.device.type),
        measured=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        device=str(model.device),
        weights="average of the generator (EMA)",
        data=trained.data.kind,
        fps=trained.contents.config.fps,
        environment=describe_environment(),
        notices=(*trained.notices, *looked_at),
    )


def _origin(trained: Trained, where: Path) -> RunFacts | ModelFacts:
    contents = trained.contents
    if contents.checkpoint is None:
        return ModelFacts(path=str(where), step=trained.step, provenance=contents.provenance)
    return RunFacts(
        path=str(where),
        config=str(where / open_run(contents.path).config.name),
        checkpoint=str(where / contents.checkpoint.relative_to(contents.path)),
        step=contents.provenance["steps"],
        training=contents.provenance["training"],
    )
