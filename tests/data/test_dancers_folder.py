"""Dancers written to disk: a folder that is fine and reads as the source does; and dancers as labels of a model."""

import json
import shlex
from pathlib import Path

import attrs
import numpy as np
import pytest
import torch
from vs_data import (
    ClipRequest,
    DancersConfig,
    FlowFilesConfig,
    FolderConfig,
    LabelRequest,
    folder_kinds,
    open_dancers,
    open_folder,
    open_labels,
    open_references,
    write_folder,
)
from vs_data.cli import main
from vs_data.keypoint_files import read_people
from vs_data.skeletons import OPENPOSE_BODY25

SMALL = DancersConfig(height=48, width=48, sequence_length=4, train_identities=2, val_identities=2, labels="all")
SHOWN = LabelRequest(kinds=folder_kinds(SMALL), size=(48, 48), frames=3)


def test_rendered_dancers_are_a_good_folder_and_read_as_they_are(tmp_path: Path, capsys) -> None:
    root = tmp_path / "dancers"
    words = ["--world", "dancers", "--sequences", "3", "--frames", "4", "--height", "48"]
    assert main(["render", str(root), *words]) == 0
    said = capsys.readouterr().out
    assert "12 frames" in said
    assert main(["check", *shlex.split(said.split("data:check ")[1])]) == 0
    assert "0 errors, 0 warnings" in capsys.readouterr().out

    dancers = open_dancers(SMALL, "train")
    config = FolderConfig(root=str(root), height=48, width=48, labels=folder_kinds(SMALL), flow=FlowFilesConfig())
    folder = open_folder(config, "val")
    assert [info.name for info in folder.sequences] == [info.name for info in dancers.sequences[:3]]
    assert folder.label_kinds == dancers.label_kinds
    request = ClipRequest(sequence=2, start=0, length=4)
    read, drawn = folder.read(request), dancers.read(request)
    assert (read.frames - drawn.frames).abs().max() <= 1.01 / 255
    assert torch.equal(read.labels["seg_maps"].to(torch.uint8), drawn.labels["seg_maps"])
    assert (read.labels["densepose"] - drawn.labels["densepose"]).abs().max() < 1e-6
    assert (read.labels["keypoints"] - drawn.labels["keypoints"]).abs().max() < 0.02
    for name, boxes in drawn.boxes.items():
        assert (read.boxes[name] - boxes).abs().max() < 0.01
    assert read.flow is not None
    assert (read.flow[1:] - drawn.flow[1:]).abs().max() < 0.01


def test_keypoints_are_files_as_openpose_writes_them(tmp_path: Path) -> None:
    dancers = open_dancers(attrs.evolve(SMALL, labels="keypoints", sequence_length=18), "train")
    assert write_folder(dancers, tmp_path / "one", sequences=1) == 18
    path = tmp_path / "one" / "keypoints" / "dancer-000000-0" / "000017.json"
    document = json.loads(path.read_text())
    assert list(document) == ["version", "people"]
    assert len(document["people"][0]["pose_keypoints_2d"]) == 75
    (person,) = read_people(path, OPENPOSE_BODY25, (48, 48))
    expected = dancers.keypoints(ClipRequest(sequence=0, start=17, length=1))[0]
    assert np.abs(person.points - expected).max() <= 0.00051
    assert sorted(folder.name for folder in (tmp_path / "one").iterdir()) == ["flow", "images", "keypoints"]


def labels_of(source: str, how: LabelRequest) -> list[dict[str, torch.Tensor]]:
    (sequence,) = open_labels(source, how)
    return [frame.labels for frame in sequence.read()]


def test_a_world_gives_a_model_its_labels() -> None:
    frames = labels_of("dancers:7", SHOWN)
    config = attrs.evolve(SMALL, seed=7, sequence_length=3, val_identities=1, motions=1)
    drawn = open_dancers(config, "val").read(ClipRequest(sequence=0, start=0, length=3))
    assert len(frames) == 3
    for index, labels in enumerate(frames):
        assert list(labels) == ["densepose", "keypoints", "seg_maps"]
        assert all(torch.equal(label, drawn.labels[kind][index]) for kind, label in labels.items())
    (poses,) = (kind for kind in SHOWN.kinds if kind.folder == "keypoints")
    assert list(labels_of("dancers:7", attrs.evolve(SHOWN, kinds=(poses,)))[0]) == ["keypoints"]


@pytest.mark.parametrize("seed", [5, 6])
def test_a_driven_dancer_has_the_proportions_of_whom_references_show(seed: int) -> None:
    how = attrs.evolve(SHOWN, kinds=tuple(kind for kind in SHOWN.kinds if kind.folder == "keypoints"), frames=4)
    subject = open_references("dancers:5", how, count=2)
    assert subject.references.frames.shape == (2, 3, 48, 48)
    own = torch.stack([labels["keypoints"] for labels in labels_of(f"dancers:{seed}", how)])
    driven = torch.stack(
        [labels["keypoints"] for labels in labels_of(f"dancers:{seed}", attrs.evolve(how, subject=subject))]
    )
    assert ((own - driven).abs().max() < 0.01) == (seed == 5)  # of the subject itself nothing changes
