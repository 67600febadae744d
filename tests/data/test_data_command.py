"""The command line: exit statuses, one line for a mistake, and a folder that is rendered, checked and read."""

import shlex
import shutil
import subprocess
import sys

import attrs
import cv2
import numpy as np
import pytest
import torch
from label_examples import EXAMPLES, write_examples
from vs_data import (
    CheckReport,
    ClipRequest,
    DisFlowConfig,
    FlowFilesConfig,
    FolderConfig,
    LandmarksConfig,
    NoFlowConfig,
    SegMapsConfig,
    StreetConfig,
    check_command,
    open_source,
    write_folder,
)
from vs_data.amounts import Amount
from vs_data.cli import main
from vs_data.errors import DataError


def run(capsys, *arguments: object) -> tuple[int, str, str]:
    status = main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def cv2_failure(code: int) -> cv2.error:
    failure = cv2.error("nothing left")
    failure.code = code
    return failure


def test_a_good_folder_is_fine(folder, capsys):
    status, output, errors = run(capsys, "check", folder({"a": 3}))
    assert status == 0
    assert errors == ""
    assert "80x48 (3 images)" in output
    assert "0 errors, 0 warnings" in output


@pytest.mark.parametrize("name", ["body", "densepose", "face"])
def test_a_folder_of_one_kind_is_checked_as_that_kind_whether_it_is_named_or_not(name, tmp_path, capsys):
    example = EXAMPLES[name]
    kind = attrs.evolve(example.kind, folder=type(example.kind)().folder)
    write_examples(tmp_path, attrs.evolve(example, kind=kind))
    skeleton = ["{kind = 'keypoints', skeleton = 'coco17'}"] if name == "body" else [kind.kind]
    for labels in ([], ["--labels", kind.kind], ["--labels", *skeleton]):
        status, output, errors = run(capsys, "check", tmp_path, *labels)
        assert errors == ""
        assert "the folder does not exist" not in output
        assert "not used" not in output
        assert status == (2 if name == "body" and skeleton[0] not in labels else 0)
        assert ("skeleton = 'coco17' has as many" in output) is bool(status)


def test_findings_are_listed_and_the_status_is_2(folder, capsys):
    root = folder({"a": 3})
    for name in ("0000.png", "0001.png"):
        (root / "images" / "a" / name).write_text("bad")
    status, output, _ = run(capsys, "check", root)
    assert status == 2
    assert f"error {root}/images/a/0000.png: not a readable picture; copy or render the file again\n" in output
    assert "2 errors, 0 warnings" in output
    _, output, _ = run(capsys, "check", root, "--limit", "1")
    assert "and 1 more (--limit 0 shows all)" in output


def test_all_findings_are_listed_unless_limited(folder, capsys):
    root = folder({"a": 70})
    for path in (root / "seg_maps" / "a").iterdir():
        path.write_text("bad")
    _, output, _ = run(capsys, "check", root)
    assert output.count("\nerror ") == 70
    assert "more" not in output


def test_warnings_count_only_when_asked(folder, capsys):
    root = folder({"a": 3})
    (root / "images" / "a" / "notes.txt").write_text("x")
    assert run(capsys, "check", root)[0] == 0
    assert run(capsys, "check", root, "--strict")[0] == 2


def test_options_reach_the_check(folder, capsys):
    root = folder({"a": 3}, flow=True)
    assert run(capsys, "check", root, "--classes", "12", "--ignore-id", "-1")[0] == 0
    assert "class id" in run(capsys, "check", root, "--classes", "11")[1]
    assert "at least 4 are needed" in run(capsys, "check", root, "--min-frames", "4")[1]
    (root / "flow" / "a" / "0001.npz").write_text("bad")
    assert run(capsys, "check", root)[0] == 2
    assert run(capsys, "check", root, "--flow", "none")[0] == 0
    assert "parts: the folder does not exist" in run(capsys, "check", root, "--labels", "seg_maps", "parts")[1]


