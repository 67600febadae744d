"""Labels without pictures beside them: folders, videos, pipes and worlds give what training reads, frame by frame."""

import io
import json
import shutil
from pathlib import Path

import attrs
import av
import cv2
import numpy as np
import pytest
import torch
from vs_data import (
    ClipRequest,
    DataError,
    FaceCropConfig,
    FacesConfig,
    FolderConfig,
    LabelRequest,
    LandmarksConfig,
    NoFlowConfig,
    SegMapsConfig,
    StreetConfig,
    open_labels,
    open_references,
    open_source,
    write_folder,
)
from vs_data.pictures import read_rgb, write_png

H, W, FRAMES = 32, 64, 5
SEG, FACE = SegMapsConfig(), LandmarksConfig()
EXACT = LandmarksConfig(smoothing=0.0)
MAPS = LabelRequest(kinds=(SEG,), size=(H, W))
FACES = LabelRequest(kinds=(FACE,), size=(64, 64))


@pytest.fixture(scope="module")
def street(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("street")
    write_folder(
        open_source(StreetConfig(height=H, width=W, sequence_length=FRAMES, val_sequences=2), "val"), root, sequences=2
    )
    return root


@pytest.fixture(scope="module")
def people(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("people")
    config = FacesConfig(height=64, width=64, sequence_length=FRAMES, val_identities=2, motions=1)
    write_folder(open_source(config, "val"), root, sequences=2)
    return root


def read(source: str | Path, how: LabelRequest, **more: object) -> list[np.ndarray]:
    (sequence,) = open_labels(str(source), how, **more)
    return [frame.labels[how.kinds[0].folder].numpy() for frame in sequence.read()]


def truth(root: Path, kinds=(SEG,), sequence: int = 0, **more: object) -> list[np.ndarray]:
    """What training reads."""
    size = (H, W) if kinds == (SEG,) else (64, 64)
    config = FolderConfig(root=str(root), height=size[0], width=size[1], labels=kinds, flow=NoFlowConfig(), **more)
    clip = open_source(config, "val").read(ClipRequest(sequence=sequence, start=0, length=FRAMES))
    return list(clip.labels[kinds[0].folder].numpy())


def same(a: list[np.ndarray], b: list[np.ndarray]) -> bool:
    return len(a) == len(b) and all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def test_a_folder_is_read_as_a_data_folder_a_root_or_one_sequence(street):
    expected = truth(street)
    one = street / "seg_maps" / "street-500000"
    assert same(read(one, MAPS), expected)
    for root in (street, street / "seg_maps"):
        sequences = open_labels(str(root), MAPS)
        assert [(s.name, s.frames, s.size) for s in sequences] == [
            (f"street-50000{i}", FRAMES, (H, W)) for i in range(2)
        ]
        assert same([frame.labels["seg_maps"].numpy() for frame in sequences[0].read()], expected)
    assert len(read(one, attrs.evolve(MAPS, frames=2))) == 2


def test_maps_keep_their_own_size_and_frames_their_natural_order(tmp_path):
    for number in (10, 9, 1):
        write_png(tmp_path / f"{number}.png", np.full((20, 30), number, np.uint8))
    (sequence,) = open_labels(str(tmp_path), MAPS)
    assert sequence.size == (20, 30)
    assert [(f.name, int(f.labels["seg_maps"][0, 0])) for f in sequence.read()] == [("1", 1), ("9", 9), ("10", 10)]


def video(path: Path, frames: list[np.ndarray], codec: str, pixels: str, **options: str) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=10)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt, stream.codec_context.options = pixels, options
        for frame in frames:
            rgb = frame if frame.ndim == 3 else np.repeat(frame[..., None], 3, axis=2)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")))
        container.mux(stream.encode(None))
    return path


def numbered(count: int) -> list[np.ndarray]:
    """Frames whose number stands in every pixel of the left half."""
    frames = [np.full((H, W), 7, np.uint8) for _ in range(count)]
    for number, frame in enumerate(frames):
        frame[:, : W // 2] = number
    return frames


@pytest.mark.parametrize(("suffix", "codec", "pixels", "options"), [
    (".mkv", "ffv1", "bgr0", {}),
    (".mkv", "ffv1", "gray", {}),
    (".mp4", "libx264rgb", "rgb24", {"qp": "0", "bf": "3", "g": "30"}),
    (".mov", "png", "rgb24", {}),
])  # fmt: skip
def test_a_lossless_video_holds_the_ids_and_no_frame_is_off_by_one(tmp_path, suffix, codec, pixels, options):
    frames = numbered(30)
    path = video(tmp_path / f"x{suffix}", frames, codec, pixels, **options)
    assert same(read(path, MAPS), frames)
    (sequence,) = open_labels(str(path), MAPS)
    assert (sequence.name, sequence.size, sequence.fps) == ("x", (H, W), 10.0)
    assert [frame.where for frame in sequence.read()][4] == f"{path} frame 4"


def test_a_video_that_rounds_ids_is_refused_before_a_frame_is_read(tmp_path):
    lossy = video(tmp_path / "x.mp4", numbered(3), "libx264", "yuv420p")
    with pytest.raises(DataError, match="encoded as h264, which changes levels"):
        open_labels(str(lossy), MAPS)
    rounded = video(tmp_path / "x.mkv", numbered(3), "ffv1", "yuv420p")
    with pytest.raises(DataError, match="stores pixels as yuv420p, which rounds"):
        open_labels(str(rounded), MAPS)


def test_drawn_maps_may_come_from_any_video_and_255_is_one(tmp_path):
    drawn = [np.full((64, 64), level, np.uint8) for level in (0, 255)]
    maps = read(video(tmp_path / "x.mp4", drawn, "libx264", "yuv420p"), FACES)
    assert [m.shape for m in maps] == [(1, 64, 64)] * 2
    assert [float(m.mean()) for m in maps] == pytest.approx([0, 1], abs=0.02)


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_a_cut_video_gives_its_frames_and_then_one_line(tmp_path, suffix):
    codec = ("ffv1", "bgr0") if suffix == ".mkv" else ("libx264rgb", "rgb24")
    rng = np.random.default_rng(0)
    frames = [rng.integers(0, 35, (H, W), dtype=np.uint8) for _ in range(20)]
    options = {} if suffix == ".mkv" else {"qp": "0"}
    path = video(tmp_path / f"x{suffix}", frames, *codec, **options)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])
    found = []

    def everything():
        found.extend(frame.labels["seg_maps"].numpy() for frame in open_labels(str(path), MAPS)[0].read())

    with pytest.raises(DataError) as caught:
        everything()
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    assert same(found, frames[: len(found)])


