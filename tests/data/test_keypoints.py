"""Keypoints: files of every format, who is followed, how points are smoothed, drawn, mirrored and checked."""

import json
import math
import pickle
import re
from pathlib import Path
from typing import Any

import attrs
import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from vs_config import ConfigError, load_config
from vs_data import (
    AugmentConfig,
    ClipRequest,
    DataError,
    FolderConfig,
    KeypointsConfig,
    NoFlowConfig,
    check_folder,
    collate,
    open_folder,
    open_labels,
    open_references,
)
from vs_data.keypoint_files import Person, read_people
from vs_data.people import choose, follow_all, smoothed_poses
from vs_data.sequences import LabelRequest
from vs_data.skeletons import (
    BUILT_IN,
    COCO17,
    MEDIAPIPE33,
    OPENPOSE,
    OPENPOSE_BODY25,
    OPENPOSE_COCO18,
    draw_skeleton,
)

SIZE = (64, 96)
REAL = Path(__file__).resolve().parents[3] / "shared" / "data" / "pose"


def standing(x: float = 48.0, y: float = 6.0, height: float = 52.0) -> NDArray[np.float64]:
    """A body in BODY_25 order that faces us, so that its right side is on the left: (25, 3)."""
    u, v = np.array(
        [
            *[
                (0, 0.07),
                (0, 0.18),
                (-0.1, 0.19),
                (-0.16, 0.34),
                (-0.18, 0.48),
                (0.1, 0.19),
                (0.16, 0.34),
                (0.18, 0.48),
            ],
            *[(0, 0.5), (-0.07, 0.5), (-0.08, 0.73), (-0.08, 0.95), (0.07, 0.5), (0.08, 0.73), (0.08, 0.95)],
            *[(-0.02, 0.05), (0.02, 0.05), (-0.04, 0.06), (0.04, 0.06)],
            *[(0.11, 0.99), (0.13, 0.98), (0.07, 0.97), (-0.11, 0.99), (-0.13, 0.98), (-0.07, 0.97)],
        ]
    ).T
    return np.stack([x + u * height, y + v * height, np.full(25, 0.9)], axis=1)


def openpose(*people: NDArray[np.float64], **more: Any) -> dict[str, Any]:
    return {
        "version": 1.3,
        "people": [{"person_id": [-1], "pose_keypoints_2d": p.ravel().tolist(), **more} for p in people],
    }


def write(root: Path, frames: list[Any], folder: str = "poses-openpose", size: tuple[int, int] = SIZE) -> Path:
    for kind in ("images", folder):
        (root / kind / "a").mkdir(parents=True)
    for index, content in enumerate(frames):
        picture = np.full((*size, 3), 10 * index + 5, np.uint8)
        cv2.imwrite(str(root / "images" / "a" / f"{index:03d}.png"), picture)
        (root / folder / "a" / f"{index:03d}.json").write_text(json.dumps(content))
    return root


def folder_of(root: Path, kind: KeypointsConfig | None = None, **more: Any) -> FolderConfig:
    kind = kind or KeypointsConfig(skeleton="body25")
    plain = {"height": SIZE[0], "width": SIZE[1], "flow": NoFlowConfig(), "labels": (kind,)}
    return FolderConfig(root=str(root), **{**plain, **more})


def label(root: Path, kind: KeypointsConfig | None = None, length: int = 2) -> NDArray[np.float32]:
    clip = open_folder(folder_of(root, kind), "val").read(ClipRequest(sequence=0, start=0, length=length))
    return clip.labels["poses-openpose"].numpy()


def read(tmp_path: Path, content: Any, skeleton: Any = OPENPOSE_BODY25, **more: Any) -> tuple[Person, ...]:
    path = tmp_path / "frame.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return read_people(path, skeleton, SIZE, **more)


