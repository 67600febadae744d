"""Folders of faces: files of landmarks, smoothing, the crop around the face, references, driving another subject."""

import json
from pathlib import Path

import attrs
import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from vs_data import (
    AugmentConfig,
    ClassIds,
    Clip,
    ClipRequest,
    DataError,
    DisFlowConfig,
    FaceCropConfig,
    FloatMaps,
    FlowFilesConfig,
    FolderConfig,
    LandmarksConfig,
    NoFlowConfig,
    RequestError,
    SegMapsConfig,
    draw_face,
    iterate_sequence,
    open_folder,
    open_source,
)
from vs_data.face_crop import face_window
from vs_data.folder import FolderSource
from vs_data.geometry import Geometry, Window, apply_to_flow, apply_to_image, apply_to_points, plan_geometry
from vs_data.landmark_files import read_landmarks, smoothed

SHARED = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "face"
KIND = "landmarks-dlib68"
PLAIN = LandmarksConfig(smoothing=0.0)
RANDOM = AugmentConfig(scale=0.2, flip=0.5)


def opened(root: Path, split: str = "val", **fields: object) -> FolderSource:
    values: dict[str, object] = {"height": 64, "width": 64, "flow": NoFlowConfig(), "labels": (PLAIN,)}
    return open_folder(FolderConfig(root=str(root), **{**values, **fields}), split)  # type: ignore[arg-type]


def walking(face: np.ndarray, frames: int, step: float = 2.0) -> np.ndarray:
    """The face moved to the right by `step` pixels per frame: (frames, 68, 2)."""
    return face + np.arange(frames)[:, None, None] * np.array([step, 0.0])


def likeness(clip: Clip, shift: tuple[int, int] = (0, 0)) -> float:
    """How well the drawn labels agree with the pictures, in which the same faces are drawn: a correlation."""
    frames, labels = clip.frames[:, 0].flatten(), clip.labels[KIND].roll(shift, (-2, -1)).flatten()
    return float(torch.corrcoef(torch.stack([frames, labels]))[0, 1])


def test_landmarks_are_labels_of_one_channel(face_folder, face_points):
    track = walking(face_points(centre=(40, 45)), 4)
    source = opened(face_folder({"a": track}), height=96, width=128)
    assert source.label_kinds == {KIND: FloatMaps(channels=1, title="landmarks")}
    clip = source.read(ClipRequest(sequence=0, start=1, length=2))
    expected = np.stack([draw_face(points, (96, 128)) for points in track[1:3]])
    assert clip.labels[KIND].shape == (2, 1, 96, 128)
    assert clip.labels[KIND].dtype == torch.float32
    assert np.array_equal(clip.labels[KIND][:, 0].numpy(), expected)


@pytest.mark.parametrize("crop", [None, FaceCropConfig(margin=0.2)])
@pytest.mark.parametrize("keep_aspect", [True, False])
@pytest.mark.parametrize("seed", range(4))
def test_landmarks_go_through_the_geometry_of_the_pictures(face_folder, face_points, seed, keep_aspect, crop):
    root = face_folder({"a": walking(face_points(centre=(40, 45)), 3)})
    augment = attrs.evolve(RANDOM, keep_aspect=keep_aspect)
    source = opened(root, "train", height=96, width=96, augment=augment, face_crop=crop)
    clip = source.read(ClipRequest(sequence=0, start=0, length=3, seed=seed))
    assert likeness(clip) > 0.8
    assert all(likeness(clip) > likeness(clip, shift) + 0.1 for shift in ((2, 0), (-2, 0), (0, 2), (0, -2)))