def test_raw_bytes_come_as_they_come(street):
    class Dribble(io.BytesIO):
        def read(self, size: int = -1) -> bytes:
            return super().read(min(size, 100))

    expected = truth(street)
    assert same(read("-", MAPS, stdin=Dribble(b"".join(ids.tobytes() for ids in expected))), expected)
    cut = io.BytesIO(expected[0].tobytes() + expected[1].tobytes()[:-1])
    (sequence,) = open_labels("-", MAPS, stdin=cut)
    frames = sequence.read()
    assert np.array_equal(next(frames).labels["seg_maps"].numpy(), expected[0])
    with pytest.raises(DataError, match=f"frame 1: ends after {H * W - 1} of {H * W} bytes"):
        next(frames)
    with pytest.raises(DataError, match="holds no frames"):
        read("-", MAPS, stdin=io.BytesIO())


def test_several_kinds_in_a_pipe_follow_each_other(tmp_path):
    both = LabelRequest(kinds=(SEG, attrs.evolve(SEG, folder="parts", num_classes=9)), size=(2, 3))
    data = bytes(range(6)) + bytes([8] * 6)
    (sequence,) = open_labels("-", both, stdin=io.BytesIO(data))
    labels = next(sequence.read()).labels
    assert labels["seg_maps"].flatten().tolist() == list(range(6))
    assert labels["parts"].flatten().tolist() == [8] * 6


def test_ids_out_of_range_are_said_with_file_frame_and_pixel_when_their_turn_comes(tmp_path):
    frames = numbered(3)
    frames[1][4, 9] = 77
    (tmp_path / "maps").mkdir()
    for index, ids in enumerate(frames):
        write_png(tmp_path / "maps" / f"{index}.png", ids)
    sources = {
        str(tmp_path / "maps"): "maps/1.png",
        str(video(tmp_path / "x.mkv", frames, "ffv1", "bgr0")): "x.mkv frame 1",
    }
    for source, where in sources.items():
        labels = open_labels(source, MAPS)[0].read()
        next(labels)
        with pytest.raises(DataError, match=f"{where}: class id 77 at x=9, y=4 is out of range"):
            next(labels)


