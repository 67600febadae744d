"""Boxes around face and hands: found by their own points, or else by head and arms."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_keypoints import SIZE, folder_of, openpose, standing, write
from vs_data import AugmentConfig, ClipRequest, KeypointsConfig, open_folder


def test_boxes_lie_around_face_and_hands_and_move_with_the_frame(tmp_path: Path) -> None:
    absent = standing()
    absent[[0, 15, 16, 17, 18, 4]] = 0
    root = write(tmp_path, [openpose(standing()), openpose(absent)])
    clip = open_folder(folder_of(root), "val").read(ClipRequest(sequence=0, start=0, length=2))
    face, hands = clip.boxes["face"], clip.boxes["hand"]
    assert face.shape == (2, 1, 4)
    assert hands.shape == (2, 2, 4)
    left, top, right, bottom = face[0, 0].tolist()
    head = standing()[[0, 15, 16, 17, 18], :2]
    assert (head > [left, top]).all()
    assert (head < [right, bottom]).all()
    assert right - left == pytest.approx(bottom - top)
    assert face[1].abs().max() == 0
    middle = (hands[0, :, :2] + hands[0, :, 2:]) / 2
    assert torch.linalg.vector_norm(middle - torch.tensor(standing()[[7, 4], :2]), dim=1).max() < 5
    assert hands[1, 1].abs().max() == 0
    assert hands[1, 0].tolist() == hands[0, 0].tolist()
    flipped = folder_of(root, augment=AugmentConfig(flip=1.0))
    mirror = open_folder(flipped, "train").read(ClipRequest(sequence=0, start=0, length=1)).boxes
    wanted = SIZE[1] - 1 - face[0, 0, [2, 0]]
    assert mirror["face"][0, 0, [0, 2]].tolist() == pytest.approx(wanted.tolist(), abs=1e-4)


def test_boxes_of_face_and_hands_are_found_by_their_own_points_unless_few_of_these_are_seen(tmp_path: Path) -> None:
    """Of a hand that is hidden OpenPose is sure of a few points, all at one spot: the arm says better where it is."""

    def part(count: int, x: float, y: float, sure: int) -> list[float]:
        spots = [(x + 8 * (index % 2), y + 8 * (index // 2 % 2)) for index in range(count)]
        return [number for index, spot in enumerate(spots) for number in (*spot, float(index < sure))]

    def person(share: float) -> dict[str, Any]:
        places = {"face": (70, 10, 10), "hand_left": (21, 70, 30), "hand_right": (21, 20, 40)}
        more = {f"{name}_keypoints_2d": part(n, x, y, round(share * n)) for name, (n, x, y) in places.items()}
        return openpose(standing(), **more)

    root = write(tmp_path, [person(1.0), person(0.2)])
    kind = KeypointsConfig(skeleton="openpose", smoothing=0.0)
    boxes = open_folder(folder_of(root, kind), "val").read(ClipRequest(sequence=0, start=0, length=2)).boxes
    found = torch.cat([boxes["face"][0], boxes["hand"][0]])
    middles, sides = (found[:, :2] + found[:, 2:]) / 2, found[:, 2] - found[:, 0]
    assert middles.tolist() == pytest.approx(np.array([(14, 14), (74, 34), (24, 44)]))
    assert ((sides > 8) & (sides < 16)).all()
    bare = write(tmp_path / "bare", [openpose(standing())] * 2)
    by_body = open_folder(folder_of(bare), "val").read(ClipRequest(sequence=0, start=0, length=2)).boxes
    for region, expected in by_body.items():
        assert boxes[region][1].tolist() == expected[1].tolist()
        assert expected[1].abs().min() > 0
