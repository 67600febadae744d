"""Wrong input to several processes: one line, of the first of them, and exit status 2 of all."""

from pathlib import Path

import pytest
import torch
from commands import Said, command, commanded, write_config
from rank_processes import RankProcesses, environment, whole
from vs_runtime import RanksError, check_gpus
from vs_runtime.ranks.members import COUNTED
from vs_runtime.run_directory import RunDirectory
from vs_runtime.run_lock import hold_run
from vs_train.cli import main
from vs_train.request import TORCHRUN


def only_the_first_says(said: list[Said], message: str) -> None:
    assert [each.status for each in said] == [2, 2]
    (error,) = said[0].errors
    assert message in error
    assert error.startswith("error: ")
    assert [(each.out, each.err) for each in said[1:]] == [("", "")]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("loader.batch_size=3", "memory.micro_batches=3"), "loader.batch_size: expected a multiple of 2"),
        (("memory.micro_batches=1",), "memory.micro_batches: expected a multiple of 2"),
        (("run.stepz=3",), "run.stepz: unknown key"),
        (("--processes", "2"), "torchrun has started this one already"),
        (("--resume",), "--resume"),
        (("run.steps=0",), "run.steps"),
    ],
)
def test_wrong_words_are_said_once(
    processes: RankProcesses, tmp_path: Path, words: tuple[str, ...], message: str
) -> None:
    out = tmp_path / "run"
    said = commanded(processes, "--config", str(write_config(tmp_path)), "--out", str(out), *words)
    only_the_first_says(said, message)
    assert not out.exists()


@pytest.mark.parametrize(
    ("missing", "message"), [("WORLD_SIZE", "WORLD_SIZE: not set"), ("MASTER_ADDR", "MASTER_ADDR: not set")]
)
def test_half_an_environment_is_refused(processes: RankProcesses, missing: str, message: str) -> None:
    only_the_first_says(commanded(processes, **{missing: ""}), message)


@pytest.mark.parametrize("name", [*COUNTED, "MASTER_PORT"])
def test_so_are_numbers_that_are_none(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    for variable, value in {**environment(0, 2), name: "-1"}.items():
        monkeypatch.setenv(variable, value)
    assert main(["vid2vid"]) == 2
    assert capsys.readouterr().err.startswith(f"error: {name}: expected a whole number")


def test_the_names_that_tell_of_company_are_those_that_are_read() -> None:
    assert set(TORCHRUN) == set(COUNTED)


@pytest.mark.parametrize("words", [["adapt", "model", "--references", "me"], ["plan", "street-tiny"]], ids=" ".join)
def test_what_one_process_does_is_refused_to_several(processes: RankProcesses, words: list[str]) -> None:
    said = whole(processes.run(command, words, None, {}, ranks=2, joins=False))
    only_the_first_says(said, f"train:{words[0]} is done by one process, and torchrun has started 2: start it without")


def test_two_groups_do_not_train_in_one_run(processes: RankProcesses, tmp_path: Path) -> None:
    config, out = write_config(tmp_path, run={"steps": 1}), tmp_path / "run"
    first, other = commanded(processes, "--config", str(config), "--out", str(out))
    assert (first.status, other.status) == (0, 0)
    only_the_first_says(commanded(processes, "--config", str(config), "--out", str(out)), "holds a run already")
    with hold_run(RunDirectory(out)) as claim:
        claim()
        said = commanded(processes, "--resume", str(out))
    only_the_first_says(said, "is training here; wait for it or stop it")


def test_each_process_of_a_machine_has_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    check_gpus(torch.device("cuda"), 2)
    check_gpus(torch.device("cpu"), 5)
    with pytest.raises(RanksError, match="3 processes of this machine need a GPU each, and PyTorch finds 2; start few"):
        check_gpus(torch.device("cuda"), 3)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--processes", "0"), "--processes: expected a whole number from 1 to 1024, got '0'"),
        (("--processes", "two"), "--processes: expected a whole number"),
        (("--max-restarts", "1"), "--max-restarts goes with --processes"),
        (("--processes", "3"), "loader.batch_size: expected a multiple of 3, the number of processes, got 4"),
        (("--processes", "2", "device=cuda"), "device"),
    ],
)
def test_options_are_looked_at_before_any_process_is_started(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, words: tuple[str, ...], message: str
) -> None:
    assert main(["vid2vid", "--config", str(write_config(tmp_path)), "--out", str(tmp_path / "run"), *words]) == 2
    (error,) = capsys.readouterr().err.splitlines()
    assert message in error
    assert not (tmp_path / "run").exists()