def test_class_ids_and_landmarks_of_one_folder_go_the_same_way(face_folder, face_points):
    root = face_folder({"a": walking(face_points(centre=(40, 45)), 4)})
    kinds = (SegMapsConfig(num_classes=2, ignore_id=None), PLAIN)
    source = opened(
        root, "train", labels=kinds, augment=RANDOM, face_crop=FaceCropConfig(), height=160, width=160, min_frames=1
    )
    assert list(source.label_kinds.items()) == [
        ("seg_maps", ClassIds(classes=2, ignore_id=None)),
        (KIND, FloatMaps(channels=1, title="landmarks")),
    ]
    clip = source.read(ClipRequest(sequence=0, start=0, length=2, seed=3, references=(3, 2)))
    assert clip.references is not None
    for labels in (clip.labels, clip.references.labels):
        lines, ids = labels[KIND][:, 0], labels["seg_maps"]
        assert ids.dtype == torch.uint8
        assert float(lines[ids == 1].mean()) > 4 * float(lines[ids == 0].mean())


def test_a_clip_cut_anywhere_has_the_same_smoothed_labels(face_folder, face_points):
    noise = np.random.default_rng(0).normal(0, 0.7, (9, 68, 2))
    track = walking(face_points(centre=(40, 45)), 9) + noise
    root = face_folder({"a": track})
    source = opened(root, labels=(LandmarksConfig(smoothing=1.5),), height=96, width=128)
    whole = source.read(ClipRequest(sequence=0, start=0, length=9)).labels[KIND]
    for start, length in ((0, 1), (4, 2), (7, 2)):
        clip = source.read(ClipRequest(sequence=0, start=start, length=length, references=(3,)))
        assert torch.equal(clip.labels[KIND], whole[start : start + length])
        assert clip.references is not None
        assert torch.equal(clip.references.labels[KIND], whole[3:4])
    assert torch.equal(torch.cat([piece.labels[KIND] for piece in iterate_sequence(source, 0, chunk=4)]), whole)
    raw = opened(root, height=96, width=128).read(ClipRequest(sequence=0, start=0, length=9)).labels[KIND]
    assert not torch.equal(raw, whole)


