"""Talking heads written to disk: a folder that is fine, and that reads as the source does."""

import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
from vs_data import (
    REGIONS,
    ClipRequest,
    DataError,
    FacesConfig,
    FlowFilesConfig,
    FolderConfig,
    LandmarksConfig,
    SegMapsConfig,
    open_faces,
    open_folder,
    write_folder,
)
from vs_data.cli import main
from vs_data.landmark_files import read_landmarks

KINDS = (LandmarksConfig(smoothing=0.0), SegMapsConfig(num_classes=5, ignore_id=None, class_names=REGIONS))


def test_rendered_faces_are_a_good_folder_and_read_as_they_are(tmp_path: Path, capsys) -> None:
    root = tmp_path / "faces"
    words = ["--world", "faces", "--sequences", "3", "--frames", "4", "--height", "48"]
    assert main(["render", str(root), *words]) == 0
    said = capsys.readouterr().out
    assert "12 frames" in said
    command = shlex.split(said.split("data:check ")[1])
    assert main(["check", *command]) == 0
    assert "0 errors, 0 warnings" in capsys.readouterr().out

    faces = open_faces(
        FacesConfig(height=48, width=48, sequence_length=4, train_identities=2, val_identities=2, labels="both"),
        "train",
    )
    folder = open_folder(FolderConfig(root=str(root), height=48, width=48, labels=KINDS, flow=FlowFilesConfig()), "val")
    assert [info.name for info in folder.sequences] == [info.name for info in faces.sequences[:3]]
    assert folder.label_kinds == faces.label_kinds
    request = ClipRequest(sequence=2, start=0, length=4)
    read, drawn = folder.read(request), faces.read(request)
    assert (read.frames - drawn.frames).abs().max() <= 1.01 / 255
    assert torch.equal(read.labels["seg_maps"].to(torch.uint8), drawn.labels["seg_maps"])
    assert (read.labels["landmarks-dlib68"] - drawn.labels["landmarks-dlib68"]).abs().max() < 0.02
    assert read.flow is not None
    assert (read.flow[1:] - drawn.flow[1:]).abs().max() < 0.01
    points = [read_landmarks(root / "landmarks-dlib68" / "face-000001-0" / f"{frame:06d}.json") for frame in range(4)]
    assert np.abs(np.stack(points) - faces.landmarks(request)).max() <= 0.00051


def test_long_sequences_are_written_in_pieces(tmp_path: Path) -> None:
    faces = open_faces(FacesConfig(height=16, width=16, sequence_length=18, train_identities=1), "train")
    assert write_folder(faces, tmp_path / "faces", sequences=1) == 18
    last = tmp_path / "faces" / "landmarks-dlib68" / "face-000000-0" / "000017.json"
    expected = faces.landmarks(ClipRequest(sequence=0, start=17, length=1))[0]
    assert np.abs(read_landmarks(last) - expected).max() <= 0.00051
    assert not (tmp_path / "faces" / "seg_maps").exists()


def test_maps_without_landmarks_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    faces = open_faces(FacesConfig(height=16, width=16, sequence_length=2, train_identities=1), "train")
    write_folder(faces, tmp_path / "one", sequences=1)
    config = FolderConfig(root=str(tmp_path / "one"), height=16, width=16, labels=(LandmarksConfig(),))
    with pytest.raises(DataError, match="'landmarks-dlib68' are maps of numbers"):
        write_folder(open_folder(config, "val"), tmp_path / "two", sequences=1)
    assert not (tmp_path / "two").exists()


@pytest.mark.parametrize("wrong", [["--sequences", "0"], ["--height", "3"], ["--world", "sea"]])
def test_a_wrong_option_is_one_line(wrong: list[str], tmp_path: Path, capsys) -> None:
    assert main(["render", str(tmp_path / "x"), "--world", "faces", *wrong]) == 2
    errors = capsys.readouterr().err
    assert errors.count("\n") == 1
