"""Plausibility: faults planted into good sequences are found with their frames, and good sequences raise no alarm."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vs_data import (
    ClipRequest,
    FacesConfig,
    Finding,
    FolderConfig,
    LandmarksConfig,
    NoFlowConfig,
    SegMapsConfig,
    StreetConfig,
    check_folder,
    open_faces,
    open_street,
)
from vs_data.labels.face_landmarks import check_faces, landmark_trace
from vs_data.landmark_files import smoothed
from vs_data.landmarks import face_size, is_mirrored, jump_between
from vs_data.plausible import check_labels, check_pictures, picture_trace
from vs_data.seen import Trace

SHARED = Path(__file__).resolve().parents[2].parent / "shared" / "data"
MIRROR = [*range(16, -1, -1), *range(26, 16, -1), *range(27, 31), *range(35, 30, -1), 45, 44, 43, 42, 47, 46]
MIRROR += [39, 38, 37, 36, 41, 40, *range(54, 47, -1), *range(59, 54, -1), 64, 63, 62, 61, 60, 67, 66, 65]


def pictures_of(source, sequence: int, frames: int = 12) -> list[np.ndarray]:
    clip = source.read(ClipRequest(sequence=sequence, start=0, length=frames))
    return list(((clip.frames + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy())


@pytest.fixture(scope="module")
def streets() -> list[list[np.ndarray]]:
    source = open_street(StreetConfig(height=32, width=64), "train")
    return [pictures_of(source, sequence) for sequence in range(2)]


@pytest.fixture(scope="module")
def people() -> list[np.ndarray]:
    source = open_faces(FacesConfig(height=64, width=64), "train")
    return [source.landmarks(ClipRequest(sequence=sequence, start=0, length=12)) for sequence in range(4)]


def names(count: int) -> list[str]:
    return [f"{frame:04d}" for frame in range(count)]


def of_pictures(pictures: list[np.ndarray]) -> dict[str, Finding]:
    found = check_pictures("place", names(len(pictures)), [picture_trace(picture) for picture in pictures])
    return {finding.kind: finding for finding in found}


def of_faces(track: np.ndarray) -> dict[str, Finding]:
    found = check_faces("place", names(len(track)), [landmark_trace(face) for face in track])
    return {finding.kind: finding for finding in found}


@pytest.mark.parametrize(
    "source",
    [
        open_street(StreetConfig(height=32, width=64, speed_min=30.0, speed_max=30.0, sway=3.0), "train"),
        open_street(StreetConfig(height=32, width=64, fps=5.0), "train"),
        open_faces(FacesConfig(height=32, width=32, movement=1.5, expression=1.25), "train"),
    ],
)
def test_the_procedural_worlds_at_their_wildest_raise_no_alarm(source):
    for sequence in range(2):
        assert of_pictures(pictures_of(source, sequence, 7)) == {}
        if isinstance(source.config, FacesConfig):
            assert of_faces(source.landmarks(ClipRequest(sequence=sequence, start=0, length=12))) == {}


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"{SHARED} is not there")
@pytest.mark.parametrize(
    ("clip", "kind"),
    [
        ("face", LandmarksConfig()),
        ("street", SegMapsConfig()),
        ("pose", SegMapsConfig(folder="human_instance_maps", num_classes=1)),
    ],
)
def test_real_clips_raise_no_alarm(clip, kind):
    config = FolderConfig(root=str(SHARED / clip), labels=(kind,), flow=NoFlowConfig())
    assert check_folder(config, declared=False).findings == ()


@settings(max_examples=20, deadline=None)
@given(cut=st.integers(1, 11))
def test_a_cut_is_found_where_it_is(streets, cut):
    found = of_pictures([*streets[0][:cut], *streets[1][cut:]])
    assert list(found) == ["cuts"]
    assert found["cuts"].what.endswith(f"at a cut: between {cut - 1:04d} and {cut:04d}")


def test_one_foreign_picture_is_two_cuts_and_a_turn_of_the_camera_is_none(streets):
    foreign = [*streets[0][:5], streets[1][0], *streets[0][6:]]
    assert "between 0004 and 0005, between 0005 and 0006" in of_pictures(foreign)["cuts"].what
    still = [np.full((32, 64, 3), 100 + frame % 2, np.uint8) for frame in range(20)]
    turn = [np.full((32, 64, 3), 100 + 15 * frame, np.uint8) for frame in range(1, 10)]
    assert of_pictures([*still, *turn]) == {}


def test_repeated_frames_are_counted_and_named(streets):
    repeated = [picture for picture in streets[0][:8] for _ in range(2)]  # 12 pictures a second written as 24
    found = of_pictures(repeated)
    assert list(found) == ["repeated frames"]
    assert "8 of 16 frames repeat the picture before them: 0001, 0003, 0005, 0007, 0009 and 3 more" in (
        found["repeated frames"].what
    )


def test_pictures_that_come_again_later_are_counted_and_named(streets):
    there_and_back = [*streets[0][:5], *streets[0][3::-1]]
    found = of_pictures(there_and_back)
    assert list(found) == ["pictures that come again"]
    assert "4 of 9 frames show a picture that was there earlier already: 0005, 0006, 0007, 0008" in (
        found["pictures that come again"].what
    )


def test_labels_that_never_change_while_pictures_do(streets):
    pictures = [picture_trace(picture) for picture in streets[0]]
    still = [Trace(digest=3) for _ in pictures]
    (finding,) = check_labels("place", still, pictures)
    assert finding.what == "the labels of all 12 frames are the same, while the pictures change"
    assert list(check_labels("place", still, [pictures[0]] * 12)) == []
    changed = [*still[:-1], Trace(digest=4)]
    assert list(check_labels("place", changed, pictures)) == []
    nothing_opened = [None] * 12
    assert list(check_labels("place", nothing_opened, nothing_opened)) == []


def test_faces_that_jump_are_found_between_their_frames(people):
    other = people[0] + np.array([40.0, 0.0])
    found = of_faces(np.concatenate([people[0][:4], other[4:7], people[0][7:]]))
    assert list(found) == ["landmarks that jump"]
    assert "between 0003 and 0004, between 0006 and 0007" in found["landmarks that jump"].what
    middle = people[0].mean(axis=(0, 1))
    larger = np.concatenate([people[0][:6], middle + 2 * (people[0][6:] - middle)])
    assert "size changes 2.0-fold" in of_faces(larger)["landmarks that jump"].what
    turned = np.concatenate([people[0][:6], 2 * middle - people[0][6:]])
    assert "upside down" in of_faces(turned)["landmarks that jump"].what


@pytest.mark.parametrize("frames", [slice(3, 5), slice(None)])
def test_right_and_left_exchanged_are_found(people, frames):
    swapped = people[1].copy()
    swapped[frames] = swapped[frames][:, MIRROR]
    (finding,) = of_faces(swapped).values()
    count = len(swapped[frames])
    assert finding.what.startswith(f"right and left of the face are exchanged in {count} of 12 frames: ")
    assert f"{range(12)[frames][0]:04d}" in finding.what
    mirrored = people[1] * np.array([-1, 1]) + np.array([64, 0])  # as a mirrored picture's, with the numbers of before
    assert all(map(is_mirrored, mirrored))
    assert not any(map(is_mirrored, mirrored[:, MIRROR]))


def test_a_landmark_that_leaves_its_face_and_points_in_another_order_are_jumps(people):
    lone = people[0].copy()
    lone[5, 30] += 2.0 * face_size(lone[5])
    assert "landmark 30 moves by" in of_faces(lone)["landmarks that jump"].what
    mixed = people[0].copy()
    mixed[5] = np.random.default_rng(0).permutation(mixed[5])
    assert "between 0004 and 0005, between 0005 and 0006" in of_faces(mixed)["landmarks that jump"].what


@pytest.mark.parametrize("sigma", [0.7, 1.0, 4.0])
def test_smoothing_does_not_reach_across_a_jump(people, sigma):
    here, there = people[0][:6], people[0][6:] + np.array([50.0, 0.0])
    both = np.concatenate([here, there])
    made = smoothed(lambda frame: both[frame], range(12), 12, sigma)
    alone = [smoothed(lambda frame, part=part: part[frame], range(6), 6, sigma) for part in (here, there)]
    assert np.array_equal(made, np.concatenate(alone))
    assert np.array_equal(made[4:8], smoothed(lambda frame: both[frame], range(4, 8), 12, sigma))
    assert jump_between(both[5], both[6]) is not None


def test_faults_in_a_folder_are_warnings_with_their_place(folder):
    root = folder({"a": 6, "b": 6})
    images, maps = root / "images", root / "seg_maps"
    (images / "a" / "0003.png").write_bytes((images / "a" / "0002.png").read_bytes())
    for frame in range(6):
        cv2.imwrite(str(maps / "b" / f"{frame:04d}.png"), np.zeros((48, 80), np.uint8))
    report = check_folder(root)
    assert report.errors == ()
    assert {finding.file: finding.kind for finding in report.findings} == {
        str(images / "a"): "repeated frames",
        str(maps / "b"): "labels that never change",
    }
    assert check_folder(root, every=2).findings[0].kind == "labels that never change"