@settings(max_examples=40, deadline=None)
@given(total=st.integers(1, 12), sigma=st.floats(0, 5), x=st.floats(-100, 100), slope=st.floats(-3, 3))
def test_smoothing_keeps_what_stands_and_in_the_middle_what_moves_evenly(total, sigma, x, slope):
    frames = list(range(total))
    still = smoothed(lambda _: np.full((68, 2), x), frames, total, sigma)
    assert np.allclose(still, x)
    even = smoothed(lambda frame: np.full((68, 2), x + slope * frame), frames, total, sigma)
    middle = (total - 1) / 2
    assert np.allclose(even.mean(axis=0), x + slope * middle, atol=1e-6)
    if total % 2:
        assert np.allclose(even[total // 2], x + slope * middle, atol=1e-6)


def test_smoothing_calms_noise():
    noise = np.random.default_rng(0).normal(0, 1, (200, 68, 2))
    face = np.random.default_rng(1).normal(0, 20, (68, 2))
    calm = smoothed(lambda frame: face + noise[frame], range(200), 200, 2.0) - face
    assert calm[20:180].std() < 0.5 * noise.std()
    assert np.array_equal(smoothed(lambda frame: noise[frame], range(200), 200, 0.0), noise)


GOOD = [[float(x), float(x * x % 37)] for x in range(68)]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "the file is empty"),
        ("[[1, 2], ", "is not JSON: Expecting value at line 1"),
        ('[[1, "2', "is not JSON: Unterminated string starting at line 1"),
        (b"\xff\xfe\x00", "is not JSON"),
        ("[" * 100_000, "is not a list of points: lists are nested too deeply"),
        (json.dumps(GOOD[:-1])[:-1] + f", [1, {'9' * 5000}]]", r"landmark 67 is \[1, Infinity\], not finite"),
        (json.dumps(GOOD[:-1])[:-1] + ", [1, 1e999]]", r"landmark 67 is \[1, Infinity\], not finite"),
        (json.dumps(GOOD[:-1])[:-1] + ", " + "[" * 300 + "]" * 300 + "]", r"landmark 67 is \[\[\[.*\.\.\., not a pair"),
        ("[" + " " * 2**20 + "]", "is 1048578 bytes long, at most 1048576 make sense"),
        (b"[[1, 2], \xff]", "is not JSON: is not UTF-8 text"),
        ('{"a": 1}', "is not a list of points"),
        (json.dumps(GOOD[:67]), "holds 67 landmarks, 68 are needed; write the 68 points of dlib"),
        ("[]", "holds 0 landmarks, 68 are needed"),
        (json.dumps([*GOOD[:5], [1, 2, 3], *GOOD[6:]]), r"landmark 5 is \[1, 2, 3\], not a pair of numbers \[x, y\]"),
        (json.dumps([*GOOD[:9], ["1", 2], *GOOD[10:]]), "landmark 9 is .*, not a pair"),
        (json.dumps([*GOOD[:9], [True, 2], *GOOD[10:]]), "landmark 9 is .*, not a pair"),
        (json.dumps([*GOOD[:9], None, *GOOD[10:]]), "landmark 9 is null, not a pair"),
        (json.dumps([*GOOD[:12], [float("nan"), 2], *GOOD[13:]]), r"landmark 12 is \[NaN, 2\], not finite"),
        (json.dumps([*GOOD[:67], [1, float("-inf")]]), r"landmark 67 is \[1, -Infinity\], not finite"),
        (json.dumps([[1, 10**400], *GOOD[1:]]), r"landmark 0 is \[1, 1000.*\.\.\., beyond any picture"),
        (json.dumps([[x / 640, y / 480] for x, y in GOOD]), "the face is smaller than a pixel"),
        (json.dumps([*GOOD[:3], [300, 10], *GOOD[4:]]), r"landmark 3 is at x=300, y=10, far outside of the .*100x80"),
        (json.dumps([*GOOD[:3], [30, -81], *GOOD[4:]]), "landmark 3 is at x=30, y=-81, far outside"),
    ],
)
def test_bad_files_are_one_line_that_names_file_and_point(tmp_path, content, message):
    path = tmp_path / "0000.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError, match=message) as caught:
        read_landmarks(path, (80, 100))
    assert caught.value.file == str(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("depth", [500, 900, 950, 980, 990, 995, 1000, 3000])
def test_lists_as_deep_as_python_can_go_are_one_line(tmp_path, depth):
    path = tmp_path / "0000.json"
    path.write_text(json.dumps(GOOD[:-1])[:-1] + ", " + "[" * depth + "]" * depth + "]")
    with pytest.raises(DataError, match=r"landmark 67 is .*not a pair|nested too deeply"):
        read_landmarks(path)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_landmarks_in_any_encoding_of_unicode_are_read(tmp_path, encoding):
    (tmp_path / "0000.json").write_text(json.dumps(GOOD), encoding)
    assert read_landmarks(tmp_path / "0000.json").tolist() == GOOD


def test_landmarks_a_little_outside_of_the_picture_are_read(tmp_path):
    path = tmp_path / "0000.json"
    path.write_text(json.dumps([*GOOD[:3], [-90, 150], *GOOD[4:]]))
    assert np.array_equal(read_landmarks(path, (80, 100))[3], [-90, 150])


@settings(max_examples=60, deadline=None)
@given(
    x=st.floats(-40, 680),
    y=st.floats(-40, 520),
    scale=st.floats(0.5, 8.0),
    step=st.floats(0, 9),
    margin=st.floats(0, 1),
    size=st.sampled_from([(64, 64), (48, 64), (64, 48)]),
)
def test_the_window_holds_every_face_and_has_the_aspect_of_the_clips(face_points, x, y, scale, step, margin, size):
    track = walking(face_points(scale, (x, y)), 4, step)
    window = face_window(track, (480, 640), size, FaceCropConfig(margin=margin))
    assert abs(window.width / window.height - size[1] / size[0]) < 2.5 / window.height + 0.001
    seen = track[(track >= 0).all(axis=2) & (track <= (639, 479)).all(axis=2)]
    if len(seen):
        assert window.left - 1 <= seen[:, 0].min()
        assert seen[:, 0].max() <= window.left + window.width
        assert window.top - 1 <= seen[:, 1].min()
        assert seen[:, 1].max() <= window.top + window.height
    if window.height <= 480:
        assert 0 <= window.top <= 480 - window.height
    if window.width <= 640:
        assert 0 <= window.left <= 640 - window.width


def test_the_window_is_one_for_a_sequence_and_the_head_moves_in_it(face_folder, face_points):
    track = walking(face_points(centre=(40, 50)), 8, 3.0)
    source = opened(face_folder({"a": track}, (120, 160)), face_crop=FaceCropConfig(margin=0.1))
    whole = source.read(ClipRequest(sequence=0, start=0, length=8))
    piece = source.read(ClipRequest(sequence=0, start=5, length=2))
    assert torch.equal(whole.frames[5:7], piece.frames)
    assert torch.equal(whole.labels[KIND][5:7], piece.labels[KIND])
    columns = torch.arange(64.0)
    middles = [float((frame.sum(0) * columns).sum() / frame.sum()) for frame in whole.labels[KIND][:, 0]]
    assert np.all(np.diff(middles) > 0.5)
    assert whole.labels[KIND][:, :, [0, -1]].max() == 0  # nothing is cut off above or below
    assert likeness(whole) > 0.6


def test_what_a_window_takes_from_outside_repeats_the_edge_and_is_not_trusted():
    picture = np.random.default_rng(0).integers(0, 256, (8, 10, 3)).astype(np.uint8)
    window = Window(top=-2, left=5, height=12, width=8)
    plan = plan_geometry((8, 10), (12, 8), AugmentConfig(), None, window)
    assert plan == Geometry(source=(8, 10), resized=(12, 8), top=0, left=0, size=(12, 8), flip=False, window=window)
    taken = apply_to_image(plan, picture)
    assert np.array_equal(taken[2:10, :5], picture[:, 5:])
    assert np.array_equal(taken[0, :5], picture[0, 5:])
    assert np.array_equal(taken[5, 5:], np.stack([picture[3, 9]] * 3))
    _, trust = apply_to_flow(plan, np.zeros((8, 10, 2), np.float32), np.ones((8, 10), np.float32))
    assert np.array_equal(trust, np.pad(np.ones((8, 5)), ((2, 2), (0, 3))))


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 1000), x=st.integers(10, 110), y=st.integers(10, 80), crop=st.booleans())
def test_points_move_with_the_pixels(seed, x, y, crop):
    window = Window(top=-3, left=6, height=100, width=100) if crop else None
    plan = plan_geometry((92, 124), (200, 200), RANDOM, np.random.default_rng(seed), window)
    picture = np.zeros((92, 124, 3), np.uint8)
    picture[y, x] = 255
    moved = apply_to_image(plan, picture)[..., 0].astype(float)
    there = apply_to_points(plan, np.array([float(x), float(y)]))
    if moved.sum() == 0 or not (8 < there[0] < 192 and 8 < there[1] < 192):
        return
    rows, columns = np.mgrid[:200, :200]
    assert there == pytest.approx([(moved * columns).sum() / moved.sum(), (moved * rows).sum() / moved.sum()], abs=0.2)