CHECKED = (
    FolderConfig(root="my data", flow=NoFlowConfig()),
    FolderConfig(root="train", val_root="val", flow=DisFlowConfig(), height=64, min_frames=7, order="natural"),
    FolderConfig(root="data", flow=FlowFilesConfig(), labels=(SegMapsConfig(num_classes=19, ignore_id=None),)),
    FolderConfig(
        root="data",
        flow=FlowFilesConfig(folder="true motion"),
        labels=(SegMapsConfig(folder="ids"), SegMapsConfig(folder="parts", num_classes=5, ignore_id=None)),
    ),
    FolderConfig(root="data", flow=NoFlowConfig(), labels=(LandmarksConfig(),)),
    FolderConfig(
        root="data",
        flow=NoFlowConfig(),
        labels=(
            LandmarksConfig(folder="faces"),
            SegMapsConfig(folder="parts", num_classes=5),
            LandmarksConfig(folder="seg_maps"),
            SegMapsConfig(folder="landmarks-dlib68", num_classes=9),
        ),
    ),
)


NOTHING = CheckReport(
    root="data",
    sequences=(),
    sizes={},
    class_pixels={},
    ignored_pixels={},
    opened=0,
    findings=(),
    amount=Amount(seconds=0.0, fps=None, size={}),
    decoded=True,
    in_all=0,
)


def check_command_of(config: FolderConfig) -> str:
    return "+".join([config.flow.kind, *(kind.folder for kind in config.labels)])


@pytest.mark.parametrize("split", ["train", "val"])
@pytest.mark.parametrize("config", CHECKED, ids=check_command_of)
def test_the_command_of_a_configuration_checks_what_the_configuration_reads(config, split, monkeypatch, capsys):
    asked = []

    def check_folder(config: FolderConfig, **_options: object) -> CheckReport:
        asked.append(config)
        return NOTHING

    monkeypatch.setattr("vs_data.cli.check_folder", check_folder)
    words = shlex.split(check_command(config, split))
    assert words[:3] == ["hatch", "run", "data:check"]
    assert run(capsys, "check", *words[3:])[0] == 0
    root = config.val_root if split == "val" and config.val_root else config.root
    teacher = config.flow if isinstance(config.flow, FlowFilesConfig) else NoFlowConfig()
    same_size = {"height": asked[0].height, "width": asked[0].width}  # sizes of clips are nothing that is checked
    assert asked == [attrs.evolve(config, root=root, val_root=None, flow=teacher, **same_size)]


def test_the_command_of_a_configuration_is_short():
    assert check_command(CHECKED[0], "val") == (
        "hatch run data:check 'my data' --decode --classes 35 --ignore-id 255 --flow none"
    )
    assert (
        check_command(CHECKED[4], "val") == "hatch run data:check data --decode --labels landmarks-dlib68 --flow none"
    )


def test_landmarks_are_checked_by_the_name_of_their_kind(face_folder, face_points, capsys):
    root = face_folder({"a": np.stack([face_points(centre=(60 + frame, 45)) for frame in range(2)])})
    assert run(capsys, "check", root, "--labels", "landmarks-dlib68", "--strict")[0] == 0
    assert run(capsys, "check", root, "--labels", "landmarks-dlib68", "seg_maps", "--classes", "2", "--strict")[0] == 0
    (root / "landmarks-dlib68").rename(root / "faces")
    (root / "faces" / "a" / "0001.json").write_text("[]")
    status, output, _ = run(capsys, "check", root, "--labels", "landmarks-dlib68:faces")
    assert status == 2
    assert f"error {root}/faces/a/0001.json: holds 0 landmarks, 68 are needed; write the 68 points" in output
    assert "1 error, 0 warnings" in output


def test_a_folder_of_landmarks_alone_needs_no_option(face_folder, face_points, capsys):
    root = face_folder({"a": np.stack([face_points(centre=(60 + frame, 45)) for frame in range(2)])})
    assert "seg_maps" in run(capsys, "check", root)[1]
    shutil.rmtree(root / "seg_maps")
    status, output, _ = run(capsys, "check", root)
    assert status == 0
    assert "4 of 4 files" in output
    (root / "landmarks-dlib68" / "a" / "0001.json").write_text("[]")
    assert "0001.json: holds 0 landmarks" in run(capsys, "check", root)[1]
    shutil.rmtree(root / "landmarks-dlib68")
    assert "seg_maps: the folder does not exist" in run(capsys, "check", root)[1]


