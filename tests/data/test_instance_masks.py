"""Masks of one instance: of whoever is followed among several people."""

import attrs
import cv2
import numpy as np
import pytest
import torch
from conftest import texture_picture
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from vs_config import ConfigError
from vs_data import AugmentConfig, ClipRequest, FolderConfig, InstancesConfig, NoFlowConfig, check_folder, open_folder
from vs_data.labels.instances import instance_mask
from vs_data.labels.kinds import handler_of

SIZE = (48, 64)
LARGEST = InstancesConfig(folder="human_instance_maps", show="largest")


def people(**boxes: tuple[int, int, int, int]) -> np.ndarray:
    """A map of 16 bits with boxes (top, left, bottom, right) of the ids in `p1`, `p7000`, ...; the last is in front."""
    ids = np.zeros(SIZE, np.uint16)
    for name, (top, left, bottom, right) in boxes.items():
        ids[top:bottom, left:right] = int(name[1:])
    return ids


def folder_of(root, *maps: np.ndarray, kind: InstancesConfig = LARGEST, **more) -> FolderConfig:
    for name in ("images", "human_instance_maps"):
        (root / name / "a").mkdir(parents=True)
    for frame, ids in enumerate(maps):
        picture = np.roll(texture_picture(SIZE, 1), 2 * frame, axis=1)
        cv2.imwrite(str(root / "images" / "a" / f"{frame}.png"), picture)
        cv2.imwrite(str(root / "human_instance_maps" / "a" / f"{frame}.png"), ids)
    return FolderConfig(root=str(root), height=SIZE[0], width=SIZE[1], labels=(kind,), flow=NoFlowConfig(), **more)


def masks_of(config: FolderConfig, length: int) -> torch.Tensor:
    clip = open_folder(config, "train").read(ClipRequest(sequence=0, start=0, length=length, seed=3))
    return clip.labels["human_instance_maps"]


def test_the_largest_of_each_frame_is_shown_and_of_nobody_nothing(tmp_path):
    near, far = (8, 8, 40, 24), (10, 40, 30, 50)
    frames = [people(p1=near, p7000=far), people(p1=far, p7000=near), people()]
    masks = masks_of(folder_of(tmp_path, *frames), 3)
    assert masks.shape == (3, 1, *SIZE)
    expected = np.stack([frames[0] == 1, frames[1] == 7000, frames[2] > 0])[:, None]
    assert np.array_equal(masks.numpy(), expected.astype(np.float32))


def test_a_number_is_shown_however_large_others_are(tmp_path):
    near, far = (8, 8, 40, 24), (10, 40, 30, 50)
    kind = InstancesConfig(folder="human_instance_maps", show="number", number=2)
    masks = masks_of(folder_of(tmp_path, people(p1=near, p2=far), people(p1=near), kind=kind), 2)
    assert [int(mask.sum()) for mask in masks] == [20 * 10, 0]


def test_who_is_largest_is_decided_by_the_whole_picture_not_by_a_crop(tmp_path):
    """A larger person, of whom a crop shows nothing, does not hand the mask on to a smaller one."""
    ids = people(p1=(0, 0, 4, 64), p2=(8, 28, 30, 36))
    config = folder_of(tmp_path, ids, ids, augment=AugmentConfig(smallest_side=192, scale=0.0))
    source = open_folder(config, "train")
    for seed in range(8):
        mask = source.read(ClipRequest(sequence=0, start=0, length=1, seed=seed)).labels["human_instance_maps"][0, 0]
        assert torch.equal(mask, mask[:, :1].expand(SIZE))  # the larger one is as wide as the picture


@given(ids=arrays(np.int32, (6, 7), elements=st.integers(0, 5)))
def test_a_mask_is_of_one_id_of_which_no_other_has_more_pixels(ids):
    mask = instance_mask(LARGEST, ids)
    counts = {int(number): int((ids == number).sum()) for number in np.unique(ids) if number}
    if not counts:
        assert not mask.any()
        return
    (shown,) = np.unique(ids[mask])
    assert counts[int(shown)] == max(counts.values()) == mask.sum()


def test_a_check_counts_frames_without_anybody_and_tells_who_jumps(tmp_path):
    near, far = (4, 4, 40, 16), (10, 52, 24, 62)
    config = folder_of(tmp_path, people(p1=near), people(), people(p1=near), people(p1=far))
    found = {finding.kind: finding for finding in check_folder(config).findings}
    assert "nobody is in 1 of 4 frames: 1" in found["frames without anybody"].what
    assert "another person is followed between 2 and 3" in found["people who jump"].what
    assert "show = 'number'" in found["people who jump"].fix
    borders = check_folder(attrs.evolve(config, labels=(InstancesConfig(folder="human_instance_maps"),)))
    assert not {finding.kind for finding in borders.findings} & set(found)


def test_a_number_and_what_shows_it_go_together():
    with pytest.raises(ConfigError, match="number: expected the id of the instance"):
        InstancesConfig(show="number")
    with pytest.raises(ConfigError, match="unless show = 'number'"):
        InstancesConfig(show="largest", number=3)


def test_networks_see_one_channel_either_way():
    assert {handler_of(kind).info.channels for kind in (LARGEST, InstancesConfig())} == {1}