def test_references_are_frames_of_the_sequence_through_the_clips_geometry(face_folder, face_points):
    root = face_folder({"a": walking(face_points(centre=(40, 45)), 6)})
    source = opened(root, "train", augment=RANDOM, face_crop=FaceCropConfig())
    for seed in range(4):
        whole = source.read(ClipRequest(sequence=0, start=0, length=6, seed=seed))
        clip = source.read(ClipRequest(sequence=0, start=1, length=2, seed=seed, references=(5, 0, 1)))
        assert clip.references is not None
        assert torch.equal(clip.references.frames, whole.frames[[5, 0, 1]])
        assert torch.equal(clip.references.labels[KIND], whole.labels[KIND][[5, 0, 1]])
        assert clip.references.name == "a/0005+0000+0001"
        assert clip.references.flow is None
        same = source.read(ClipRequest(sequence=0, start=1, length=2, seed=seed, references=(5,), reference_sequence=0))
        assert torch.equal(same.labels[KIND], clip.labels[KIND])
    assert source.read(ClipRequest(sequence=0, start=1, length=2)).references is None


def test_flow_to_references_shows_where_they_have_a_pixel(tmp_path, texture):
    """Frames of a texture that moves by 3 pixels to the right each."""
    picture = texture((160, 224))
    for kind in ("images", "seg_maps"):
        (tmp_path / kind / "a").mkdir(parents=True)
    for frame in range(4):
        crop = np.ascontiguousarray(picture[:96, 64 - 3 * frame : 192 - 3 * frame])
        cv2.imwrite(str(tmp_path / "images" / "a" / f"{frame}.png"), crop)
        cv2.imwrite(str(tmp_path / "seg_maps" / "a" / f"{frame}.png"), np.zeros((96, 128), np.uint8))
    source = opened(tmp_path, labels=(SegMapsConfig(),), flow=DisFlowConfig(), height=96, width=128)
    clip = source.read(ClipRequest(sequence=0, start=0, length=2, references=(3, 1)))
    references = clip.references
    assert references is not None
    assert references.flow is not None
    assert references.flow_confidence is not None
    assert references.flow.shape == (2, 2, 2, 96, 128)
    assert references.flow_confidence.shape == (2, 2, 1, 96, 128)
    motion = references.flow[:, :, 0].flatten(2).median(dim=2).values
    assert torch.allclose(motion, torch.tensor([[9.0, 3.0], [6.0, 0.0]]), atol=0.2)
    assert references.flow_confidence.mean() > 0.8
    assert clip.flow is not None  # the flow between neighbours is beside it
    assert clip.flow[1, 0].median() == pytest.approx(-3, abs=0.2)


