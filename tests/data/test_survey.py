"""Data that nobody describes: of which kind labels are is told by what is in their files."""

import json
import os
from pathlib import Path

import attrs
import cv2
import numpy as np
import pytest
from conftest import block_ids, texture_picture
from flow_examples import write_in_front, write_kitti, write_moving
from label_examples import EXAMPLES, FRAMES, SIZE, Example, write_examples
from video_files import write_video
from vs_data import (
    DataError,
    DenseposeConfig,
    EdgesConfig,
    FlowFilesConfig,
    FolderConfig,
    ForwardBackwardConfig,
    ImageConfig,
    InstancesConfig,
    KeypointsConfig,
    LandmarksConfig,
    NoFlowConfig,
    OcclusionConfig,
    SegMapsConfig,
    StreetConfig,
    VideoConfig,
    check_folder,
    open_source,
    write_folder,
)
from vs_data.labels import LabelKind
from vs_data.survey import Survey, place_at, survey

WITH_FILES = {name: example for name, example in EXAMPLES.items() if example.write is not None}


def looked_at(root: Path) -> Survey:
    return survey(place_at(str(root)))


def kind_in(root: Path) -> LabelKind:
    (guess,) = looked_at(root).labels
    return guess.kind


@pytest.mark.parametrize("name", WITH_FILES)
def test_a_kind_of_label_is_told_by_its_files_and_reads_them(name: str, tmp_path: Path) -> None:
    example = WITH_FILES[name]
    write_examples(tmp_path, example, sequences=("a", "b"))
    kind = kind_in(tmp_path)
    assert (type(kind), kind.folder) == (type(example.kind), example.kind.folder)
    config = FolderConfig(root=str(tmp_path), labels=(kind,), flow=NoFlowConfig())
    assert check_folder(config).errors == ()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ids", {"num_classes": 12, "colours": None}),
        ("codes", {"colours": "cityscapes"}),
        ("own colours", {"colours": "ade20k", "map": "ade20k-150"}),
        ("mapped", {"num_classes": 12, "map": tuple((1000 * k, k) for k in range(12))}),
        ("body", {"skeleton": "coco17"}),
        ("normals", {"flip_sign": (0,)}),
        ("depth", {"channels": 1, "minimum": 2.0, "log": True}),
        ("depth of 16 bits", {"channels": 1, "log": False}),
        ("motion", {"channels": 2}),
        ("panoptic", {"stored": "ids"}),
    ],
)
def test_what_a_kind_has_to_say_is_seen(name: str, expected: dict[str, object], tmp_path: Path) -> None:
    write_examples(tmp_path, EXAMPLES[name])
    kind = kind_in(tmp_path)
    assert {field: getattr(kind, field) for field in expected} == expected


def written(root: Path, folder: str, maps: list[np.ndarray]) -> Path:
    """Pictures and maps of one sequence; what is in RGB is written as such."""
    for place in ("images", folder):
        (root / place / "a").mkdir(parents=True)
    for frame, values in enumerate(maps):
        cv2.imwrite(str(root / "images" / "a" / f"{frame:03d}.png"), texture_picture(values.shape[:2], frame))
        pixels = values[..., ::-1] if values.ndim == 3 else values
        cv2.imwrite(str(root / folder / "a" / f"{frame:03d}.png"), pixels)
    return root


def test_a_mask_in_black_and_white_is_two_classes(tmp_path: Path) -> None:
    kind = kind_in(written(tmp_path, "mask", [255 * (block_ids(SIZE, 0) > 5).astype(np.uint8)] * 2))
    assert kind == SegMapsConfig(folder="mask", num_classes=2, ignore_id=None, map=((0, 0), (255, 1)))


def test_colours_of_nobody_are_listed_in_order(tmp_path: Path) -> None:
    table = np.array([[1, 2, 3], [200, 0, 7], [9, 90, 200]], np.uint8)
    kind = kind_in(written(tmp_path, "codes", [table[block_ids(SIZE, 0) % 3]] * 2))
    assert kind == SegMapsConfig(folder="codes", num_classes=3, colours=((1, 2, 3), (9, 90, 200), (200, 0, 7)))


def test_a_plain_rendering_is_a_picture_however_flat_it_is(tmp_path: Path) -> None:
    street = open_source(StreetConfig(height=64, width=128, labels="render"), "train")
    write_folder(street, tmp_path, sequences=1, max_frames=3)
    kinds = [guess.kind for guess in looked_at(tmp_path).labels if guess.kind.folder == "render"]
    assert kinds == [ImageConfig(folder="render")]


