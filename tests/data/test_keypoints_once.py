"""Files of keypoints are read once for all that is made of them; who is followed is told from the first frame on."""

import json
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from vs_data import Clip, ClipRequest, FolderConfig, KeypointsConfig, NoFlowConfig, open_folder
from vs_data.keypoint_files import Person, read_people

SIZE = (64, 96)


def body(x: float, size: float) -> NDArray[np.float64]:
    """Somebody of COCO's 17 points around a place: (17, 3)."""
    spread = np.random.default_rng(1).uniform(-1, 1, (17, 2)) * size / 2 + np.array([x, 32])
    return np.concatenate([spread, np.full((17, 1), 2.0)], axis=1)


def write_frame(root: Path, frame: int, *people: NDArray[np.float64]) -> None:
    content = {"annotations": [{"keypoints": one.ravel().tolist()} for one in people]}
    (root / "poses-openpose" / "a" / f"{frame:03d}.json").write_text(json.dumps(content))


def written(root: Path, *frames: tuple[NDArray[np.float64], ...]) -> Path:
    for place in ("images", "poses-openpose"):
        (root / place / "a").mkdir(parents=True)
    for frame, people in enumerate(frames):
        cv2.imwrite(str(root / "images" / "a" / f"{frame:03d}.png"), np.zeros((*SIZE, 3), np.uint8))
        write_frame(root, frame, *people)
    return root


def clip_of(root: Path, kind: KeypointsConfig, start: int, length: int) -> Clip:
    config = FolderConfig(root=str(root), height=SIZE[0], width=SIZE[1], flow=NoFlowConfig(), labels=(kind,))
    return open_folder(config, "val").read(ClipRequest(sequence=0, start=start, length=length))


def test_files_are_read_once_for_labels_and_boxes_and_anew_when_they_change(tmp_path: Path, monkeypatch) -> None:
    root = written(tmp_path, (body(40, 40),), (body(41, 40),))
    read: list[object] = []

    def counted(content: object, *others: object) -> tuple[Person, ...]:
        read.append(content)
        return read_people(content, *others)  # type: ignore[arg-type]

    monkeypatch.setattr("vs_data.labels.keypoints.read_people", counted)
    kind = KeypointsConfig(skeleton="coco17")
    first = clip_of(root, kind, 0, 2)
    assert (len(read), sorted(first.boxes or ())) == (2, ["face", "hand"])
    write_frame(root, 1)
    second = clip_of(root, kind, 0, 2)
    assert float(second.labels["poses-openpose"][1].max()) == 0
    assert torch.equal(second.labels["poses-openpose"][0], first.labels["poses-openpose"][0])


def test_who_is_nearest_is_the_same_from_whichever_frame_one_begins(tmp_path: Path) -> None:
    small, large = body(20, 30), body(70, 50)
    root = written(tmp_path, (small,), *[(large, small)] * 4)
    nearest, largest = (KeypointsConfig(skeleton="coco17", follow=who) for who in ("nearest", "largest"))
    whole = clip_of(root, nearest, 0, 5).labels["poses-openpose"]
    assert torch.equal(whole[3:], clip_of(root, nearest, 3, 2).labels["poses-openpose"])
    assert torch.equal(whole[0], whole[4])
    assert not torch.equal(whole[4], clip_of(root, largest, 4, 1).labels["poses-openpose"][0])