def test_openpose_files_hold_body_face_and_hands(tmp_path: Path) -> None:
    face, left, right = (np.arange(3.0 * n).reshape(n, 3) / n % 1 + 10 for n in (70, 21, 21))
    content = openpose(
        standing(),
        face_keypoints_2d=face.ravel().tolist(),
        hand_left_keypoints_2d=left.ravel().tolist(),
        hand_right_keypoints_2d=right.ravel().tolist(),
    )
    [person] = read(tmp_path, content, OPENPOSE)
    np.testing.assert_allclose(person.points, np.concatenate([standing(), face, left, right]))
    assert person.number is None


def test_old_openpose_files_and_those_of_coco18_fill_their_places(tmp_path: Path) -> None:
    order = [OPENPOSE_BODY25.points.index(name) for name in OPENPOSE_COCO18.points]
    body = standing()[order]
    [person] = read(tmp_path, {"version": 0.1, "people": [{"pose_keypoints": body.ravel().tolist()}]})
    np.testing.assert_allclose(person.points[order], body)
    np.testing.assert_allclose(person.points[8, :2], standing()[[9, 12], :2].mean(axis=0))
    assert (person.points[19:] == 0).all()


def test_plain_lists_have_one_point_for_each_of_the_skeleton(tmp_path: Path) -> None:
    pairs = standing()[:, :2].tolist()
    [person] = read(tmp_path, pairs)
    np.testing.assert_allclose(person.points[:, :2], pairs)
    assert (person.points[:, 2] == 1).all()
    [doubted] = read(tmp_path, [[x, y, 0.0 if index == 3 else 0.4] for index, (x, y) in enumerate(pairs)])
    assert (doubted.points[3] == 0).all()
    assert (np.delete(doubted.points, 3, axis=0)[:, 2] == 0.4).all()


@pytest.mark.parametrize("shape", ["annotations", "results", "one"])
def test_coco_keypoints_count_as_seen_when_they_are_labelled(tmp_path: Path, shape: str) -> None:
    points = np.concatenate([np.arange(34.0).reshape(17, 2) + 3, np.array([0, 1, 2] * 6)[:17, None]], axis=1)
    person = {"keypoints": points.ravel().tolist(), "track_id": 4}
    [found] = read(
        tmp_path, {"annotations": {"annotations": [person]}, "results": [person], "one": person}[shape], COCO17
    )
    np.testing.assert_array_equal(found.points[:, 2], np.minimum(points[:, 2], 1))
    there = points[:, 2] > 0
    np.testing.assert_array_equal(found.points[there, :2], points[there, :2])
    assert found.number == 4


def test_landmarks_of_mediapipe_are_parts_of_the_picture(tmp_path: Path) -> None:
    marks = [{"x": 0.25, "y": 0.5, "z": 0.1, "visibility": 0.0 if index == 7 else 0.8} for index in range(33)]
    for content in (marks, [marks], {"pose_landmarks": [marks]}, {"landmarks": marks}):
        [person] = read(tmp_path, content, MEDIAPIPE33)
        assert person.points[0] == pytest.approx([0.25 * SIZE[1] - 0.5, 0.5 * SIZE[0] - 0.5, 0.8])
        assert (person.points[7] == 0).all()
    assert read(tmp_path, {"pose_landmarks": []}, MEDIAPIPE33) == ()
    [pixels] = read(tmp_path, marks, MEDIAPIPE33, units="pixels")
    assert pixels.points[0] == pytest.approx([0.25, 0.5, 0.8])


BAD = {
    "not JSON": "{",
    "no keypoints": {"shapes": []},
    "a number": 3,
    "too few points": [[1, 2]] * 24,
    "no pairs": [[1, 2, 3, 4]] * 25,
    "truth values": [[True, False]] * 25,
    "infinite": [[1e999, 2]] * 25,
    "a body of other points": openpose(np.zeros((24, 3))),
    "a torn list": {"people": [{"pose_keypoints_2d": [1, 2]}]},
    "no body": {"people": [{"face_keypoints_2d": []}]},
    "far outside": [[20000, 5]] * 25,
    "words": {"landmarks": [{"x": "a", "y": 2}]},
    "too many people": {"people": [{}] * 1001},
    "another face": openpose(standing(), face_keypoints_2d=[1.0] * 9),
    "a face that is no list": openpose(standing(), face_keypoints_2d=5),
}


