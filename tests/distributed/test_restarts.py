"""A run whose processes are lost and started again is the run that nobody has disturbed."""

import contextlib
import functools
import os
import random
import signal
import socket
import time
from pathlib import Path
from typing import Any

import pytest
from commands import Event, be_terminated, commanded, write_config
from faults import final, lines, run, same
from in_ranks import ask
from launches import launched, wait_for_step
from rank_processes import RankProcesses, whole
from vs_config import load_config, read_toml
from vs_runtime.run_directory import RunDirectory, read_environment
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


@pytest.mark.slow
def test_no_process_outlives_the_command_that_has_started_it(config: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    words = ("--config", str(config), "--out", str(folder), "--processes", "2", "run.steps=1000")
    with launched("vs_train", "vid2vid", *words) as launch:
        wait_for_step(folder, 1)
        launch.process.kill()
        launch.ended()


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_a_process_of_any_machine_may_be_lost(config: Path, undisturbed: Path, tmp_path: Path, rank: int) -> None:
    """Two agents, each of which counts its own failures only, as with one on each machine."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        endpoint = f"127.0.0.1:{free.getsockname()[1]}"
    folder = tmp_path / "run"
    agent = ("--nnodes", "2", "--nproc-per-node", "1", "--rdzv-backend", "c10d", "--rdzv-endpoint", endpoint)
    job = ("--max-restarts", "3", "-m", "vs_train", "vid2vid", "--config", str(config), "--out", str(folder))
    words = ("torch.distributed.run", *agent, *job)
    with launched(*words) as one, launched(*words) as other:
        wait_for_step(folder, 1)
        os.kill({**one.ranks(), **other.ranks()}[rank], signal.SIGKILL)
        said = one.ended() + other.ended()
    assert (one.process.returncode, other.process.returncode) == (0, 0), said
    assert "going on from" in said
    assert is_undisturbed(folder, undisturbed)


def test_processes_that_start_again_meet_whatever_their_agents_have_counted(processes: RankProcesses) -> None:
    whole(processes.run(ask, ranks=3))
    found = whole(processes.run(ask, ranks=3, again=True))
    assert found == [found[0]] * 3
    assert whole(processes.run(ask, ranks=2, again=True))  # one machine fewer


def test_a_launch_goes_on_with_a_run_of_its_own_and_no_other(processes: RankProcesses, tmp_path: Path) -> None:
    """By its name or without it; the identity that is given to torchrun is the same each time."""
    words = ["--config", str(write_config(tmp_path)), "run.checkpoint_every=1"]
    stopped = Event(1, 2, be_terminated)
    for named in ([], ["--out", "mine"]):
        folder = tmp_path / ("mine" if named else "runs")
        ends = functools.partial(in_folder, processes, tmp_path, *words, *named)
        assert ends("run.steps=3", event=stopped) == [143, 143]
        assert ends("run.steps=3", again=True) == [0, 0]  # a process was lost, says the agent
        run = folder if named else next(folder.iterdir())
        assert (run / "checkpoints" / "step-00000003").exists()
        refused = [2, 2] if named else [0, 0]
        assert ends("run.steps=4") == refused
        assert ends("run.steps=4", again=True) == refused
        assert not (run / "checkpoints" / "step-00000004").exists()
    assert len(list((tmp_path / "runs").iterdir())) == 2


def in_folder(processes: RankProcesses, folder: Path, *words: str, **options: Any) -> list[int]:
    return [said.status for said in commanded(processes, *words, folder=folder, **options)]


def test_what_is_wrong_is_said_once_however_often_it_is_tried(processes: RankProcesses, tmp_path: Path) -> None:
    words = ("--config", str(write_config(tmp_path)), "--out", str(tmp_path / "run"), "loader.batch_size=3")
    first, *others = (commanded(processes, *words, again=again) for again in (False, True, True))
    assert [len(said.errors) for said in first] == [1, 0]
    assert [(said.status, said.out, said.err) for each in others for said in each] == [(2, "", "")] * 4
    (error, _) = commanded(processes, *words, "memory.micro_batches=3", again=True)  # something else
    assert len(error.errors) == 1