def test_flow_files_say_nothing_about_references(folder):
    root = folder({"a": 3}, flow=True)
    source = opened(root, labels=(SegMapsConfig(),), flow=FlowFilesConfig())
    clip = source.read(ClipRequest(sequence=0, start=0, length=2, references=(2,)))
    assert clip.flow is not None
    assert clip.references is not None
    assert clip.references.flow is None
    assert clip.references.labels["seg_maps"].shape == (1, 64, 64)


def test_another_subject_is_driven_in_its_own_pictures(face_folder, face_points):
    wide = face_points(1.4, (70, 60)) * np.array([1.25, 1.0]) - np.array([17.5, 0])
    root = face_folder({"driver": walking(face_points(centre=(40, 45)), 5), "subject": np.stack([wide] * 3)})
    source = opened(root, height=96, width=128, flow=DisFlowConfig())
    request = ClipRequest(sequence=0, start=0, length=5, references=(1,), reference_sequence=1)
    clip, plain = source.read(request), source.read(attrs.evolve(request, references=(), reference_sequence=None))
    assert clip.references is not None
    assert clip.references.name == "subject/0001"
    assert clip.references.flow is None  # the frames show somebody else
    assert torch.equal(clip.frames, plain.frames)
    assert not torch.equal(clip.labels[KIND], plain.labels[KIND])
    middle = clip.labels[KIND][2]  # there the driver is at its mean place, so the subject is where it always is
    assert torch.allclose(middle, clip.references.labels[KIND][0], atol=0.02)
    pieces = list(iterate_sequence(source, 0, chunk=2, references=(1,), reference_sequence=1))
    assert torch.equal(torch.cat([piece.labels[KIND] for piece in pieces]), clip.labels[KIND])