@pytest.mark.parametrize("content", BAD.values(), ids=BAD)
def test_bad_files_are_an_error_of_one_line(tmp_path: Path, content: Any) -> None:
    with pytest.raises(DataError) as caught:
        read(tmp_path, content)
    assert str(tmp_path / "frame.json") in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.fix


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (math.nan, "point 2 of person 0 is at x=nan, y=4, confidence 0.5: not finite"),
        (1e8, "point 2 of person 0 is at x=1e+08, y=4, confidence 0.5: beyond any picture"),
    ],
)
def test_a_number_that_can_be_none_is_said_with_its_place(tmp_path: Path, number: float, message: str) -> None:
    points = np.zeros((25, 3))
    points[2] = number, 4, 0.5
    with pytest.raises(DataError, match=re.escape(message)):
        read(tmp_path, {"people": [{"pose_keypoints_2d": points.ravel().tolist()}]})


@settings(deadline=None, max_examples=30)
@given(
    data=st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=3),
        lambda x: (
            st.lists(x)
            | st.dictionaries(
                st.sampled_from(
                    [
                        *("people", "pose_keypoints_2d", "hand_left_keypoints_2d", "person_id"),
                        *("keypoints", "annotations", "track_id", "landmarks", "x", "y", "visibility"),
                    ]
                ),
                x,
            )
        ),
        max_leaves=8,
    )
)
def test_whatever_json_a_file_holds_it_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, data: Any) -> None:
    path = tmp_path_factory.mktemp("any") / "frame.json"
    path.write_text(json.dumps(data))
    try:
        people = read_people(path, OPENPOSE_BODY25, SIZE)
    except DataError:
        return
    assert all(person.points.shape == (25, 3) and np.isfinite(person.points).all() for person in people)


def person(points: NDArray[np.float64], number: int | None = None) -> Person:
    return Person(points=points, number=number)


def test_the_largest_the_nearest_or_a_number_is_followed() -> None:
    near, far = standing(20), standing(70, height=40)
    both = [person(near, 1), person(far, 2)]
    assert choose(both, "largest", 0, None) is near
    assert choose(both, "nearest", 0, None) is near
    assert choose(both, "nearest", 0, standing(66, height=41)) is far
    assert choose(both, "number", 2, None) is far
    assert choose(both, "number", 3, None) is None
    assert choose([], "largest", 0, None) is None
    assert choose([person(np.zeros((25, 3)))], "largest", 0, None) is None


@given(order=st.lists(st.booleans(), min_size=2, max_size=8), gap=st.integers(0, 7))
def test_whoever_is_followed_stays_followed_in_whatever_order_a_file_has_people(order: list[bool], gap: int) -> None:
    frames, truth = [], []
    for index, swapped in enumerate(order):
        mine, other = standing(20 + index, height=50 - index), standing(75 - index, height=44 + index)
        people = [person(other), person(mine)] if swapped else [person(mine), person(other)]
        frames.append([] if index == gap and index else people)
        truth.append(np.zeros((25, 3)) if index == gap and index else mine)
    np.testing.assert_array_equal(follow_all(frames, 25, "nearest", 0), np.stack(truth))


@given(seed=st.integers(0, 1000), sigma=st.floats(0.0, 4.0))
def test_smoothing_keeps_who_moves_evenly_and_what_is_absent(seed: int, sigma: float) -> None:
    rng = np.random.default_rng(seed)
    total = 40
    track = np.stack([standing(20 + 0.5 * t) for t in range(total)])
    track[rng.random((total, 25)) < 0.1] = 0
    track[:, 3] = np.stack([standing(20 + 0.5 * t)[3] for t in range(total)])
    smooth = smoothed_poses(lambda frame: track[frame], range(14, 26), total, sigma)
    np.testing.assert_array_equal(smooth[..., 2], track[14:26, :, 2])
    np.testing.assert_allclose(smooth[:, 3], track[14:26, 3], atol=1e-9)
    one = smoothed_poses(lambda frame: track[frame], [20], total, sigma)
    np.testing.assert_allclose(one[0], smooth[6])


