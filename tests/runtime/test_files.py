"""Files and directories of a run: whole or not there, modes by the umask, nothing left behind."""

import hashlib
import json
import os
import resource
import socket
import stat
import time
from pathlib import Path

import pytest
import torch
from vs_runtime import (
    DamagedCheckpoint,
    NoCheckpoint,
    load_checkpoint,
    load_latest,
    naming,
    remove,
    save_checkpoint,
    sweep,
    temporary_path,
    whole_directory,
    write_atomically,
)


def names(path: Path) -> list[str]:
    return sorted(entry.name for entry in path.iterdir())


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o027])
def test_all_files_of_a_run_have_the_modes_that_the_umask_gives(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        write_atomically(tmp_path / "config.toml", "x")
        save_checkpoint(tmp_path / "checkpoints", step=1, state={"a": torch.ones(2)}, keep=1)
    finally:
        os.umask(before)
    for path in tmp_path.rglob("*"):
        expected = (0o777 if path.is_dir() else 0o666) & ~mask
        assert stat.S_IMODE(path.stat().st_mode) == expected, path


def test_a_failed_write_names_the_file_and_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomically(path, "old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, hard))
    try:
        with pytest.raises(OSError, match=r"File too large: '.*/file'") as caught:
            write_atomically(path, "x" * 100)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.filename == str(path)
    assert path.read_text() == "old"
    assert names(tmp_path) == ["file"]


def test_errors_without_a_number_are_named_too(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="odd") as caught, naming(tmp_path):
        raise OSError("odd")
    assert caught.value.filename == str(tmp_path)


def test_names_of_any_length_and_bytes_can_be_written(tmp_path: Path) -> None:
    for name in ("n" * 255, "é" * 120, os.fsdecode(b"\xff\n"), "*[a-"):
        write_atomically(tmp_path / name, "x")
        assert (tmp_path / name).read_text() == "x"


def test_only_what_the_dead_left_behind_is_swept(tmp_path: Path) -> None:
    killed = os.fork()
    if killed == 0:
        for name in ("config.toml", "run"):
            temporary_path(tmp_path / name).mkdir()
        os._exit(0)
    os.waitpid(killed, 0)
    mine = temporary_path(tmp_path / "run")
    mine.mkdir()
    (tmp_path / ".other.partial").write_text("x")
    recent, old = (tmp_path / f".run.12-00000000.0000000{n}.partial" for n in (1, 2))
    for path in (recent, old):
        path.write_text("another machine's")
    os.utime(old, (time.time() - 10**6,) * 2)
    assert len(names(tmp_path)) == 6
    sweep(tmp_path)
    assert set(names(tmp_path)) == {mine.name, ".other.partial", recent.name}
    (tmp_path / ".writing-step-00000004-17").mkdir()
    sweep(tmp_path, held=True)
    assert names(tmp_path) == [".other.partial"]
    sweep(tmp_path / "nowhere")


def test_removing_a_link_leaves_what_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("folder")
    remove(tmp_path / "link")
    assert names(tmp_path) == ["folder"]
    remove(tmp_path / "folder")
    assert names(tmp_path) == []


def make_odd(path: Path, kind: str) -> None:
    match kind:
        case "fifo":
            os.mkfifo(path)
        case "socket":
            here = Path.cwd()
            os.chdir(path.parent)  # names of sockets are short
            with socket.socket(socket.AF_UNIX) as server:
                server.bind(path.name)
            os.chdir(here)
        case "directory":
            path.mkdir()
        case "loop":
            path.symlink_to(path.name)
        case "device":
            path.symlink_to("/dev/zero")


KINDS = ["fifo", "socket", "directory", "loop", "device"]


@pytest.mark.parametrize("name", ["manifest.json", "state.json", "tensors.safetensors"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_checkpoint_with_something_odd_in_it_is_damaged(tmp_path: Path, name: str, kind: str) -> None:
    path = save_checkpoint(tmp_path, step=1, state={"a": torch.ones(2)}, keep=1)
    (path / name).unlink()
    make_odd(path / name, kind)
    with pytest.raises(DamagedCheckpoint, match=name):
        load_checkpoint(path)


def test_a_file_in_the_place_of_the_checkpoints_is_not_taken_for_none(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").write_text("x")
    with pytest.raises(NoCheckpoint, match="is not a directory") as caught:
        load_latest(tmp_path / "checkpoints")
    assert caught.value.skipped


def test_a_checkpoint_that_is_a_link_is_read_and_then_replaced_by_its_like(tmp_path: Path) -> None:
    real = save_checkpoint(tmp_path / "elsewhere", step=1, state={"a": 1}, keep=1)
    root = tmp_path / "checkpoints"
    root.mkdir()
    (root / real.name).symlink_to(real)
    assert load_latest(root).state == {"a": 1}
    save_checkpoint(root, step=1, state={"a": 2}, keep=1)
    save_checkpoint(root, step=2, state={"a": 3}, keep=1)
    assert names(root) == ["step-00000002"]
    assert load_checkpoint(real).state == {"a": 1}


def forge(path: Path, name: str, content: bytes) -> None:
    """Put a file into a checkpoint with a checksum that fits."""
    (path / name).write_bytes(content)
    manifest = json.loads((path / "manifest.json").read_text())
    manifest["files"][name] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    (path / "manifest.json").write_text(json.dumps(manifest))


PROMISES = json.dumps({"a": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}}).encode()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("tensors.safetensors", (2**40).to_bytes(8, "little") + b"{}"),
        ("tensors.safetensors", len(PROMISES).to_bytes(8, "little") + PROMISES),
        ("tensors.safetensors", b""),
        ("state.json", b"[" * 100_000),
        ("state.json", b"\xff"),
        ("state.json", b'{"a": {"$tensor": ["a"]}}'),
        ("state.json", b'{"a": {"$float": "much"}}'),
        ("state.json", b'{"a": {"$tuple": 5}}'),
        ("state.json", b'{"a": {"$dict": [[{}, 1]]}}'),
        ("state.json", b'{"a": {"$python": "os.system"}}'),
        ("state.json", b'{"step": ' + b"9" * 5_000 + b"}"),
    ],
)
def test_files_that_promise_what_they_do_not_hold_are_damage_though_checksums_fit(
    tmp_path: Path, name: str, content: bytes
) -> None:
    path = save_checkpoint(tmp_path, step=1, state={"a": torch.ones(2)}, keep=1)
    forge(path, name, content)
    with pytest.raises(DamagedCheckpoint, match="checksums hold, and yet it cannot be read") as caught:
        load_checkpoint(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "change",
    [
        {"step": True},
        {"step": "1"},
        {"files": []},
        {"files": None},
        {"files": {"state.json": 5}},
        {"files": {"tensors.safetensors": {"bytes": "9", "sha256": 5}}},
    ],
)
def test_a_manifest_of_other_kinds_is_damage(tmp_path: Path, change: dict[str, object]) -> None:
    path = save_checkpoint(tmp_path, step=1, state={"a": torch.ones(2)}, keep=1)
    manifest = json.loads((path / "manifest.json").read_text())
    (path / "manifest.json").write_text(json.dumps({**manifest, **change}))
    with pytest.raises(DamagedCheckpoint, match=r"manifest\.json"):
        load_checkpoint(path)


def test_a_directory_is_whole_or_not_there(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "run"

    def fail() -> None:
        with whole_directory(path) as draft:
            (draft / "x").write_text("1")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert names(tmp_path) == []
    with whole_directory(path, flush=True) as draft:
        (draft / "folder").mkdir()
        (draft / "folder" / "x").write_text("1")
        assert names(path.parent) == [draft.name]
    assert (path / "folder" / "x").read_text() == "1"
    assert names(path.parent) == ["run"]


def test_a_directory_is_replaced_only_where_that_is_asked_for(tmp_path: Path) -> None:
    path, old = tmp_path / "report", tmp_path / "old"
    for text in ("1", "2"):
        with whole_directory(path, replaced=old) as draft:
            (draft / "x").write_text(text)
        assert (path / "x").read_text() == text
        assert names(tmp_path) == ["report"]
    with pytest.raises(OSError, match="not empty"), whole_directory(path) as draft:
        (draft / "x").write_text("3")
    with pytest.raises(ValueError, match="odd"), whole_directory(path, replaced=old):
        raise ValueError("odd")
    assert (path / "x").read_text() == "2"
    assert names(tmp_path) == ["report"]


def test_what_stood_there_comes_back_if_nothing_can_take_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "report"
    path.mkdir()
    (path / "x").write_text("1")
    rename = Path.rename

    def fail(source: Path, target: Path) -> Path:
        if source.name.endswith(".partial"):
            raise OSError(5, "Input/output error", str(source))
        return rename(source, target)

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(OSError, match="Input/output"), whole_directory(path, replaced=tmp_path / "old"):
        pass
    assert (path / "x").read_text() == "1"
    assert names(tmp_path) == ["report"]
