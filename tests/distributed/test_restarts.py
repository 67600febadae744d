"""A run whose processes are lost and started again is the run that nobody has disturbed."""

import contextlib
import os
import random
import signal
import time
from pathlib import Path

import pytest
from commands import write_config
from faults import final, lines, run, same
from launches import launched, wait_for_step
from vs_config import load_config, read_toml
from vs_runtime import list_checkpoints
from vs_runtime.run_directory import RunDirectory, read_environment
from vs_train import attempts
from vs_train.cli import main
from vs_training.config import TrainConfig

STEPS = 8
MOMENTS = 20


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # As many threads for the run that nobody disturbs, which is made here, as for the others: bits depend on them.
    changes = {"steps": STEPS, "checkpoint_every": 1, "keep_checkpoints": 99, "threads": 1}
    return write_config(tmp_path_factory.mktemp("config"), run=changes)


@pytest.fixture(scope="module")
def undisturbed(config: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same run in one process, which has the same bits."""
    folder = tmp_path_factory.mktemp("undisturbed") / "run"
    run(load_config(TrainConfig, read_toml(config)), folder)
    return folder


def is_undisturbed(folder: Path, undisturbed: Path) -> bool:
    same_end = same(final(folder, STEPS), final(undisturbed, STEPS))
    return same_end and lines(folder) == lines(undisturbed)


def test_a_lost_process_and_a_stop_leave_the_run_that_nobody_has_disturbed(
    config: Path, undisturbed: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    words = ("--config", str(config), "--out", str(folder))
    with launched("vs_train", "vid2vid", *words, "--processes", "2", "--max-restarts", "1") as launch:
        wait_for_step(folder, 1)
        os.kill(launch.ranks()[1], signal.SIGKILL)
        while not read_environment(RunDirectory(folder))["resumed"]:
            time.sleep(0.05)
        launch.process.send_signal(signal.SIGTERM)
        said = launch.ended()
    assert "error: rank 1 was lost" in said
    assert "going on from" in said
    assert launch.process.returncode == 143
    assert said.count("go on with: hatch run train:vid2vid --resume") >= 1
    assert main(["vid2vid", "--resume", str(folder)]) == 0
    assert is_undisturbed(folder, undisturbed)


@pytest.mark.slow
@pytest.mark.parametrize("moment", range(MOMENTS), ids="moment-{:02d}".format)
def test_any_process_may_be_lost_at_any_moment(config: Path, undisturbed: Path, tmp_path: Path, moment: int) -> None:
    """Half a minute each: `-k moment-07`, or `-k "moment-00 or moment-01"`."""
    chance = random.Random(moment)
    folder = tmp_path / "run"
    words = ("--config", str(config), "--out", str(folder), "--processes", "2", "--max-restarts", "1")
    with launched("vs_train", "vid2vid", *words, f"loader.workers={moment % 2}") as launch:
        rank = chance.randrange(2)
        if chance.random() < 0.8:
            wait_for_step(folder, chance.randrange(1, STEPS))
            time.sleep(chance.random() * 0.3)
        else:  # before there is anything
            while rank not in launch.ranks():
                time.sleep(0.02)
            time.sleep(chance.random() * 5)
        with contextlib.suppress(KeyError, ProcessLookupError):  # it has come to its end
            os.kill(launch.ranks()[rank], signal.SIGKILL)
        said = launch.ended()
    assert launch.process.returncode == 0, said
    assert is_undisturbed(folder, undisturbed)


def test_an_attempt_goes_on_with_the_run_of_an_earlier_one_of_the_same_processes_only(
    config: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in {"RUN_ID": "a", "RESTART_COUNT": "0"}.items():
        monkeypatch.setenv(f"TORCHELASTIC_{name}", value)
    assert main(["vid2vid", "--config", str(config), "run.steps=1"]) == 0
    (folder,) = (tmp_path / "runs").iterdir()
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    assert main(["vid2vid", "--config", str(config), "run.steps=2"]) == 0
    assert main(["vid2vid", "--config", str(config), "--out", str(folder), "run.steps=2"]) == 0
    assert list((tmp_path / "runs").iterdir()) == [folder]
    assert {path.name for path in list_checkpoints(folder / "checkpoints")} == {"step-00000001", "step-00000002"}
    # Another machine counts its own restarts: what tells is whether the run is younger than torchrun.
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "0")
    assert main(["vid2vid", "--config", str(config), "--out", str(folder), "run.steps=2"]) == 0
    monkeypatch.setattr(attempts, "launcher_start", lambda: time.time() + 1)
    capsys.readouterr()
    assert main(["vid2vid", "--config", str(config), "--out", str(folder), "run.steps=2"]) == 2
    assert "holds a run already" in capsys.readouterr().err
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "b")
    assert main(["vid2vid", "--config", str(config), "--out", str(folder), "run.steps=2"]) == 2
    assert "holds a run already" in capsys.readouterr().err