def test_ids_without_a_class_are_no_class_and_a_sample_is_a_question(tmp_path: Path, monkeypatch) -> None:
    maps = [np.where(block_ids(SIZE, 0) == 7, 255, block_ids(SIZE, 0)) for _ in range(9)]
    maps[4] = np.full(SIZE, 30, np.uint8)
    root = written(tmp_path, "seg_maps", maps)
    monkeypatch.setattr("vs_data.survey.holdings._SAMPLE", 2)  # the first and the last
    found = looked_at(root)
    assert found.labels[0].kind == SegMapsConfig(num_classes=12)
    assert found.all_questions == (
        "ids up to 11 were seen in 2 of 9 maps of seg_maps: set num_classes if there are more",
    )


def test_photographs_in_greys_are_no_ids(tmp_path: Path) -> None:
    assert kind_in(written(tmp_path, "seg_maps", [texture_picture(SIZE)[..., 0]] * 2)) == ImageConfig(
        folder="seg_maps", channels=1
    )


@pytest.mark.parametrize(
    ("people", "skeleton"),
    [
        ({"people": [{"pose_keypoints_2d": [20.0, 20.0, 0.9] * 25}]}, "openpose"),
        ({"annotations": [{"keypoints": [20.0, 20.0, 2.0] * 17}]}, "coco17"),
        ({"landmarks": [{"x": 0.5, "y": 0.5}] * 33}, "mediapipe33"),
        ([[20.0, 20.0]] * 25, "body25"),
        ([[20.0, 20.0, 0.5]] * 137, "openpose"),
    ],
)
def test_who_wrote_keypoints_is_seen(people: object, skeleton: str, tmp_path: Path) -> None:
    def write(path: Path, frame: int) -> None:
        path.write_text(json.dumps(people if frame else {"people": []}))

    write_examples(tmp_path, Example(kind=KeypointsConfig(folder="poses"), extension=".json", write=write))
    found = looked_at(tmp_path)
    assert found.labels[0].kind == KeypointsConfig(folder="poses", skeleton=skeleton)  # type: ignore[arg-type]
    assert any("nobody is in 1 of 3 files of poses" in question for question in found.all_questions)


@pytest.mark.parametrize(
    ("stored", "told"),
    [
        (
            [[20.0, 20.0, 1.0]] * 5,
            "holds 5 points, and built-in skeletons have 17, 25, 33, 67, 68, 137; "
            'name the points in data.labels as `kind = "keypoints"` with `own`, a skeleton of yours',
        ),
        ({"nose": [20.0, 20.0]}, "holds no points of people; expected [[x, y, confidence], ...] in pixels, or what "),
        (["sunny"] * 4, "holds no points of people; expected"),
    ],
)
def test_points_of_no_skeleton_are_told_with_what_to_do(stored: object, told: str, tmp_path: Path) -> None:
    def write(path: Path, _frame: int) -> None:
        path.write_text(json.dumps(stored))

    write_examples(tmp_path, Example(kind=KeypointsConfig(folder="poses"), extension=".json", write=write))
    (question,) = looked_at(tmp_path).all_questions
    assert question.startswith(f"poses was left out: {tmp_path / 'poses' / 'a' / '000.json'}: {told}")


def test_keypoints_in_parts_of_the_picture_are_normalised(tmp_path: Path) -> None:
    def write(path: Path, _frame: int) -> None:
        path.write_text(json.dumps([[0.1 + 0.02 * point, 0.5, 1.0] for point in range(17)]))

    write_examples(tmp_path, Example(kind=KeypointsConfig(folder="poses"), extension=".json", write=write))
    assert kind_in(tmp_path) == KeypointsConfig(folder="poses", skeleton="coco17", units="normalised")


def test_motion_is_flow_and_no_label_and_what_nobody_reads_is_told(tmp_path: Path) -> None:
    write_examples(tmp_path, EXAMPLES["ids"])
    for folder in ("motion", "notes", "half"):
        (tmp_path / folder / "a").mkdir(parents=True)
    for frame in range(FRAMES):
        np.savez(tmp_path / "motion" / "a" / f"{frame:03d}.npz", flow=np.zeros((2, *SIZE), np.float16))
        (tmp_path / "notes" / "a" / f"{frame:03d}.txt").write_text("sunny")
    np.save(tmp_path / "half" / "a" / "000.npy", np.zeros(SIZE, np.float32))
    found = looked_at(tmp_path)
    assert found.motion.flow == FlowFilesConfig(folder="motion")
    assert [guess.kind for guess in found.labels] == [SegMapsConfig(num_classes=12)]
    left_out = "".join(found.all_questions)
    assert "notes was left out: no kind of label reads files that end in '.txt'" in left_out
    assert "half was left out: " in left_out


@pytest.fixture
def moving(texture) -> list[np.ndarray]:
    return [np.roll(texture(SIZE, 3), (t, 3 * t), axis=(0, 1)) for t in range(4)]


