"""Runs in several processes that end before their time: the first one says it, and there is a way to go on."""

from collections.abc import Callable
from pathlib import Path

import pytest
from commands import (
    Event,
    be_late,
    be_terminated,
    comes_or_not,
    commanded,
    differ,
    diverge,
    hang,
    leave_range,
    lose_data,
    overflow,
    write_config,
)
from faults import final, lines, run, same
from rank_processes import RankProcesses
from vs_config import load_config, read_toml
from vs_runtime import list_checkpoints
from vs_training.config import TrainConfig


def checkpoints(folder: Path) -> list[str]:
    return [path.name for path in list_checkpoints(folder / "checkpoints")]


@pytest.mark.parametrize("rank", [0, 1])
def test_one_process_is_asked_to_stop_and_all_do_with_one_checkpoint(
    processes: RankProcesses, tmp_path: Path, rank: int
) -> None:
    config = write_config(tmp_path)
    event = Event(rank, 2, be_terminated)
    first, other = commanded(processes, "--config", str(config), "--out", str(tmp_path / "run"), event=event)
    assert (first.status, other.status) == (143, 143)
    go_on = f"go on with: hatch run train:vid2vid --resume {tmp_path / 'run'}"
    assert first.err.splitlines()[-1] == f"stopped after step 2 (SIGTERM); {go_on}"
    assert (other.out, other.err) == ("", "")
    assert checkpoints(tmp_path / "run") == ["step-00000002"]
    if rank == 1:  # what is left is the run that nobody has stopped
        whole = load_config(TrainConfig, read_toml(config))
        run(whole, tmp_path / "run", resume=True)
        run(whole, tmp_path / "unbroken")
        assert lines(tmp_path / "run") == lines(tmp_path / "unbroken")
        assert same(final(tmp_path / "run", 4), final(tmp_path / "unbroken", 4))


def test_a_process_that_loses_its_data_ends_all_and_the_steps_done_are_saved(
    processes: RankProcesses, tmp_path: Path
) -> None:
    words = ("--config", str(write_config(tmp_path)), "--out", str(tmp_path / "run"))
    first, other = commanded(processes, *words, event=Event(1, 3, lose_data, reading=True))
    assert (first.status, other.status) == (2, 2)
    (error,) = first.errors
    assert error.startswith("error: rank 1: images/a/1.png: cannot be read")
    assert "step 2 is saved; go on with: hatch run train:vid2vid --resume" in error
    assert (other.out, other.err) == ("", "")
    assert checkpoints(tmp_path / "run") == ["step-00000002"]


def test_a_process_that_does_not_answer_in_time_is_named(processes: RankProcesses, tmp_path: Path) -> None:
    words = ("--config", str(write_config(tmp_path)), "--out", str(tmp_path / "run"), "distributed.timeout=1")
    first, other = commanded(processes, *words, event=Event(1, 2, hang))
    assert (first.status, other.status) == (2, 2)
    (error,) = first.errors
    assert error.startswith("error: rank 1 did not answer in time, though all of them live")
    assert other.errors == []


def test_a_process_that_starts_late_is_waited_for(processes: RankProcesses, tmp_path: Path) -> None:
    words = ("--config", str(write_config(tmp_path)), "--out", str(tmp_path / "run"), "run.steps=1")
    first, other = commanded(processes, *words, event=Event(1, 0, be_late))
    assert (first.status, other.status) == (0, 0)
    assert first.out.startswith("done: ")
    assert (other.out, other.err) == ("", "")


@pytest.mark.parametrize("rank", [0, 1])
def test_a_process_that_never_starts_is_named(processes: RankProcesses, tmp_path: Path, rank: int) -> None:
    words = ("--config", str(write_config(tmp_path)), "--out", str(tmp_path / "run"), "distributed.timeout=1")
    answers = processes.run(comes_or_not, list(words), rank, ranks=2, joins=False)
    there = answers[1 - rank]
    assert there.status == 2
    assert [line for line in there.errors if f"rank {rank} did not start within 1 seconds" in line] == there.errors
    assert len(there.errors) == 1
    assert not (tmp_path / "run").exists()


def test_what_is_not_finite_in_one_process_is_named_with_it(processes: RankProcesses, tmp_path: Path) -> None:
    words = ("--config", str(write_config(tmp_path)), "--out", str(tmp_path / "run"))
    first, other = commanded(processes, *words, event=Event(1, 3, diverge))
    assert (first.status, other.status) == (3, 3)
    (error,) = first.errors
    for named in ("step 2: ", "layer discriminator.", "clip street-", "rank 1"):
        assert named in error
    assert other.errors == []


@pytest.mark.parametrize(
    ("happens", "policy", "replays", "skipped"),
    [(overflow, "independent", 0, 1), (overflow, "paired", 1, 0), (leave_range, "independent", 1, 0)],
)
def test_what_one_process_cannot_compute_all_skip_or_compute_again(
    processes: RankProcesses, tmp_path: Path, happens: Callable[..., None], policy: str, replays: int, skipped: int
) -> None:
    """In float16; all that they have learnt and counted is compared after each step."""
    changes = {
        "precision": {"level": "O1", "dtype": "float16"},
        "optim": {"scaler": {"init_scale": 1024.0, "policy": policy}},
        "run": {"steps": 3},
    }
    words = ("--config", str(write_config(tmp_path, **changes)), "--out", str(tmp_path / "run"))
    said = commanded(processes, *words, "distributed.check_every=1", event=Event(1, 2, happens))
    assert [each.status for each in said] == [0, 0], said[0].err
    counted = [(line["replays"], line["skipped_discriminator"]) for line in lines(tmp_path / "run")]
    assert counted == [(0, 0), (replays, skipped), (replays, skipped)]


def test_processes_that_have_learnt_something_else_are_found_out(processes: RankProcesses, tmp_path: Path) -> None:
    words = ("--config", str(write_config(tmp_path)), "--out", str(tmp_path / "run"), "distributed.check_every=2")
    first, other = commanded(processes, *words, event=Event(1, 2, differ))
    assert (first.status, other.status) == (2, 2)
    (error,) = first.errors
    assert "step 2: " in error
    assert "(rank 1 differs)" in error
    assert other.errors == []