def test_an_interruption_is_said_in_one_line(folder, monkeypatch, capsys):
    def interrupted(*_arguments: object, **_options: object) -> CheckReport:
        raise KeyboardInterrupt

    monkeypatch.setattr("vs_data.cli.check_folder", interrupted)
    status, output, errors = run(capsys, "check", folder({"a": 2}))
    assert (status, output, errors) == (130, "", "vs-data: interrupted\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["check", "nowhere"], "nowhere: the folder does not exist"),
        (["check"], "root"),
        (["check", ".", "--clases", "3"], "--clases"),
        (["check", ".", "--classes", "many"], "--classes: expected a whole number, got 'many'"),
        (["check", ".", "--classes", "400"], "--classes: expected a whole number from 1 to 256, got 400"),
        (
            ["check", ".", "--labels", "a", "b", "c", "--classes", "3", "4"],
            "--classes: expected one number, or one",
        ),
        (
            ["check", ".", "--labels", "."],
            "--labels: expected the name of a folder, without '/' and not starting with '.', got '.'",
        ),
        (["check", ".", "--labels", "a", "a"], "--labels: expected a folder that neither images nor other labels"),
        (["check", ".", "--flow-folder", "a/b"], "--flow-folder: expected the name of a folder"),
        (["check", ".", "--flow-folder", "images"], "--flow-folder: expected a folder that neither images nor"),
        (["check", ".", "--every", "0"], "--every: expected a whole number from 1 to 1000000000, got '0'"),
        (
            ["render", "somewhere", "--world", "moon"],
            "--world: expected one of 'street', 'faces', 'dancers', got 'moon'",
        ),
        (["render", "somewhere", "--sequences", "0"], "--sequences: expected a whole number from 1 to"),
        (["chek", "."], "chek"),
        (["render", "somewhere", "--height", "3"], "--height: expected a whole number from 16 to 4096 pixels, got 3"),
    ],
)
def test_a_mistake_is_one_line_and_status_2(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    status, output, errors = run(capsys, *arguments)
    assert status == 2
    assert output == ""
    assert errors.count("\n") == 1
    assert errors.startswith("vs-data: ")
    assert message in errors
    assert list(tmp_path.iterdir()) == []


def test_help_explains(capsys):
    status, output, _ = run(capsys, "check", "--help")
    assert status == 0
    assert "Exit status" in output
    assert "--ignore-id" in output


def test_the_module_is_the_command(tmp_path):
    command = [sys.executable, "-W", "error", "-m", "vs_data", "check", str(tmp_path / "nowhere")]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1


def test_the_rendered_street_is_a_good_folder_and_reads_as_it_is(tmp_path, capsys):
    root = tmp_path / "street"
    small = ["--sequences", "2", "--frames", "4", "--height", "32", "--width", "64"]
    status, output, _ = run(capsys, "render", root, *small)
    assert status == 0
    assert "8 frames" in output
    assert run(capsys, "check", root, "--strict")[0] == 0
    street = open_source(StreetConfig(height=32, width=64, sequence_length=4, train_sequences=2), "train")
    source = open_source(FolderConfig(root=str(root), height=32, width=64, flow=FlowFilesConfig()), "val")
    request = ClipRequest(sequence=1, start=0, length=4)
    made, read = street.read(request), source.read(request)
    assert (made.frames - read.frames).abs().max() <= 1.001 / 255
    assert torch.equal(made.labels["seg_maps"].long(), read.labels["seg_maps"].long())
    assert made.flow is not None
    assert made.flow_confidence is not None
    assert read.flow is not None
    assert read.flow_confidence is not None
    assert torch.allclose(made.flow, read.flow, rtol=1e-3, atol=1e-3)
    assert (made.flow_confidence - read.flow_confidence).abs().mean() < 0.01
    assert run(capsys, "render", root, *small)[0] == 2  # not into a folder that holds something


def test_more_sequences_than_there_are_cannot_be_written(tmp_path):
    source = open_source(StreetConfig(height=32, width=64, sequence_length=2, train_sequences=2), "train")
    with pytest.raises(DataError, match="3 sequences asked for, allowed: 1 to 2"):
        write_folder(source, tmp_path / "street", sequences=3)
    assert not (tmp_path / "street").exists()


@pytest.mark.parametrize("failure", [MemoryError("for 3 pixels"), cv2_failure(cv2.Error.StsNoMem)])
def test_too_little_memory_is_one_line(folder, capsys, monkeypatch, failure):
    def fail(_path: object) -> None:
        raise failure

    monkeypatch.setattr("vs_data.looks.inspect_rgb", fail)
    status, _, errors = run(capsys, "check", folder({"a": 3}), "--decode")
    assert status == 2
    assert errors.count("\n") == 1
    assert "memory of this computer is too small" in errors
    assert "--threads 1" in errors
