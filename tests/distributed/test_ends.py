"""Runs in several processes that end before their time: the first one says it, and there is a way to go on."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from commands import (
    Event,
    be_elsewhere,
    be_late,
    be_terminated,
    be_terminated_soon,
    comes_or_not,
    commanded,
    differ,
    diverge,
    hang,
    leave_range,
    lose_data,
    overflow,
    run_out_of_memory,
    spoil_average,
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
    assert "(ranks 0 and 1 differ)" in error
    assert "could not be saved" not in first.err
    assert other.errors == []


def test_what_is_saved_was_the_same_in_all_processes(processes: RankProcesses, tmp_path: Path) -> None:
    """They are compared for each checkpoint, and the one before the difference is what one is sent to."""
    words = ("--config", str(write_config(tmp_path)), "--out", str(tmp_path / "run"), "run.checkpoint_every=2")
    first, other = commanded(processes, *words, event=Event(1, 3, differ))
    assert (first.status, other.status) == (2, 2)
    (error,) = first.errors
    assert error.startswith("error: step 4: generator.")
    assert "(ranks 0 and 1 differ), and at step 2 all was" in error
    assert "step 2 is saved; go on with: " in error
    assert checkpoints(tmp_path / "run") == ["step-00000002"]


def test_all_go_back_when_what_one_has_learnt_is_not_finite(processes: RankProcesses, tmp_path: Path) -> None:
    words = ("--config", str(write_config(tmp_path)), "--out", str(tmp_path / "run"), "distributed.check_every=1")
    every = ("run.checkpoint_every=1", "run.on_divergence=roll-back")
    first, other = commanded(processes, *words, *every, event=Event(1, 3, spoil_average))
    assert (first.status, other.status) == (0, 0)
    (told,) = (line for line in first.err.splitlines() if "roll-back 1 of 3" in line)
    for named in ("step 3: ", "averaged weight", "rank 1", "step-00000002"):
        assert named in told
    assert checkpoints(tmp_path / "run")[0] == "step-00000004"


def test_all_have_to_see_where_the_first_writes(processes: RankProcesses, tmp_path: Path) -> None:
    words = ("--config", str(write_config(tmp_path)), "--out", "run")
    first, other = commanded(processes, *words, folder=tmp_path, event=Event(1, 0, be_elsewhere))
    assert (first.status, other.status) == (2, 2)
    (error,) = first.errors
    assert error.startswith("error: run: rank 1 does not find there what rank 0 has written")
    assert other.errors == []
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["elsewhere"]


def test_memory_that_is_too_small_in_one_process_is_one_line_with_advice(
    processes: RankProcesses, tmp_path: Path
) -> None:
    words = ("--config", str(write_config(tmp_path)), "--out", str(tmp_path / "run"))
    first, other = commanded(processes, *words, event=Event(1, 3, run_out_of_memory))
    assert (first.status, other.status) == (2, 2)
    (error,) = first.errors
    assert error.startswith("error: rank 1: the GPU's memory is too small (CUDA out of memory.")
    assert "choose memory.checkpoint=blocks" in error
    assert other.errors == []


def test_a_stop_is_heard_while_others_are_waited_for(processes: RankProcesses, tmp_path: Path) -> None:
    words = ["--config", str(write_config(tmp_path)), "--out", str(tmp_path / "run"), "distributed.timeout=60"]
    began = time.monotonic()
    event = Event(0, 0, be_terminated_soon)
    there, _ = processes.run(comes_or_not, words, 1, event, ranks=2, joins=False)
    assert time.monotonic() - began < 4
    assert there.status == 143
    assert not (tmp_path / "run").exists()