@pytest.mark.parametrize("occluded", ["nonzero", "zero"])
def test_masks_of_what_is_hidden_belong_to_the_motion(occluded: str, moving, tmp_path: Path) -> None:
    write_moving(tmp_path, FlowFilesConfig(), ".flo", moving, (3, 1))
    (tmp_path / "occlusions" / "a").mkdir(parents=True)
    hidden = np.zeros(SIZE, np.uint8)
    hidden[:4] = 255
    for path in (tmp_path / "flow" / "a").iterdir():
        written = hidden if occluded == "nonzero" else 255 - hidden
        cv2.imwrite(str(tmp_path / "occlusions" / "a" / f"{path.stem}.png"), written)
    found = looked_at(tmp_path)
    how = OcclusionConfig(folder="occlusions", occluded=occluded)  # type: ignore[arg-type]
    assert found.motion.flow == FlowFilesConfig(confidence=how)
    assert [guess.kind.folder for guess in found.labels] == ["seg_maps"]


def test_flow_of_both_directions_is_trusted_where_it_leads_there_and_back(moving, tmp_path: Path) -> None:
    write_moving(tmp_path, FlowFilesConfig(), ".png", moving, (3, 1))
    for folder in ("flow_ahead", "flow_noc"):
        (tmp_path / folder / "a").mkdir(parents=True)
        for path in sorted((tmp_path / "images" / "a").iterdir())[:-1]:
            write_kitti(tmp_path / folder / "a" / path.name, np.full((*SIZE, 2), (3, 1), np.float32))
    found = looked_at(tmp_path)
    assert found.motion.flow == FlowFilesConfig(confidence=ForwardBackwardConfig(folder="flow_ahead"))
    assert found.all_questions == ("flow_noc was left out: more motion",)


def test_what_is_not_told_by_the_files_of_flow_is_told_by_the_frames(moving, texture, tmp_path: Path) -> None:
    way = FlowFilesConfig(units="normalised", y="up")
    assert looked_at(write_moving(tmp_path / "units", way, ".npy", moving, (3, 1))).motion.flow == way
    places = [((10 + 5 * t, 20), (40 - 2 * t, 40)) for t in range(6)]
    ground, thing = texture((144, 176), 1), texture((20, 30), 2)
    ahead = looked_at(write_in_front(tmp_path / "ahead", "forward", ground, thing, places))
    assert ahead.motion.flow == FlowFilesConfig(direction="forward")
    assert ahead.motion.questions[0].startswith("negate = true of data.flow explains the frames as well as direction")


def test_pictures_of_flow_are_pictures(moving, tmp_path: Path) -> None:
    found = looked_at(written(tmp_path, "flow_in_colours", moving))
    assert (found.motion.flow, found.labels[0].kind) == (None, ImageConfig(folder="flow_in_colours"))
    (tmp_path / "flow_in_colours").rename(tmp_path / "flow")
    found = looked_at(tmp_path)
    assert found.labels[0].kind == EdgesConfig()
    assert "flow was left out: " in found.all_questions[0]
    assert "is a picture of 8 bits, 3 channels, not flow" in found.all_questions[0]


