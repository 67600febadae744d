import datetime
import errno
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import attrs
import pytest
from vs_config import ConfigError
from vs_runtime import write_atomically
from vs_runtime.errors import RunDirectoryError
from vs_runtime.run_directory import (
    RunDirectory,
    begin_writing,
    create_run,
    latest_run,
    open_run,
    plan_run,
    read_run_config,
    record_resume,
)
from vs_runtime.run_lock import hold_run

NOON = datetime.datetime(2026, 1, 31, 12, 0, 0, tzinfo=datetime.UTC)
HOLD = """
import sys, pathlib
from vs_runtime.run_directory import RunDirectory
from vs_runtime.run_lock import hold_run
with hold_run(RunDirectory(pathlib.Path(sys.argv[1]))) as claim:
    claim()
    print("held", flush=True)
    sys.stdin.read()
"""


@attrs.frozen(kw_only=True)
class Config:
    steps: int = 1


def make(path: Path, minutes: int = 0) -> RunDirectory:
    run = RunDirectory(path)
    create_run(run, config="steps = 3\n", environment={"gpu": None}, now=NOON + datetime.timedelta(minutes=minutes))
    return run


def contents(path: Path) -> dict[str, tuple[int, bytes]]:
    return {file.name: (file.stat().st_mtime_ns, file.read_bytes()) for file in path.iterdir()}


def everything_in(path: Path) -> list[str]:
    return sorted(str(file.relative_to(path)) for file in path.rglob("*"))


def test_a_new_run_gets_a_name_with_its_time_and_no_file_until_it_is_created(tmp_path: Path) -> None:
    root = tmp_path / "deep" / "runs"
    run = plan_run(None, "street-tiny", now=NOON, root=root)
    assert run.path == root / "street-tiny-20260131-120000"
    assert everything_in(tmp_path) == []
    make(run.path)
    assert everything_in(run.path) == ["config.toml", "environment.json"]
    assert everything_in(root.parent)[:2] == ["runs", f"runs/{run.path.name}"]
    assert plan_run(None, "street-tiny", now=NOON, root=root).path.name == "street-tiny-20260131-120000-2"


@pytest.mark.parametrize("made", [False, True])
def test_a_run_that_is_refused_leaves_what_was_there_before_it(tmp_path: Path, made: bool) -> None:
    run = RunDirectory(tmp_path / "a" / "b" / "run")
    if made:
        run.path.mkdir(parents=True)
    before = everything_in(tmp_path)
    discard = create_run(run, config="", environment={})
    with hold_run(run) as claim:
        claim()
        begin_writing(run)
        assert len(everything_in(run.path)) == 5
    discard()
    assert everything_in(tmp_path) == before


def test_nothing_is_removed_of_a_run_that_somebody_goes_on_with(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "run")
    discard = create_run(run, config="", environment={})
    record_resume(run, config="", environment={})
    before = everything_in(tmp_path)
    discard()
    assert everything_in(tmp_path) == before