def test_worlds_are_reproducible_and_each_seed_another(street):
    one, again, other = (read(f"street:{seed}", attrs.evolve(MAPS, frames=3)) for seed in (3, 3, 4))
    assert same(one, again)
    assert not same(one, other)
    assert open_labels("faces:1", FACES)[0].frames == 60
    assert read("faces:1", attrs.evolve(FACES, frames=2))[0].shape == (1, 64, 64)


def test_landmarks_are_those_that_training_draws(people):
    name = sorted(path.name for path in (people / "landmarks-dlib68").iterdir())[0]
    assert same(read(people / "landmarks-dlib68" / name, FACES), truth(people, (FACE,)))
    crop = FaceCropConfig(margin=0.2)
    cropped = [
        frame.labels["landmarks-dlib68"].numpy()
        for frame in open_labels(str(people), attrs.evolve(FACES, face_crop=crop))[0].read()
    ]
    assert same(cropped, truth(people, (FACE,), face_crop=crop))


@pytest.mark.parametrize("crop", [None, FaceCropConfig(margin=0.2)])
def test_driven_labels_are_bit_for_bit_those_of_a_data_folder(people, tmp_path, crop):
    config = FolderConfig(root=str(people), height=64, width=64, labels=(FACE,), flow=NoFlowConfig(), face_crop=crop)
    source = open_source(config, "val")
    clip = source.read(ClipRequest(sequence=1, start=0, length=FRAMES, references=(2,), reference_sequence=0))
    how = attrs.evolve(FACES, face_crop=crop)
    subject = open_references(str(people), how)
    assert torch.equal(subject.references.frames, clip.references.frames)
    assert torch.equal(subject.references.labels[FACE.folder], clip.references.labels[FACE.folder])
    shutil.copytree(people / FACE.folder / source.sequences[1].name, tmp_path / "driver")
    driven = read(tmp_path / "driver", attrs.evolve(how, subject=subject))
    assert same(driven, list(clip.labels[FACE.folder].numpy()))


def photographs(people: Path, place: Path, count: int = 2) -> Path:
    place.mkdir()
    name = sorted(path.name for path in (people / "images").iterdir())[0]
    for index in range(count):
        for folder, suffix in (("images", ".png"), (FACE.folder, ".json")):
            shutil.copy(people / folder / name / f"{index:06d}{suffix}", place / f"{index:06d}{suffix}")
    return place


