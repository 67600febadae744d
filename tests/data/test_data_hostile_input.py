"""What people and file systems bring to the command line: one line each, nothing written, nothing half-written."""

import os
import signal
import sys
from io import BytesIO, TextIOWrapper
from pathlib import Path
from typing import Any

import pytest
from vs_data import (
    ClipSource,
    DataError,
    FolderConfig,
    NoFlowConfig,
    SegMapsConfig,
    StreetConfig,
    look_at_folder,
    open_street,
    write_folder,
)
from vs_data.cli import main

ESCAPES = "x\x1b[2J\x1b]0;owned\x07\nerror: all is lost"
STREET = open_street(StreetConfig(height=16, width=32, sequence_length=3, train_sequences=2), "train")


def run(capsys, *arguments: object) -> tuple[int, str, str]:
    status = main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def rename_sequence(root: Path, old: str, new: str) -> None:
    for kind in ("images", "seg_maps"):
        os.rename(root / kind / old, os.path.join(root, kind, new))  # noqa: PTH104, PTH118 - bytes that are no UTF-8


@pytest.mark.parametrize(
    "options",
    [
        "--threads 0",
        "--threads 1000000000",
        "--every 0",
        "--limit -1",
        "--classes 0",
        f"--classes {10**30}",
        f"--classes 0x{'f' * 5000}",
        f"--threads {'9' * 5000}",
        "--min-frames 0",
        "--order random",
        "--flow-folder a/b",
        "--flow-folder=",
        "--labels=",
    ],
)
def test_options_out_of_range_are_one_line(folder, capsys, options):
    status, output, errors = run(capsys, "check", folder({"a": 2}), *options.split())
    assert (status, output, errors.count("\n")) == (2, "", 1)


@pytest.mark.parametrize("root", ["", "x" * 300, "~nobody-of-that-name", "loop", "pipe", "file", "nothing/below"])
@pytest.mark.parametrize("command", ["check", "render"])
def test_roots_that_are_no_folders_are_one_line(tmp_path, monkeypatch, capsys, command, root):
    monkeypatch.chdir(tmp_path)
    Path("loop").symlink_to("loop")
    os.mkfifo("pipe")
    Path("file").write_text("x")
    before = sorted(tmp_path.iterdir())
    if command == "render" and root in ("~nobody-of-that-name", "nothing/below"):
        return  # names of new folders like any
    options = () if command == "check" else ("--sequences", "1", "--frames", "2", "--height", "16")
    status, output, errors = run(capsys, command, root, *options)
    assert (status, output, errors.count("\n")) == (2, "", 1)
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("option", ["--height", "--width", "--frames", "--sequences"])
@pytest.mark.parametrize("value", [-1, 0, 10**9, 10**30])
@pytest.mark.parametrize("world", ["street", "faces", "dancers"])
def test_sizes_of_worlds_are_checked_before_anything_is_made(tmp_path, capsys, option, value, world):
    status, output, errors = run(capsys, "render", tmp_path / "x", "--world", world, option, value)
    assert (status, output, errors.count("\n")) == (2, "", 1)
    assert ": expected " in errors
    assert list(tmp_path.iterdir()) == []


def test_names_are_shown_escaped_and_are_no_markup(folder, capsys):
    root = folder({"a": 3})
    rename_sequence(root, "a", ESCAPES)
    (root / "seg_maps" / ESCAPES / "0001.png").unlink()
    (root / "seg_maps").rename(root / "[red]classes")
    status, output, _ = run(capsys, "check", root, "--labels", "[red]classes")
    assert status == 2
    assert "\x1b" not in output
    assert "[red]classes: pixels per class id" in output
    assert f"error {root}/[red]classes/x\\x1b[2J\\x1b]0;owned\\x07\\nerror: all is lost/0001.png: the file" in output
    assert not any(line.startswith("error: all") for line in output.splitlines())


