"""Programs that are told of a run: stand-ins with the names of the real ones, whose calls are looked at."""

import os
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from faults import Watch, run_config
from vs_config import ConfigError
from vs_runtime.run_directory import RunDirectory
from vs_train.trackers import check_trackers, open_trackers

PICTURE = torch.arange(24, dtype=torch.uint8).reshape(3, 2, 4)


class Program(ModuleType):
    """A stand-in for a program's module that remembers what it is told."""

    def __init__(self, name: str, **members: Any) -> None:
        super().__init__(name)
        self.__dict__.update(members)


def wandb(told: list[Any]) -> Program:
    def init(**options: Any) -> Any:
        told.append(options)
        return SimpleNamespace(
            id="first" if options["id"] is None else options["id"],
            log=lambda values, step: told.append((step, values)),
            finish=lambda: told.append("finished"),
        )

    return Program("wandb", init=init, Image=lambda pixels: pixels, Settings=lambda **options: options)


def aim(told: list[Any]) -> Program:
    class Run(dict):  # type: ignore[type-arg]
        def __init__(self, **options: Any) -> None:
            told.append(options)
            self.hash = options["run_hash"] or "first"

        def track(self, value: Any, name: str, step: int) -> None:
            told.append((step, {name: value}))

        def close(self) -> None:
            told.append("finished")

    return Program("aim", Run=Run, Image=lambda pixels: pixels)


def mlflow(told: list[Any]) -> tuple[Program, Program]:
    class Client:
        def __init__(self, tracking_uri: str) -> None:
            told.append({"uri": tracking_uri})

        def get_experiment_by_name(self, _: str) -> None:
            return None

        def create_experiment(self, _: str, folder: str | None) -> str:
            told[0]["folder"] = folder
            return "1"

        def create_run(self, _: str, run_name: str) -> Any:
            told[0]["begun"] = run_name
            return SimpleNamespace(info=SimpleNamespace(run_id="first"))

        def update_run(self, ident: str, status: str) -> None:
            told[0].update(id=ident, status=status)

        def log_batch(self, _: str, metrics: Any = (), params: Any = ()) -> None:
            told[0].setdefault("params", dict(params))
            for key, value, _time, step in metrics:
                told.append((step, {key: value}))

        def log_image(self, _: str, image: Any, artifact_file: str) -> None:
            told.append((2, {artifact_file: image}))

        def set_terminated(self, _: str) -> None:
            told.append("finished")

    entities = Program("mlflow.entities", Metric=lambda *values: values, Param=lambda *pair: pair)
    return Program("mlflow", MlflowClient=Client), entities


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WANDB_MODE", "MLFLOW_TRACKING_URI", "WANDB_ERROR_REPORTING", "MLFLOW_DISABLE_TELEMETRY"):
        monkeypatch.setenv(name, "")  # so that what is set meanwhile is taken back
        monkeypatch.delenv(name)