def test_class_ids_cannot_be_driven_and_stay(folder):
    root = folder({"a": 3, "b": 3})
    source = opened(root, labels=(SegMapsConfig(),))
    clip = source.read(ClipRequest(sequence=0, start=0, length=2, references=(2,), reference_sequence=1))
    plain = source.read(ClipRequest(sequence=0, start=0, length=2))
    assert torch.equal(clip.labels["seg_maps"], plain.labels["seg_maps"])
    assert clip.references is not None
    assert clip.references.frames.shape == (1, 3, 64, 64)


def test_references_that_do_not_fit_are_one_clear_line(folder):
    root = folder({"a": 3, "b": 3})
    source = opened(root, labels=(SegMapsConfig(),))
    with pytest.raises(RequestError, match="reference frame 3 of sequence 'a' asked for, it has frames 0 to 2"):
        source.read(ClipRequest(sequence=0, start=0, length=1, references=(3,)))
    for name in "ab":
        cv2.imwrite(str(root / "images" / name / "0002.png"), np.zeros((48, 64, 3), np.uint8))
    for subject in (None, 1):
        with pytest.raises(DataError, match=r"0002\.png: is 64x48 pixels, the images of its sequence are 80x48"):
            source.read(ClipRequest(sequence=0, start=0, length=1, references=(2,), reference_sequence=subject))
    (root / "images" / "a" / "0002.png").unlink()
    with pytest.raises(DataError, match=r"0002\.png: the file does not exist"):
        source.read(ClipRequest(sequence=0, start=0, length=1, references=(2,)))


def test_a_bad_file_anywhere_in_a_cropped_sequence_is_named(face_folder, face_points):
    root = face_folder({"a": walking(face_points(centre=(40, 45)), 4)})
    path = root / KIND / "a" / "0003.json"
    path.write_text("[]")
    with pytest.raises(DataError, match=r"0003\.json: holds 0 landmarks"):
        opened(root, face_crop=FaceCropConfig()).read(ClipRequest(sequence=0, start=0, length=1))
    opened(root).read(ClipRequest(sequence=0, start=0, length=1))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"labels": (SegMapsConfig(),), "face_crop": FaceCropConfig()}, "face_crop: labels hold no landmarks, "),
        ({"labels": (PLAIN, LandmarksConfig())}, r"labels\[1\].folder: expected .*, got 'landmarks-dlib68'"),
        ({"face_crop": 3}, "face_crop: expected a table of kind 'face' or 'none', got 3"),
    ],
)
def test_impossible_configurations_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        FolderConfig(root="somewhere", **fields)
    with pytest.raises(ValueError, match=r"smoothing: expected .*, got -1"):
        LandmarksConfig(smoothing=-1.0)
    with pytest.raises(ValueError, match=r"margin: expected .*, got nan"):
        FaceCropConfig(margin=float("nan"))


@pytest.mark.skipif(not SHARED.is_dir(), reason="the real clips are not here")
def test_the_real_face():
    config = FolderConfig(
        root=str(SHARED), height=128, width=128, labels=(LandmarksConfig(),), face_crop=FaceCropConfig()
    )
    clip = open_source(config, "val").read(ClipRequest(sequence=0, start=0, length=3, references=(4,)))
    assert clip.frames.shape == (3, 3, 128, 128)
    assert clip.labels[KIND].shape == (3, 1, 128, 128)
    assert 0.02 < clip.labels[KIND].mean() < 0.05
    rows = torch.nonzero(clip.labels[KIND].amax(dim=(0, 1, 3)) > 0.5)
    assert 0.4 < float(rows.max() - rows.min()) / 128 < 0.7  # the face, with space around it
    assert clip.references is not None
    assert clip.references.flow_confidence is not None
    assert clip.references.flow_confidence.mean() > 0.9
