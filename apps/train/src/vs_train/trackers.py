"""Programs that show runs, told of one beside TensorBoard: Weights & Biases, MLflow, Aim.

Each is a function that begins with a run, or goes on with one, and returns what takes numbers and pictures. All of them
write into the run's directory, and send nothing anywhere unless their own environment variables say so. None of them
can end a run: the first time that one fails it is said, and it is told no more.
"""

import functools
import importlib.util
import logging
import os
import time
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import attrs
import vs_runtime as runtime
from torch import Tensor
from vs_config import refuse, shown, to_document
from vs_runtime.files import write_atomically
from vs_runtime.run_directory import RunDirectory
from vs_training.config import TrainConfig

FOLDER = "trackers"
"""What of a run's directory they write into."""

PROJECT = "vs"
"""What runs are kept under where a program wants a name for that."""


@attrs.frozen(kw_only=True)
class Tracker:
    """A program that is told of a run.

    Attributes:
        numbers: takes a step and numbers by name.
        picture: takes a step, a name and a picture, (3, H, W) uint8 RGB.
        close: says that there is no more.
    """

    numbers: Callable[[int, Mapping[str, float]], object]
    picture: Callable[[int, str, Tensor], object]
    close: Callable[[], object]


Opened = tuple[Tracker, str | None]
"""What is told, and what its program knows the run by; None: it could not go on with it."""


@attrs.define
class Trackers:
    """Those that are told; one that fails is told no more.

    Attributes:
        live: by name.
        message: shows a line.
    """

    live: dict[str, Tracker]
    message: Callable[[str], None]

    def numbers(self, step: int, values: Mapping[str, float]) -> None:
        """Tell all of them numbers."""
        self._tell(lambda tracker: tracker.numbers(step, values))

    def picture(self, step: int, name: str, picture: Tensor) -> None:
        """Show all of them a picture, (3, H, W) uint8 RGB."""
        self._tell(lambda tracker: tracker.picture(step, name, picture))

    def close(self) -> None:
        """Tell all of them that there is no more."""
        self._tell(lambda tracker: tracker.close())

    def _tell(self, what: Callable[[Tracker], object]) -> None:
        for name, tracker in list(self.live.items()):
            if not _succeeds(name, functools.partial(what, tracker), self.message):
                del self.live[name]


def check_trackers(names: Iterable[str]) -> None:
    """See that they are installed.

    Raises:
        ConfigError: one is not.
    """
    for name in names:
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None:  # a folder of that name here, such as wandb makes, is no program
            raise refuse("run.trackers", f"what is installed; add it by `pip install {name}`", name)


def open_trackers(config: TrainConfig, run: RunDirectory, message: Callable[[str], None]) -> Trackers:
    """Begin with a run in all programs that its configuration names."""
    live: dict[str, Tracker] = {}
    for name in config.run.trackers:
        _succeeds(name, functools.partial(_begin, name, live, run, to_document(config)), message)
    return Trackers(live, message)


SILENCE = {"wandb": ("WANDB_ERROR_REPORTING", "false"), "mlflow": ("MLFLOW_DISABLE_TELEMETRY", "true")}
"""Variables by which programs do not tell their makers that they are used, whatever else they keep on this machine."""


def _begin(name: str, live: dict[str, Tracker], run: RunDirectory, document: Mapping[str, Any]) -> None:
    openers = {"wandb": _open_wandb, "mlflow": _open_mlflow, "aim": _open_aim}
    if name in SILENCE:
        os.environ.setdefault(*SILENCE[name])  # they look when they are imported
    (run.path / FOLDER).mkdir(exist_ok=True)
    place = run.path / FOLDER / f"{name}.id"
    known = place.read_text("utf-8") if place.exists() else None
    tracker, ident = openers[name](run, document, known)
    if known is None and ident is not None:
        write_atomically(place, ident)
    live[name] = tracker