def test_smoothing_never_crosses_a_jump_nor_a_gap_with_a_jump_in_it() -> None:
    track = np.stack([*[standing(20)] * 4, np.zeros((25, 3)), *[standing(80)] * 4])
    smooth = smoothed_poses(lambda frame: track[frame], range(9), 9, 3.0)
    np.testing.assert_allclose(smooth, track, atol=1e-9)


def test_the_label_is_the_drawing_of_the_points_at_the_final_size(tmp_path: Path) -> None:
    root = write(tmp_path, [openpose(standing()), openpose(standing(50))])
    np.testing.assert_array_equal(label(root)[0], draw_skeleton(standing(), OPENPOSE_BODY25, SIZE))
    clip = open_folder(folder_of(root, height=32, width=48), "val").read(ClipRequest(sequence=0, start=0, length=2))
    half = standing()
    half[:, :2] = (half[:, :2] + 0.5) / 2 - 0.5
    wanted = draw_skeleton(half, OPENPOSE_BODY25, (32, 48))
    np.testing.assert_allclose(clip.labels["poses-openpose"][0].numpy(), wanted, atol=1e-5)


def test_limbs_have_channels_of_their_own_where_that_is_asked_for(tmp_path: Path) -> None:
    root = write(tmp_path, [openpose(standing())] * 2)
    config = folder_of(root, KeypointsConfig(channels="limbs"))
    source = open_folder(config, "val")
    maps = source.read(ClipRequest(sequence=0, start=0, length=1)).labels["poses-openpose"]
    assert source.label_kinds["poses-openpose"].channels == maps.shape[1] == 27
    assert (maps.amax((0, 2, 3))[:24] > 0.5).all()
    assert maps[:, 24:].max() == 0


def test_a_mirrored_clip_is_that_of_a_mirrored_person(tmp_path: Path) -> None:
    """Whose right arm is where its left one was: colours belong to the side of the person that is seen."""
    root = write(tmp_path, [openpose(standing(40))] * 2)
    flipped = folder_of(root, augment=AugmentConfig(flip=1.0))
    clip = open_folder(flipped, "train").read(ClipRequest(sequence=0, start=0, length=1))
    other = standing(SIZE[1] - 1 - 40)
    np.testing.assert_allclose(
        clip.labels["poses-openpose"][0].numpy(), draw_skeleton(other, OPENPOSE_BODY25, SIZE), atol=1e-5
    )


def test_points_of_little_confidence_are_not_drawn(tmp_path: Path) -> None:
    doubtful = standing()
    doubtful[4, 2] = 0.03
    wanted = doubtful.copy()
    wanted[4] = 0
    root = write(tmp_path, [openpose(doubtful)] * 2)
    np.testing.assert_array_equal(label(root)[0], draw_skeleton(wanted, OPENPOSE_BODY25, SIZE))
    sure = label(root, KeypointsConfig(skeleton="body25", min_confidence=0.0))
    np.testing.assert_array_equal(sure[0], draw_skeleton(doubtful, OPENPOSE_BODY25, SIZE))


def test_a_frame_without_anybody_is_empty_and_the_check_counts_it(tmp_path: Path) -> None:
    root = write(tmp_path, [openpose(standing()), openpose(), openpose(standing(49))])
    assert label(root, length=3)[1].max() == 0
    report = check_folder(folder_of(root))
    [finding] = [finding for finding in report.findings if finding.kind == "frames without anybody"]
    assert "nobody is in 1 of 3 frames: 001" in finding.what


def test_the_check_tells_when_another_person_is_followed(tmp_path: Path) -> None:
    root = write(tmp_path, [openpose(standing(15)), openpose(standing(80))])
    nearest = folder_of(root, KeypointsConfig(skeleton="body25", follow="nearest"))
    assert check_folder(nearest).findings == ()
    report = check_folder(folder_of(root))
    assert [finding.kind for finding in report.findings if "another person" in finding.what] == ["people who jump"]


