"""Folders of labels without pictures, held against what training reads of the same files with pictures."""

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from vs_data import (
    AugmentConfig,
    ClipRequest,
    FaceCropConfig,
    FolderConfig,
    LabelRequest,
    LandmarksConfig,
    NoFlowConfig,
    SegMapsConfig,
    open_folder,
    open_labels,
    open_references,
)

FACE = LandmarksConfig()
KIND = "landmarks-dlib68"
BOTH = (FACE, SegMapsConfig(num_classes=2))


@pytest.fixture
def people(face_folder, face_points, speaking) -> Path:
    """Two people who move, one larger and wider than the other, in pictures of 96x128."""
    first = [speaking(face_points(1.0, (50 + 2 * t, 40 + t), 0.05 * t), 0.05 * (t % 3)) for t in range(7)]
    second = [face_points(1.3, (70 - t, 50), -0.02 * t) * np.array([1.0, 0.95]) for t in range(5)]
    return face_folder({"a": np.stack(first), "b": np.stack(second)})


def whole(source: Path, how: LabelRequest) -> dict[str, torch.Tensor]:
    found = [frame.labels for frame in open_labels(str(source), how)[0].read()]
    return {kind: torch.stack([labels[kind] for labels in found]) for kind in found[0]}


@pytest.mark.parametrize(
    ("size", "augment", "face_crop"),
    [
        ((32, 48), AugmentConfig(), None),
        ((64, 64), AugmentConfig(), FaceCropConfig()),
        ((32, 32), AugmentConfig(keep_aspect=False), None),
    ],
)
@pytest.mark.parametrize("driven", [False, True])
def test_maps_beside_landmarks_go_with_them_as_in_training_bit_for_bit(people, size, augment, face_crop, driven):
    config = FolderConfig(
        root=str(people),
        height=size[0],
        width=size[1],
        labels=BOTH,
        augment=augment,
        face_crop=face_crop,
        flow=NoFlowConfig(),
    )
    how = LabelRequest(kinds=BOTH, size=size, augment=augment, face_crop=face_crop)
    subject = open_references(str(people / "images" / "b"), how, count=1) if driven else None
    asked = {"references": (2,), "reference_sequence": 1} if driven else {}
    clip = open_folder(config, "val").read(ClipRequest(sequence=0, start=0, length=7, **asked))
    labels = whole(people, LabelRequest(kinds=BOTH, size=size, augment=augment, face_crop=face_crop, subject=subject))
    assert list(labels) == list(clip.labels)
    assert all(torch.equal(labels[kind], clip.labels[kind]) for kind in labels)
    if subject is not None and clip.references is not None:
        assert torch.equal(subject.references.frames, clip.references.frames)
        assert all(torch.equal(subject.references.labels[kind], clip.references.labels[kind]) for kind in labels)
    shutil.rmtree(people / "images")  # the maps say how large the pictures were
    if not driven:
        assert all(torch.equal(found, labels[kind]) for kind, found in whole(people, how).items())


def test_maps_alone_keep_their_own_size(people):
    how = LabelRequest(kinds=(SegMapsConfig(num_classes=2),), size=(32, 48))
    assert whole(people, how)["seg_maps"].shape == (7, 96, 128)


def test_a_face_that_is_cut_out_is_found_wherever_its_picture_was(people):
    sharp = LabelRequest(kinds=(FACE,), size=(64, 64), face_crop=FaceCropConfig())
    shutil.rmtree(people / "images")
    found = whole(people / KIND / "a", sharp)[KIND]
    assert found.amax(dim=(1, 2, 3)).min() > 0.5
    assert found[..., [0, -1], :].max() == found[..., [0, -1]].max() == 0
    given = LabelRequest(kinds=(FACE,), size=(64, 64), face_crop=FaceCropConfig(), picture=(96, 128))
    assert (whole(people / KIND / "a", given)[KIND] - found).abs().mean() < 0.05


def test_what_systems_leave_beside_photographs_is_no_photograph(people):
    place = people / "images" / "a"
    for label in (people / KIND / "a").iterdir():
        shutil.copy(label, place)
    shutil.move(place, people / "photos")
    (people / "photos" / "._0000.png").write_bytes(b"left behind")
    cv2.imwrite(str(people / "photos" / "10.png"), cv2.imread(str(people / "photos" / "0000.png")))
    shutil.copy(people / "photos" / "0000.json", people / "photos" / "10.json")
    found = open_references(str(people / "photos"), LabelRequest(kinds=(FACE,), size=(32, 48)))
    assert found.references.frames.shape == (8, 3, 32, 48)
    assert torch.equal(found.references.frames[7], found.references.frames[0])  # 10 is the last number