def test_names_in_errors_are_shown_escaped(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    _, _, errors = run(capsys, "check", ESCAPES)
    assert errors.startswith(
        "vs-data: ROOT: expected a path without control characters, "
        "got 'x\\x1b[2J\\x1b]0;owned\\x07\\nerror: all is lost'"
    )
    assert errors.count("\n") == 1


def test_names_that_are_not_utf8_can_be_shown_everywhere(folder, monkeypatch, capsys):
    root = folder({"a": 3})
    rename_sequence(root, "a", "s\udcff")
    (root / "images" / "s\udcff" / "notes\udcfe.txt").write_text("x")
    shown = TextIOWrapper(BytesIO(), encoding="ascii", errors="strict")
    monkeypatch.setattr(sys, "stdout", shown)
    assert main(["check", str(root)]) == 0
    shown.flush()
    assert b"s\\udcff/notes\\udcfe.txt: not used" in shown.buffer.getvalue()  # type: ignore[attr-defined]
    monkeypatch.undo()
    notes = look_at_folder(FolderConfig(root=str(root), flow=NoFlowConfig()), "train")
    assert all(note.isprintable() and note.encode() for note in notes)


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(28, "No space left on device"), DataError("bad")])
def test_writing_that_fails_leaves_nothing(tmp_path, error):
    def fail(done: int, _total: int) -> None:
        if done > 3:
            raise error

    there = tmp_path / "there"
    there.mkdir()
    for root in (there, tmp_path / "a" / "b"):
        with pytest.raises(KeyboardInterrupt if error is KeyboardInterrupt else DataError):
            write_folder(STREET, root, sequences=2, progress=fail)
    assert list(tmp_path.rglob("*")) == [there]


def test_a_file_in_the_place_of_a_folder_is_said_with_what_to_do(tmp_path):
    (tmp_path / "file").write_text("x")
    for root in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(DataError, match=rf"{root}: cannot be written: .*; choose another folder"):
            write_folder(STREET, root, sequences=1)
    assert (tmp_path / "file").read_text() == "x"


def test_what_a_kill_left_is_swept_and_the_working_directory_can_be_written(tmp_path, monkeypatch):
    (tmp_path / ".unfinished" / "images").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert write_folder(STREET, Path(), sequences=1) == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["flow", "images", "instances", "seg_maps"]


def test_sigterm_undoes_a_half_written_world(tmp_path, monkeypatch):
    def write(source: ClipSource, root: Path, **options: Any) -> int:
        def end(done: int, _total: int) -> None:
            os.kill(os.getpid(), signal.SIGTERM)

        return write_folder(source, root, **{**options, "progress": end})

    monkeypatch.setattr("vs_data.cli.write_folder", write)
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as ended:
        main(["render", str(tmp_path / "x"), "--sequences", "2", "--frames", "2", "--height", "16"])
    assert ended.value.code == 128 + signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) is before
    assert list(tmp_path.iterdir()) == []


def test_what_training_is_told_is_counted_and_cut_short(folder):
    root = folder({"a": 3, "b": 3})
    config = FolderConfig(root=str(root), flow=NoFlowConfig())
    for number in range(20):
        (root / "images" / "a" / f"note{number:02d}.txt").write_text("x")
    (root / "images" / "b" / "0002.png").write_bytes((root / "images" / "b" / "0001.png").read_bytes())
    count, *lines = look_at_folder(config, "train")
    assert count == "train data: 6 frames looked at, 22 warnings"
    assert [line for line in lines if "note" in line] == [
        f"warning {root}/images/a/note0{number}.txt: not used: expected files ending in .png, .jpg, .jpeg, .webp; "
        "convert or remove it"
        for number in range(3)
    ]
    plain = look_at_folder(config, "train", severity=False)
    assert plain == (count, *(line.removeprefix("warning ") for line in lines))
    more = "... and 17 more (files that are not used): `hatch run data:check "
    assert sum(line.startswith(more) for line in lines) == 1
    assert sum("repeat the picture before them: 0002" in line for line in lines) == 1
    assert look_at_folder(config, "train", sequences=1)[0] == "train data: 3 frames looked at, 20 warnings"


def test_nothing_wrong_is_said_only_when_nothing_was(folder):
    config = FolderConfig(root=str(folder({"a": 3})), flow=NoFlowConfig())
    assert look_at_folder(config, "train")[0].endswith("1 warning")  # most of 35 classes never occur
    good = FolderConfig(root=config.root, flow=NoFlowConfig(), labels=(SegMapsConfig(num_classes=12),))
    assert look_at_folder(good, "val") == ("val data: 3 frames looked at, nothing wrong with them",)