def test_ones_own_skeleton_is_drawn_by_its_limbs(tmp_path: Path) -> None:
    document = {
        "root": str(write(tmp_path, [[[10, 30], [80, 30], [40, 50, 0.0]]] * 2, folder="rod")),
        "height": SIZE[0],
        "width": SIZE[1],
        "labels": [
            {
                "kind": "keypoints",
                "folder": "rod",
                "own": {
                    "points": ["left end", "right end", "top"],
                    "limbs": [
                        {"ends": ["left end", "right end"], "colour": [0.0, 0.5, 1.0], "width": 8.0},
                        {"ends": ["top", "right end"]},
                    ],
                },
            }
        ],
        "flow": {"kind": "none"},
    }
    config = load_config(FolderConfig, document)
    drawn = open_folder(config, "val").read(ClipRequest(sequence=0, start=0, length=1)).labels["rod"][0]
    assert drawn[:, 30, 40].tolist() == pytest.approx([0.0, 0.5, 1.0])
    assert drawn[2, :, 45].sum() == pytest.approx(8.0 * 0.5)  # pixels at half the size that widths are for
    assert drawn[:, 50, 40].max() == 0
    document["labels"][0]["own"]["limbs"][1]["ends"] = ["top", "bottom"]
    with pytest.raises(ConfigError, match="two of the names in points"):
        load_config(FolderConfig, document)


@pytest.mark.parametrize(("follow", "number"), [("number", None), ("largest", 3)])
def test_a_number_is_given_when_it_is_followed_and_only_then(follow: Any, number: int | None) -> None:
    with pytest.raises(ConfigError, match="number"):
        KeypointsConfig(follow=follow, number=number)


def test_references_are_drawn_as_frames_of_the_clip_and_workers_change_no_batch(tmp_path: Path) -> None:
    root = write(tmp_path, [openpose(standing(30 + 3 * t)) for t in range(6)])
    kind = KeypointsConfig(skeleton="body25", smoothing=1.0, follow="nearest")
    config = folder_of(root, kind, augment=AugmentConfig(flip=0.5, scale=0.2))
    source = open_folder(config, "train")
    clip = source.read(ClipRequest(sequence=0, start=2, length=2, seed=5, references=(3, 0)))
    assert clip.references is not None
    assert torch.equal(clip.references.labels["poses-openpose"][0], clip.labels["poses-openpose"][1])
    there = pickle.loads(pickle.dumps(source))
    again = there.read(ClipRequest(sequence=0, start=2, length=2, seed=5, references=(3, 0)))
    assert torch.equal(again.labels["poses-openpose"], clip.labels["poses-openpose"])
    assert torch.equal(again.boxes["face"], clip.boxes["face"])
    batch = collate([clip, again])
    assert batch.boxes["hand"].shape == (2, 2, 2, 4)


def loose(root: Path, kind: KeypointsConfig, **more: Any) -> NDArray[np.float32]:
    """Read labels as a stream does, which knows of no pictures but those of the subject."""
    [sequence] = open_labels(str(root), LabelRequest(kinds=(kind,), size=SIZE, **more))
    return np.stack([frame.labels["poses-openpose"].numpy() for frame in sequence.read()])


def test_loose_files_are_drawn_as_in_training(tmp_path: Path) -> None:
    kind = KeypointsConfig(skeleton="body25", smoothing=1.0)
    root = write(tmp_path, [openpose(standing(40 + 2 * t)) for t in range(3)])
    np.testing.assert_allclose(loose(root / "poses-openpose" / "a", kind), label(root, kind, 3), atol=1e-6)