def test_a_damaged_map_leaves_its_folder_out_by_name(tmp_path: Path) -> None:
    write_examples(tmp_path, EXAMPLES["ids"], EXAMPLES["face"])
    (tmp_path / "seg_maps" / "a" / "001.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    found = looked_at(tmp_path)
    assert [type(guess.kind) for guess in found.labels] == [LandmarksConfig]
    assert "seg_maps was left out: " in found.questions[0]
    assert "001.png" in found.questions[0]


def test_videos_of_labels_are_told_as_their_pictures_are(tmp_path: Path) -> None:
    frames = [texture_picture(SIZE, number) for number in range(4)]
    for name in "ab":
        write_video(tmp_path / f"{name}.mkv", frames, "libx264", "yuv420p")
        for folder, values in (("ids", [block_ids(SIZE, 0)] * 4), ("plain", frames)):
            (tmp_path / folder).mkdir(exist_ok=True)
            grey = values[0].ndim == 2
            codec, pixels = ("ffv1", "gray") if grey else ("libx264", "yuv420p")
            write_video(tmp_path / folder / f"{name}.mkv", values, codec, pixels)
    found = looked_at(tmp_path)
    kinds = [guess.kind for guess in found.labels]
    assert kinds == [SegMapsConfig(folder="ids", num_classes=12), ImageConfig(folder="plain")]
    assert found.seconds == pytest.approx((4 / 25, 4 / 25))
    assert looked_at(tmp_path / "a.mkv").sequences == found.sequences[:1]


def test_it_is_told_how_many_videos_have_been_opened_and_others_are_left_alone(tmp_path: Path, monkeypatch) -> None:
    frames = [block_ids(SIZE, number) for number in range(3)]
    for name in ("a.mkv", "b.mkv", "ids/a.mkv", "ids/b.mkv", "archive/c.mkv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write_video(tmp_path / name, frames, "ffv1", "gray")
    (tmp_path / "private").mkdir()
    listed = Path.iterdir

    def look_into(place: Path):
        if place.name == "private":
            raise PermissionError(13, "Permission denied", str(place))
        return listed(place)

    monkeypatch.setattr(Path, "iterdir", look_into)
    calls: list[tuple[str, int, int]] = []
    survey(place_at(str(tmp_path)), lambda *call: calls.append(call))
    assert calls == [*(("videos", done, 4) for done in range(4)), ("folders", 0, 1), ("folders", 1, 1)]
    calls.clear()
    found = survey(place_at(str(tmp_path / "a.mkv")), lambda *call: calls.append(call))
    assert calls[:2] == [("videos", 0, 2), ("videos", 1, 2)]
    assert [guess.kind for guess in found.labels] == [SegMapsConfig(folder="ids", num_classes=12)]


def test_a_folder_of_frames_is_a_video(tmp_path: Path) -> None:
    place = tmp_path / "walk.v1"
    place.mkdir()
    for number in (1, 2, 10):
        cv2.imwrite(str(place / f"{number}.png"), np.full((*SIZE, 3), number, np.uint8))
    found = looked_at(place)
    assert found.place.stored is VideoConfig
    assert ([info.name for info in found.sequences], found.order) == (["walk.v1"], "natural")
    assert [guess.kind for guess in found.labels] == [EdgesConfig()]
    config = VideoConfig(root=str(place), labels=(EdgesConfig(),), order="natural", height=32, width=48)
    source = open_source(config, "val")
    assert [(info.name, info.frames) for info in source.sequences] == [("walk.v1", 3)]


@pytest.mark.parametrize("inside", [False, True], ids=["train itself", "what holds it"])
def test_what_is_beside_the_training_data_is_held_out(inside: bool, tmp_path: Path) -> None:
    for split in ("train", "val"):
        write_examples(tmp_path / split, EXAMPLES["ids"])
    place = place_at(str(tmp_path / "train" if inside else tmp_path))
    assert (place.root, place.val_root) == (str(tmp_path / "train"), str(tmp_path / "val"))


def test_places_that_nothing_reads_say_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "my clips" / "a").mkdir(parents=True)
    with pytest.raises(DataError, match="holds no data; expected images/SEQUENCE"):
        place_at(str(tmp_path / "my clips"))
    cv2.imwrite(str(tmp_path / "my clips" / "a" / "0.png"), np.zeros((8, 8), np.uint8))
    with pytest.raises(DataError, match="in no folder images; `mkdir -p 'my clips-data' && ln -s "):
        place_at(str(tmp_path / "my clips"))
    with pytest.raises(DataError, match="no such file or folder"):
        place_at(str(tmp_path / "nothing"))
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(DataError, match="is no video"):
        place_at(str(tmp_path / "notes.txt"))
    os.mkfifo(tmp_path / "pipe.mp4")
    with pytest.raises(DataError, match=r"pipe\.mp4: is neither a file nor a folder; videos end in"):
        place_at(str(tmp_path / "pipe.mp4"))


def test_densepose_is_told_by_its_layout_whatever_its_folder_is_called(tmp_path: Path) -> None:
    parts = block_ids(SIZE, 0) * 2
    maps = np.where(parts[..., None] > 0, np.stack([parts * 3, parts * 5, parts], -1), 0).astype(np.uint8)
    assert kind_in(written(tmp_path, "surface", [maps] * 2)) == DenseposeConfig(folder="surface")


def test_instances_are_told_by_the_name_of_their_folder(tmp_path: Path) -> None:
    wide = block_ids(SIZE, 0).astype(np.uint16) * 1001
    assert kind_in(written(tmp_path, "gtFine_instanceIds", [wide] * 2)) == InstancesConfig(folder="gtFine_instanceIds")


@pytest.mark.parametrize("split", ["train", "val"])
def test_the_last_sequences_are_held_out(split, tmp_path: Path) -> None:
    write_examples(tmp_path, EXAMPLES["ids"], sequences=("a", "b", "c"))
    kind = SegMapsConfig(num_classes=12)
    config = FolderConfig(root=str(tmp_path), labels=(kind,), height=32, width=48, val_sequences=1)
    names = [info.name for info in open_source(config, split).sequences]
    assert names == {"train": ["a", "b"], "val": ["c"]}[split]
    elsewhere = attrs.evolve(config, val_root=str(tmp_path))
    assert len(open_source(elsewhere, split).sequences) == 3
    with pytest.raises(DataError, match="has 3 sequences, of which 3 are to be held out; choose fewer val_sequences"):
        open_source(attrs.evolve(config, val_sequences=3), split)