def test_photographs_come_one_by_one_in_a_folder_or_out_of_a_video(people, tmp_path):
    place = photographs(people, tmp_path / "photographs")
    files = ",".join(str(path) for path in sorted(place.glob("*.png")))
    named, folder = (open_references(source, FACES) for source in (files, str(place)))
    assert named.references.frames.shape == (2, 3, 64, 64)
    assert torch.equal(named.references.frames, folder.references.frames)
    assert torch.equal(named.references.labels[FACE.folder], folder.references.labels[FACE.folder])
    name = sorted(path.name for path in (people / "images").iterdir())[0]
    pictures = [read_rgb(people / "images" / name / f"{i:06d}.png") for i in range(FRAMES)]
    clip = video(tmp_path / "clip.mkv", pictures, "ffv1", "bgr0")
    shutil.copytree(people / FACE.folder / name, tmp_path / FACE.folder / "clip")
    filmed = open_references(f"{clip}:0-1", attrs.evolve(FACES, kinds=(EXACT,)))
    assert torch.equal(filmed.references.frames, named.references.frames)
    assert torch.equal(filmed.references.labels[FACE.folder], named.references.labels[FACE.folder])
    assert open_references(f"{clip}:1,4", FACES).references.frames.shape[0] == 2
    spread = open_references(str(clip), FACES, count=FRAMES).references.frames
    assert spread.shape[0] == FRAMES
    assert torch.equal(
        open_references(f"{clip}:0-{FRAMES - 1}", FACES, count=1).references.frames[0], spread[FRAMES // 2]
    )


@pytest.mark.parametrize("crop", [None, FaceCropConfig(margin=0.2)])
def test_photographs_of_several_sizes_are_each_what_they_are_alone(people, tmp_path, crop):
    how = attrs.evolve(FACES, face_crop=crop)
    small, large, other = (str(path) for path in sorted(photographs(people, tmp_path / "p", 3).glob("*.png")))
    write_png(Path(large), cv2.resize(read_rgb(Path(large)), (128, 128), interpolation=cv2.INTER_NEAREST_EXACT))
    marks = Path(large).with_suffix(".json")
    marks.write_text(json.dumps([[2 * x + 0.5, 2 * y + 0.5] for x, y in json.loads(marks.read_text())]))
    mixed, alone, pair = (open_references(x, how) for x in (f"{small},{large},{other}", large, f"{small},{other}"))
    of_pair, of_all = pair.references, mixed.references
    assert torch.equal(of_all.frames, torch.stack([of_pair.frames[0], alone.references.frames[0], of_pair.frames[1]]))
    labels = [each.labels[FACE.folder] for each in (of_pair, alone.references)]
    assert torch.equal(of_all.labels[FACE.folder], torch.stack([labels[0][0], labels[1][0], labels[0][1]]))
    driver = sorted((people / FACE.folder).iterdir())[1]
    drawn = [read(driver, attrs.evolve(how, subject=subject)) for subject in (mixed, pair)]
    assert same(*drawn)


def test_a_person_of_the_world_may_be_shown_and_driven():
    how = LabelRequest(kinds=(EXACT,), size=(64, 64), frames=2)
    subject = open_references("faces:5", how, count=3)
    assert subject.references.frames.shape == (3, 3, 64, 64)
    own, driven = (read("faces:6", attrs.evolve(how, subject=shown)) for shown in (None, subject))
    assert not same(own, driven)
    itself = read("faces:5", attrs.evolve(how, subject=subject))
    assert max(np.abs(a - b).max() for a, b in zip(itself, read("faces:5", how), strict=True)) < 0.01


def test_a_play_list_opens_no_other_file(tmp_path):
    video(tmp_path / "x.mkv", numbered(3), "ffv1", "bgr0")
    (tmp_path / "list.mkv").write_text("ffconcat version 1.0\nfile x.mkv\n")
    with pytest.raises(DataError, match="cannot be opened as a video"):
        open_labels(str(tmp_path / "list.mkv"), MAPS)


@pytest.mark.parametrize(
    ("source", "how", "words"),
    [
        ("nowhere", MAPS, "there is no such file or folder; .*street:SEED, faces:SEED, dancers:SEED"),
        ("street:x", MAPS, "expected a whole number behind street:"),
        ("faces:1", MAPS, "has no labels like the model's 'seg_maps'"),
        ("street:1", FACES, "has no labels like the model's 'landmarks-dlib68'"),
        ("empty", MAPS, "holds no labels: expected files ending in .png"),
        ("text.txt", MAPS, "cannot be opened as a video"),
        ("empty", LabelRequest(kinds=(SEG, FACE), size=(H, W)), "has no such folder"),
    ],
)
def test_what_is_no_source_of_labels_is_one_line(tmp_path, monkeypatch, source, how, words):
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    Path("text.txt").write_text("x" * 1000)
    with pytest.raises(DataError, match=words) as caught:
        open_labels(source, how)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("a.txt", "is no photograph; .*faces:SEED or dancers:SEED"),
        ("missing.png", "missing.png"),
        ("alone.png", r"has no landmarks-dlib68; expected alone.json or landmarks-dlib68/alone.json"),
        ("empty", "holds no photographs"),
        ("clip.mkv:x", "expected numbers of frames behind the video"),
        ("clip.mkv:²", "expected numbers of frames behind the video"),
        ("clip.mkv:" + "9" * 5000, "expected numbers of frames behind the video"),
        ("clip.mkv:99", r"has no frame 99 \(counted from 0\)"),
        ("clip.mkv:1", "has no labels"),
        ("street:1", "has no labels like the model's"),
        ("wrong.png", "is not JSON"),
    ],
)
def test_what_is_no_reference_is_one_line(tmp_path, monkeypatch, source, words):
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    Path("a.txt").write_text("x")
    for name, size in (("alone", 40), ("small", 40), ("large", 50), ("wrong", 40)):
        write_png(Path(f"{name}.png"), np.zeros((size, size, 3), np.uint8))
    for name in ("small", "large"):
        Path(f"{name}.json").write_text(json.dumps([[i % 9 + 10.0, i // 9 + 10.0] for i in range(68)]))
    Path("wrong.json").write_text("{")
    video(Path("clip.mkv"), numbered(3), "ffv1", "bgr0")
    with pytest.raises(DataError, match=words) as caught:
        open_references(source, FACES)
    assert "\n" not in str(caught.value)