@pytest.mark.parametrize("name", ["wandb", "mlflow", "aim"])
def test_all_are_told_the_same_and_stay_in_the_run(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    told: list[Any] = []
    programs = {"wandb": (wandb(told),), "aim": (aim(told),), "mlflow": mlflow(told)}
    for program in programs[name]:
        monkeypatch.setitem(sys.modules, program.__name__, program)
    watch = Watch()
    trackers = open_trackers(run_config(run={"trackers": [name]}), RunDirectory(tmp_path), watch.message)
    trackers.numbers(1, {"g_gan": 0.5})
    trackers.picture(2, "generated", PICTURE)
    trackers.close()
    assert watch.messages == []
    opened, first, (step, picture), end = told
    assert str(tmp_path / "trackers") in str(opened)
    assert opened.get("mode", "offline") == "offline"
    assert (first, end) == ((1, {"g_gan": 0.5}), "finished")
    assert step == 2
    np.testing.assert_array_equal(next(iter(picture.values())), PICTURE.permute(1, 2, 0).numpy())


@pytest.mark.parametrize(("name", "key"), [("wandb", "id"), ("mlflow", "id"), ("aim", "run_hash")])
def test_a_run_that_goes_on_is_the_same_there(
    name: str, key: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("WANDB_MODE", "online")
    begun = []
    for _ in range(2):
        told: list[Any] = []
        for program in {"wandb": (wandb(told),), "aim": (aim(told),), "mlflow": mlflow(told)}[name]:
            monkeypatch.setitem(sys.modules, program.__name__, program)
        watch = Watch()
        open_trackers(run_config(run={"trackers": [name]}), RunDirectory(tmp_path), watch.message).close()
        assert watch.messages == []
        begun.append(told[0])
    assert (begun[0].get(key), begun[1][key]) == (None, "first")
    assert "begun" not in begun[1]


@pytest.mark.parametrize(
    ("name", "variable", "silent"),
    [("wandb", "WANDB_ERROR_REPORTING", "false"), ("mlflow", "MLFLOW_DISABLE_TELEMETRY", "true")],
)
@pytest.mark.parametrize("asked", [None, "whatever the user wants"])
def test_none_of_them_tells_its_maker_unless_asked_to(
    name: str, variable: str, silent: str, asked: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """They read their variables when they are imported, so that these have to be there before."""
    found: list[str | None] = []
    (tmp_path / "programs").mkdir()
    (tmp_path / "programs" / f"{name}.py").write_text("import seen; seen.look()")
    monkeypatch.setitem(sys.modules, "seen", Program("seen", look=lambda: found.append(os.environ.get(variable))))
    monkeypatch.setitem(sys.modules, name, Program(name))  # so that what is imported is taken back
    monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(tmp_path / "programs")
    if asked is not None:
        monkeypatch.setenv(variable, asked)
    open_trackers(run_config(run={"trackers": [name]}), RunDirectory(tmp_path), Watch().message)
    assert found == [silent if asked is None else asked]


def test_one_that_fails_is_told_no_more_and_the_others_are(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    told: list[Any] = []
    good, bad = aim(told), wandb([])

    def broken(**_: Any) -> Any:
        def log(*_: Any, **__: Any) -> None:
            torch.manual_seed(99)  # what it does to random numbers is undone
            raise ConnectionError("no\nroute")

        return SimpleNamespace(id="1", log=log, finish=log)

    bad.init = broken
    monkeypatch.setitem(sys.modules, "wandb", bad)
    monkeypatch.setitem(sys.modules, "aim", good)
    watch = Watch()
    config = run_config(run={"trackers": ["wandb", "aim"]})
    trackers = open_trackers(config, RunDirectory(tmp_path), watch.message)
    before = torch.get_rng_state()
    trackers.numbers(1, {"a": 1.0})
    trackers.numbers(2, {"a": 2.0})
    trackers.close()
    assert torch.equal(torch.get_rng_state(), before)
    assert watch.messages == [r"warning: wandb is told no more of this run: ConnectionError: no\nroute"]
    assert told[1:] == [(1, {"a": 1.0}), (2, {"a": 2.0}), "finished"]


def test_one_that_cannot_begin_ends_no_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "wandb", Program("wandb"))
    watch = Watch()
    open_trackers(run_config(run={"trackers": ["wandb"]}), RunDirectory(tmp_path), watch.message).numbers(1, {"a": 1.0})
    (message,) = watch.messages
    assert message.startswith("warning: wandb is told no more of this run: AttributeError")


def test_a_folder_of_its_name_is_no_program(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """W&B leaves such a folder where it was used, and `python -m` looks for modules there."""
    (tmp_path / "wandb").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError, match="pip install wandb"):
        check_trackers(["wandb"])


def test_one_that_is_not_installed_is_refused_with_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"^run\.trackers: expected .* `pip install mlflow`, got 'mlflow'"):
        check_trackers(["mlflow"])
