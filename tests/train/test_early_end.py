"""Runs that end before their time: they leave the steps that were done, and say how to go on."""

import errno
import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import vs_data as data
import vs_runtime as runtime
from faults import Watch, final, lines, run, run_config, same
from vs_config.signals import StopNow, StopRequest
from vs_data import DataError, LoaderError
from vs_runtime.errors import RunDirectoryError
from vs_runtime.run_directory import RunDirectory
from vs_train import training
from vs_training.config import TrainConfig
from vs_training.errors import VsTrainingError

CONFIG = {"run": {"steps": 4, "checkpoint_every": 90, "sample_every": 90}}


def after(monkeypatch: pytest.MonkeyPatch, steps: int, act: Callable[[], None]) -> None:
    """Have the batch after so many do something else."""
    load = data.load_clips

    def load_clips(*arguments: Any, **options: Any) -> Any:
        for number, clip in enumerate(load(*arguments, **options), start=1):
            if number > steps:
                act()
            yield clip

    monkeypatch.setattr(data, "load_clips", load_clips)


def raising(error: BaseException) -> Callable[[], None]:
    def act() -> None:
        raise error

    return act


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        (DataError("cannot be read", file="images/a/1.png"), "images/a/1.png: cannot be read"),
        (LoaderError("worker 0 was lost"), "worker 0 was lost"),
        (OSError(5, "Input/output error", "images/a/1.png"), "[Errno 5] Input/output error: 'images/a/1.png'"),
        (MemoryError("no room for a batch"), "the memory of this computer is too small (no room for a batch)"),
    ],
)
def test_data_lost_on_the_way_leave_the_steps_done_and_the_command(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, error: Exception, shown: str
) -> None:
    with monkeypatch.context() as patch:
        after(patch, 2, raising(error))
        with pytest.raises(VsTrainingError) as caught:
            run(run_config(**CONFIG), tmp_path / "my run")
    message = str(caught.value)
    assert message.startswith(shown)
    assert f"go on with: hatch run train:vid2vid --resume '{tmp_path / 'my run'}'" in message
    assert "\n" not in message
    assert final(tmp_path / "my run", 2)["step"] == 2
    if isinstance(error, DataError):  # for all of them, as it is the same checkpoint
        run(run_config(**CONFIG), tmp_path / "my run", resume=True)
        run(run_config(**CONFIG), tmp_path / "unbroken")
        assert lines(tmp_path / "my run") == lines(tmp_path / "unbroken")
        assert same(final(tmp_path / "my run", 4), final(tmp_path / "unbroken", 4))


def test_without_a_step_there_is_nothing_to_save(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    after(monkeypatch, 0, raising(DataError("gone")))
    with pytest.raises(
        VsTrainingError, match="gone; no step was saved; begin again with: hatch run train:vid2vid --resume"
    ):
        run(run_config(**CONFIG), tmp_path / "run")
    assert list((tmp_path / "run" / "checkpoints").iterdir()) == []


def test_a_step_half_done_is_not_saved(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    plain, steps = training.train_clip, []

    def train_clip(*arguments: Any) -> Any:
        result = plain(*arguments)
        steps.append(result)
        if len(steps) > 2:
            raise OSError(28, "No space left on device", "cache")  # after everything has changed in place
        return result

    monkeypatch.setattr(training, "train_clip", train_clip)
    with pytest.raises(OSError, match="No space left"):
        run(run_config(**CONFIG), tmp_path / "run")
    assert list((tmp_path / "run" / "checkpoints").iterdir()) == []


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("can't allocate memory")])
def test_too_little_memory_is_one_line_also_before_there_is_a_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, error: Exception
) -> None:
    def prepare(*_: Any, **__: Any) -> Any:
        raise error

    monkeypatch.setattr(training, "prepare", prepare)
    with pytest.raises(
        VsTrainingError, match=r"too small \(.*\): choose memory.checkpoint=blocks \(or all\); or start"
    ) as caught:
        run(run_config(**CONFIG), tmp_path / "run")
    assert ("GPU" in str(caught.value)) == isinstance(error, torch.OutOfMemoryError)
    assert not (tmp_path / "run").exists()


def start(config: TrainConfig, folder: Path, stop: StopRequest) -> training.TrainResult:
    return training.train(config, RunDirectory(folder), resume=False, progress=Watch(), stop=stop)


def test_a_stop_while_a_batch_is_awaited_ends_the_wait(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stop = StopRequest()
    after(monkeypatch, 2, lambda: stop.note(15))
    result = start(run_config(**CONFIG), tmp_path / "run", stop)
    assert (result.step, result.finished) == (2, False)
    assert result.checkpoint == tmp_path / "run" / "checkpoints" / "step-00000002"
    assert runtime.load_latest(tmp_path / "run" / "checkpoints").step == 2


def test_a_stop_before_the_run_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(StopNow):
        start(run_config(**CONFIG), tmp_path / "run", StopRequest(requested="SIGTERM"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("named", ["run", "deep/er/run"])
def test_a_run_that_cannot_be_held_is_refused_and_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, named: str
) -> None:
    """As on a file system without locks."""

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "lockf", refuse)
    with pytest.raises(RunDirectoryError, match=r"run/lock: cannot be locked: No locks available"):
        run(run_config(**CONFIG), tmp_path / named)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("removed", ["metrics.jsonl", "."])
def test_a_run_that_somebody_removes_ends_in_one_line_and_is_not_made_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, removed: str
) -> None:
    def remove() -> None:
        path = tmp_path / "run" / removed
        path.unlink() if path.is_file() else shutil.rmtree(path, ignore_errors=True)

    after(monkeypatch, 1, remove)
    with pytest.raises(
        VsTrainingError, match=r"metrics.jsonl: was removed or replaced while the run was writing to it"
    ) as caught:
        run(run_config(**CONFIG), tmp_path / "run")
    assert "\n" not in str(caught.value)
    if removed == ".":
        assert "the run is lost" in str(caught.value)
        assert not (tmp_path / "run" / "checkpoints").exists()
    else:  # nothing could go on from a checkpoint ahead of the metrics
        assert list((tmp_path / "run" / "checkpoints").iterdir()) == []


def test_what_reading_ahead_costs_is_told(tmp_path: Path) -> None:
    _, watch = run(run_config(**{**CONFIG, "loader": {"workers": 1, "prefetch": 2}}), tmp_path / "run")
    assert any("1 workers read 2 batches" in text and "no shared memory" in text for text in watch.messages)