def _succeeds(name: str, what: Callable[[], object], message: Callable[[str], None]) -> bool:
    """Do something that may fail in any way, and changes no random state; say so if it does."""
    random = runtime.random_state()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they are of the program's own parts
            what()
    except Exception as error:
        message(f"warning: {name} is told no more of this run: {type(error).__name__}: {shown(error, 200)}")
        return False
    finally:
        runtime.restore_random_state(random)
    return True


def _open_wandb(run: RunDirectory, document: Mapping[str, Any], known: str | None) -> Opened:
    import wandb

    name, mode = run.path.resolve().name, os.environ.get("WANDB_MODE", "offline")
    online = mode == "online"  # of two offline ones of an id `wandb sync` keeps the last alone
    told = wandb.init(
        project=PROJECT,
        name=name,
        group=name,
        id=known if online else None,
        resume="allow" if online else None,
        dir=str(run.path / FOLDER),
        config=dict(document),
        mode=mode,
        settings=wandb.Settings(silent=True, console="off"),
    )
    tracker = Tracker(
        numbers=lambda step, values: told.log(dict(values), step=step),
        picture=lambda step, name, picture: told.log({name: wandb.Image(_pixels(picture))}, step=step),
        close=told.finish,
    )
    return tracker, str(told.id) if online else None


def _open_mlflow(run: RunDirectory, document: Mapping[str, Any], known: str | None) -> Opened:
    import mlflow
    from mlflow.entities import Metric, Param

    logging.getLogger("mlflow").setLevel(logging.WARNING)  # the terminal is the run's
    elsewhere, folder = os.environ.get("MLFLOW_TRACKING_URI"), run.path.resolve() / FOLDER
    client = mlflow.MlflowClient(tracking_uri=elsewhere or f"sqlite:///{folder / 'mlflow.db'}")
    if known is None:
        project = client.get_experiment_by_name(PROJECT)
        pictures = None if elsewhere else (folder / "mlflow").as_uri()
        experiment = client.create_experiment(PROJECT, pictures) if project is None else project.experiment_id
        told = client.create_run(experiment, run_name=run.path.resolve().name).info.run_id
        client.log_batch(told, params=[Param(key, str(value)[:500]) for key, value in _flat(document)])
    else:
        told = known
        client.update_run(told, status="RUNNING")

    def numbers(step: int, values: Mapping[str, float]) -> None:
        now = int(1000 * time.time())
        client.log_batch(told, metrics=[Metric(key, float(value), now, step) for key, value in values.items()])

    tracker = Tracker(
        numbers=numbers,
        picture=lambda step, name, picture: client.log_image(
            told, _pixels(picture), artifact_file=f"{name}-{step:08d}.png"
        ),
        close=lambda: client.set_terminated(told),
    )
    return tracker, told


def _open_aim(run: RunDirectory, document: Mapping[str, Any], known: str | None) -> Opened:
    import aim

    folder = run.path / FOLDER / "aim"
    folder.mkdir(exist_ok=True)
    told = aim.Run(
        run_hash=known,
        repo=str(folder),
        experiment=run.path.resolve().name,
        system_tracking_interval=None,
        capture_terminal_logs=False,
    )
    told["config"] = dict(document)

    def numbers(step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            told.track(value, name=name, step=step)

    tracker = Tracker(
        numbers=numbers,
        picture=lambda step, name, picture: told.track(aim.Image(_pixels(picture)), name=name, step=step),
        close=told.close,
    )
    return tracker, str(told.hash)


def _pixels(picture: Tensor) -> Any:
    """Return a picture as (H, W, 3) uint8 of NumPy."""
    return picture.movedim(0, -1).contiguous().numpy()


def _flat(document: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    """Yield the values of a configuration by their dotted paths."""
    for key, value in document.items():
        match value:
            case Mapping():
                yield from _flat(value, f"{prefix}{key}.")
            case _:
                yield f"{prefix}{key}", value