def test_paths_of_a_run(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    paths = (run.config, run.environment, run.metrics, run.tensorboard, run.samples, run.checkpoints)
    names = ["config.toml", "environment.json", "metrics.jsonl", "tensorboard", "samples", "checkpoints"]
    assert [path.relative_to(tmp_path).as_posix() for path in paths] == names


def test_a_run_is_read_back(tmp_path: Path) -> None:
    run = open_run(make(tmp_path / "run").path)
    assert read_run_config(run, Config) == Config(steps=3)
    marker = json.loads(run.environment.read_text())
    assert len(marker.pop("sha256")) == 64
    assert marker == {
        "run_format": 1,
        "started": "2026-01-31T12:00:00.000000+00:00",
        "resumed": [],
        "environment": {"gpu": None},
    }
    run.config.write_text("stepz = 3\n")
    with pytest.raises(ConfigError, match=r"config\.toml: stepz: unknown key; did you mean 'steps'\?"):
        read_run_config(run, Config)


def test_an_empty_directory_may_be_used_and_anything_else_may_not(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("x")
    (tmp_path / "file").write_text("x")
    make(plan_run(tmp_path / "empty", "x", now=NOON).path)
    assert everything_in(tmp_path / "empty") == ["config.toml", "environment.json"]
    for name, reason in (
        ("empty", r"holds a run already; go on with it by --resume .*empty, or choose another --out"),
        ("full", "is not empty, and what is in it is not a run; choose another --out"),
        ("file", "is a file, not a directory"),
    ):
        with pytest.raises(RunDirectoryError, match=reason):
            plan_run(tmp_path / name, "x", now=NOON)
        with pytest.raises(RunDirectoryError, match=reason):
            make(tmp_path / name)
    assert everything_in(tmp_path / "full") == ["thesis.tex"]


@pytest.mark.parametrize("exists", [False, True])
def test_a_run_that_cannot_be_created_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exists: bool
) -> None:
    path = tmp_path / "a" / "b" / "run"
    if exists:
        path.mkdir(parents=True)
    before = everything_in(tmp_path)

    def full(self: Path, *_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "rename", full)
    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(RunDirectoryError, match=r"run: cannot be created: No space left on device$"):
        make(path)
    assert everything_in(tmp_path) == before


def test_a_parent_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(RunDirectoryError, match=r"file/run: cannot be created: "):
        make(tmp_path / "file" / "run")


def test_foreign_directories_are_not_resumed(tmp_path: Path) -> None:
    path = tmp_path / "x"
    with pytest.raises(RunDirectoryError, match=r"x: there is no such directory$"):
        open_run(path)
    path.mkdir()
    with pytest.raises(RunDirectoryError, match=r"x: not a run: it has no config\.toml$"):
        open_run(path)
    (path / "config.toml").write_text("")
    with pytest.raises(RunDirectoryError, match=r"x: not a run: it has no environment\.json$"):
        open_run(path)
    for text, reason in (
        ("{", r"environment\.json is not JSON: "),
        ("[]", "has run_format None"),
        ('{"run_format": 7}', "has run_format 7, this program writes 1"),
    ):
        (path / "environment.json").write_text(text)
        with pytest.raises(RunDirectoryError, match=reason) as caught:
            open_run(path)
        assert "\n" not in str(caught.value)
        assert caught.value.path == path


def test_going_on_is_recorded_with_time_and_machine_and_the_extended_config(tmp_path: Path) -> None:
    run = make(tmp_path / "run", 1)
    record_resume(run, config="steps = 9\n", environment={"gpu": 1}, now=NOON + datetime.timedelta(minutes=3))
    assert read_run_config(run, Config) == Config(steps=9)
    marker = json.loads(run.environment.read_text())
    assert marker["started"] == "2026-01-31T12:01:00.000000+00:00"
    assert marker["resumed"] == [{"time": "2026-01-31T12:03:00.000000+00:00", "environment": {"gpu": 1}}]


def save_at(run: RunDirectory, step: int, time: int) -> None:
    path = run.checkpoints / f"step-{step:08d}"
    path.mkdir(parents=True)
    os.utime(path, (time, time))


def test_the_latest_run_is_the_one_that_saved_a_checkpoint_last(tmp_path: Path) -> None:
    with pytest.raises(RunDirectoryError, match="nowhere: there is no run here yet"):
        latest_run(tmp_path / "nowhere")
    older, newer = make(tmp_path / "z-older", 2), make(tmp_path / "a-newer", 1)
    (tmp_path / "zz-foreign").mkdir()
    with pytest.raises(RunDirectoryError, match="none of the 2 runs here has a checkpoint yet"):
        latest_run(tmp_path)
    save_at(older, 7, 1_000)
    save_at(newer, 2, 2_000)
    make(tmp_path / "b-without", 3)
    assert latest_run(tmp_path) == newer
    save_at(older, 8, 3_000)
    assert latest_run(tmp_path) == older


def test_the_latest_run_of_a_kind_passes_over_those_of_others(tmp_path: Path) -> None:
    def told(run: RunDirectory) -> bool:
        return "few-shot" in run.config.read_text()

    old = make(tmp_path / "old")
    save_at(old, 1, 1_000)
    with pytest.raises(RunDirectoryError, match="there is no few-shot run here yet; train one first"):
        latest_run(tmp_path, what="few-shot run", fits=told)
    new = make(tmp_path / "new")
    new.config.write_text('[generator]\nkind = "few-shot"\n')
    with pytest.raises(RunDirectoryError, match="none of the 1 few-shot runs here has a checkpoint yet"):
        latest_run(tmp_path, what="few-shot run", fits=told)
    save_at(new, 1, 2_000)
    save_at(old, 2, 3_000)
    assert latest_run(tmp_path, what="few-shot run", fits=told) == new
    assert latest_run(tmp_path) == old


def test_only_one_process_trains_in_a_run_and_its_death_frees_it(tmp_path: Path) -> None:
    run = make(tmp_path / "run")
    owner = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(run.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "held\n"
        with (
            pytest.raises(RunDirectoryError, match=rf"another process \(pid {owner.pid}\) is training here"),
            hold_run(run),
        ):
            pass
    finally:
        owner.kill()
        owner.communicate()
    with hold_run(run) as claim:
        claim()
        assert run.lock.read_text() == f"{os.getpid()}\n"
    assert run.lock.read_text() == ""


def test_replacing_a_file_keeps_the_old_one_when_it_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_atomically(path, "old")
    mode = path.stat().st_mode
    (tmp_path / "other").write_text("")
    assert mode == (tmp_path / "other").stat().st_mode

    def fail(*_: object) -> None:
        raise OSError("no")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="no"):
        write_atomically(path, "new")
    assert path.read_text() == "old"
    assert everything_in(tmp_path) == ["file", "other"]


def test_a_run_is_held_without_a_trace_until_it_is_claimed(tmp_path: Path) -> None:
    run = make(tmp_path / "run")
    with hold_run(run):
        assert everything_in(run.path) == ["config.toml", "environment.json"]
    with hold_run(run) as claim:
        claim()
    before = contents(run.path)
    with hold_run(run):
        assert contents(run.path) == before
    assert contents(run.path) == before


def test_a_lock_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make(tmp_path / "run")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with hold_run(run) as claim, pytest.raises(OSError, match="No space left") as caught:
        claim()
    assert caught.value.filename == str(run.lock)


def test_a_directory_in_which_a_process_was_killed_while_it_began_may_be_used(tmp_path: Path) -> None:
    dead = subprocess.run(
        [sys.executable, "-c", "import sys, pathlib, vs_runtime; p = pathlib.Path(sys.argv[1]); "
         "vs_runtime.temporary_path(p / 'config.toml').write_text('x')", str(tmp_path)],
        check=False,
    )  # fmt: skip
    assert dead.returncode == 0
    assert len(everything_in(tmp_path)) == 1
    run = make(tmp_path)
    assert everything_in(tmp_path) == ["config.toml", "environment.json"]
    run.config.unlink()  # as after a kill between the two
    plan_run(tmp_path, "s", now=NOON)
    record = json.loads(run.environment.read_text())
    run.environment.write_text(json.dumps({key: record[key] for key in ("run_format",)} | {"resumed": [{}]}))
    with pytest.raises(RunDirectoryError, match="is not empty"):  # a run that has lost its configuration
        plan_run(tmp_path, "s", now=NOON)


def test_what_stands_in_a_lock_is_shown_only_if_it_is_a_process_id(tmp_path: Path) -> None:
    run = make(tmp_path / "run")
    run.lock.write_text("\x1b[2J")
    owner = os.fork()
    if owner == 0:
        with run.lock.open("r+") as file:
            fcntl.lockf(file, fcntl.LOCK_EX)
            (tmp_path / "held").touch()
            signal.pause()
    try:
        while not (tmp_path / "held").exists():
            time.sleep(0.01)
        with pytest.raises(RunDirectoryError, match=r"another process \(pid unknown\)"), hold_run(run):
            pass
    finally:
        os.kill(owner, signal.SIGKILL)
        os.waitpid(owner, 0)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"resumed": 5}, "resumed: expected a list of tables"),
        ({"resumed": ["x"]}, "resumed: expected a list of tables"),
        ({"environment": []}, "environment: expected a table"),
        ({"fixed": "x"}, "fixed: expected a table"),
        ({"started": None}, "started: expected a time"),
        ({"run_format": True}, "has run_format True"),
        ({"run_format": "1"}, "has run_format 1, this"),
        ({"environment": {"gpu": 2}}, "its checksum does not hold"),
    ],
)
def test_an_environment_of_other_kinds_is_refused_and_left_out_by_name(
    tmp_path: Path, change: dict[str, object], reason: str
) -> None:
    run = make(tmp_path / "damaged")
    run.environment.write_text(json.dumps({**json.loads(run.environment.read_text()), **change}))
    with pytest.raises(RunDirectoryError, match=reason) as caught:
        open_run(run.path)
    assert "\n" not in str(caught.value)
    with pytest.raises(RunDirectoryError, match=rf"there is no run here yet \(.*damaged: .*{reason}"):
        latest_run(tmp_path)
    good, told = make(tmp_path / "good"), []
    save_at(good, 1, 1_000)
    assert latest_run(tmp_path, notice=told.append) == good
    assert len(told) == 1
    assert "damaged" in told[0]


def test_an_environment_that_nobody_should_parse_is_refused(tmp_path: Path) -> None:
    run = make(tmp_path / "run")
    run.environment.write_text("[" * 100_000 + "]" * 100_000)
    with pytest.raises(RunDirectoryError, match=r"environment\.json nests more than 32 tables and lists"):
        open_run(run.path)


@pytest.mark.parametrize("mask", [0o022, 0o077])
def test_a_run_has_the_modes_that_the_umask_gives(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        run = make(tmp_path / "runs" / "run")
        with hold_run(run) as claim:
            claim()
            begin_writing(run)
            record_resume(run, config="steps = 4\n", environment={})
    finally:
        os.umask(before)
    for path in [run.path, *run.path.rglob("*")]:
        assert path.stat().st_mode & 0o777 == (0o777 if path.is_dir() else 0o666) & ~mask, path