def test_a_stream_of_a_driver_shows_the_subject_wherever_the_driver_is(tmp_path: Path) -> None:
    kind = KeypointsConfig(skeleton="body25")
    subject = write(tmp_path / "subject", [openpose(standing(30, height=40))] * 2)
    request = LabelRequest(kinds=(kind,), size=SIZE)
    known = open_references(str(subject / "images" / "a"), request)
    driver = write(tmp_path / "driver", [openpose(standing(500, 300, height=400))] * 2, size=(900, 900))
    drawn = loose(driver / "poses-openpose" / "a", kind, subject=known)
    np.testing.assert_allclose(drawn[0], draw_skeleton(standing(30, height=40), OPENPOSE_BODY25, SIZE), atol=1e-4)


def test_nobody_can_be_no_subject(tmp_path: Path) -> None:
    kind = KeypointsConfig(skeleton="body25")
    root = write(tmp_path, [openpose()] * 2)
    with pytest.raises(DataError, match=r"a: nobody is in any of its frames.*; take another sequence as the subject"):
        open_references(str(root / "images" / "a"), LabelRequest(kinds=(kind,), size=SIZE))


def test_parts_of_pictures_that_nobody_said_to_be_some_are_an_error(tmp_path: Path) -> None:
    part = standing()
    part[:, :2] = (part[:, :2] + 0.5) / (SIZE[1], SIZE[0])
    with pytest.raises(DataError, match="in the first pixel of the picture; set units = 'normalised'"):
        read(tmp_path, openpose(part))
    assert read(tmp_path, openpose(part), units="normalised")[0].points[0] == pytest.approx(standing()[0])
    part[2:] = 0
    assert len(read(tmp_path, openpose(part))) == 1


def test_parts_of_pictures_are_read_by_those_beside_or_by_the_size_that_is_given(tmp_path: Path) -> None:
    kind = KeypointsConfig(skeleton="body25", units="normalised")
    part = standing()
    part[:, :2] = (part[:, :2] + 0.5) / (SIZE[1], SIZE[0])
    root = write(tmp_path, [openpose(part)] * 2)
    wanted = draw_skeleton(standing(), OPENPOSE_BODY25, SIZE)
    np.testing.assert_allclose(label(root, kind)[0], wanted, atol=1e-4)
    np.testing.assert_allclose(loose(root / "poses-openpose", kind)[0], wanted, atol=1e-4)


def test_a_driver_who_comes_later_is_drawn_as_one_who_is_there_from_the_start(tmp_path: Path) -> None:
    """Points that are parts of a picture know its shape in either case."""
    kind = KeypointsConfig(skeleton="mediapipe33")
    marks = [{"x": 0.3 + 0.01 * index, "y": 0.2 + 0.02 * (index % 7)} for index in range(33)]
    subject = write(tmp_path / "subject", [{"pose_landmarks": [marks]}] * 2)
    known = open_references(str(subject / "images" / "a"), LabelRequest(kinds=(kind,), size=SIZE))
    drawn = [
        loose(write(tmp_path / name, frames, size=(200, 64)), kind, subject=known)
        for name, frames in {
            "later": [{"pose_landmarks": []}, {"pose_landmarks": [marks]}],
            "always": [{"pose_landmarks": [marks]}] * 2,
        }.items()
    ]
    assert drawn[0][0].max() == 0
    assert drawn[1].max() > 0.5
    np.testing.assert_allclose(drawn[0][1], drawn[1][1], atol=1e-6)


@pytest.mark.skipif(not REAL.is_dir(), reason="the clip of a dancer is not there")
def test_a_real_clip_of_openpose_is_read_and_drawn() -> None:
    config = folder_of(REAL, KeypointsConfig(smoothing=1.0), height=128, width=128)
    clip = open_folder(config, "val").read(ClipRequest(sequence=0, start=0, length=5))
    drawn = clip.labels["poses-openpose"]
    assert drawn.shape == (5, 3, 128, 128)
    assert (drawn.amax(1) > 0.5).float().mean((1, 2)).min() > 0.005
    assert (drawn[1:] - drawn[:-1]).abs().mean() < 0.01
    assert all((boxes[..., 2] > boxes[..., 0]).any() for boxes in clip.boxes.values())


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_built_in_skeleton_can_be_configured(name: Any) -> None:
    assert attrs.asdict(KeypointsConfig(skeleton=name))["skeleton"] == name
