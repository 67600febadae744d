"""Clips from folders: the right frames, one geometry for every modality, flow that fits the augmented frames."""

import pickle
from pathlib import Path

import attrs
import cv2
import numpy as np
import pytest
import torch
from picture_files import encoded, exif, png_with
from vs_data import (
    AugmentConfig,
    ClassIds,
    ClipRequest,
    ClipSource,
    DataError,
    DisFlowConfig,
    FlowFilesConfig,
    FolderConfig,
    NoFlowConfig,
    RequestError,
    SegMapsConfig,
    open_folder,
    open_source,
)
from vs_data.labels import label_infos
from vs_data.pictures import read_rgb

SHARED = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "street"
RANDOM = AugmentConfig(smallest_side=56, scale=0.3, flip=0.5)


def config(root: Path, **fields: object) -> FolderConfig:
    values: dict[str, object] = {"root": str(root), "height": 32, "width": 48, "flow": NoFlowConfig()}
    return FolderConfig(**{**values, **fields})  # type: ignore[arg-type]


def bytes_of(frames: torch.Tensor) -> np.ndarray:
    """(T,3,H,W) in [-1,1] -> (T,H,W,3) uint8."""
    return ((frames + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()


def test_a_source_lists_its_sequences(folder):
    source = open_source(config(folder({"b": 3, "a": 5})), "train")
    assert isinstance(source, ClipSource)
    assert [(info.name, info.frames) for info in source.sequences] == [("a", 5), ("b", 3)]
    assert source.size == (32, 48)
    assert source.label_kinds == {"seg_maps": ClassIds(classes=35, ignore_id=255)}


def test_frames_are_consecutive_and_of_one_sequence(folder, ids_of, colours):
    source = open_folder(config(folder({"a": 6, "b": 2}), height=48, width=80), "val")
    clip = source.read(ClipRequest(sequence=0, start=2, length=3))
    expected = np.stack([ids_of((48, 80), 2 * frame) for frame in (2, 3, 4)])
    assert np.array_equal(clip.labels["seg_maps"].numpy(), expected)
    assert np.array_equal(bytes_of(clip.frames), colours[expected])
    assert clip.frames.dtype == torch.float32
    assert clip.labels["seg_maps"].dtype == torch.uint8
    assert clip.name == "a/0002"
    assert clip.flow is None
    assert clip.flow_confidence is None


@pytest.mark.parametrize("keep_aspect", [True, False])
@pytest.mark.parametrize("seed", range(6))
def test_ids_and_colours_are_augmented_alike(folder, colours, seed, keep_aspect):
    augment = attrs.evolve(RANDOM, keep_aspect=keep_aspect, smallest_side=56 if keep_aspect else None)
    source = open_folder(config(folder({"a": 3}, size=(60, 100)), augment=augment), "train")
    clip = source.read(ClipRequest(sequence=0, start=0, length=3, seed=seed))
    frames, ids = bytes_of(clip.frames), clip.labels["seg_maps"].numpy()
    for frame, classes in zip(frames, ids, strict=True):
        square = np.ones((5, 5), np.uint8)
        inner = cv2.erode(classes, square) == cv2.dilate(classes, square)  # away from edges, which are blended
        inner[[0, 1, -2, -1]] = inner[:, [0, 1, -2, -1]] = False  # what is beyond the crop is not known
        assert inner.mean() > 0.2
        assert np.abs(frame[inner].astype(int) - colours[classes][inner]).max() <= 1


def test_the_seed_alone_decides_the_augmentation(folder):
    source = open_folder(config(folder({"a": 4}), augment=RANDOM), "train")
    whole = source.read(ClipRequest(sequence=0, start=0, length=4, seed=3))
    part = source.read(ClipRequest(sequence=0, start=1, length=2, seed=3))
    assert torch.equal(whole.frames[1:3], part.frames)
    others = [source.read(ClipRequest(sequence=0, start=0, length=1, seed=seed)).frames for seed in range(5)]
    assert len({tensor.numpy().tobytes() for tensor in others}) == 5


def test_validation_is_not_random_and_takes_the_centre(folder, ids_of):
    source = open_folder(config(folder({"a": 2}, size=(32, 80)), augment=RANDOM_NO_RESIZE), "val")
    clips = [source.read(ClipRequest(sequence=0, start=0, length=1, seed=seed)) for seed in (0, 1)]
    assert torch.equal(clips[0].frames, clips[1].frames)
    assert np.array_equal(clips[0].labels["seg_maps"][0].numpy(), ids_of((32, 80), 0)[:, 16:64])


RANDOM_NO_RESIZE = AugmentConfig(scale=0.3, flip=1.0)


def write_moving_texture(root: Path, texture: np.ndarray, motion: tuple[int, int], frames: int) -> None:
    """Frames of a texture that moves by `motion` = (x, y) per frame, with its flow, without labels."""
    x, y = motion
    height, width = texture.shape[0] - 64, texture.shape[1] - 64
    (root / "images" / "a").mkdir(parents=True)
    (root / "flow" / "a").mkdir(parents=True)
    (root / "seg_maps" / "a").mkdir(parents=True)
    for frame in range(frames):
        top, left = 32 - y * frame, 32 - x * frame
        crop = np.ascontiguousarray(texture[top : top + height, left : left + width])
        cv2.imwrite(str(root / "images" / "a" / f"{frame}.png"), crop)
        cv2.imwrite(str(root / "seg_maps" / "a" / f"{frame}.png"), np.zeros((height, width), np.uint8))
        if frame:
            flow = np.empty((2, height, width), np.float32)
            flow[0], flow[1] = -x, -y
            np.savez(root / "flow" / "a" / f"{frame}.npz", flow=flow)


def warp_error(clip, frame: int) -> tuple[float, float]:
    """Mean difference (of 255) between a frame and the one before, warped: by the flow, and by its mirror image."""
    frames, flow = bytes_of(clip.frames), clip.flow[frame].numpy()
    trusted = clip.flow_confidence[frame, 0].numpy() > 0.5
    y, x = np.mgrid[: flow.shape[1], : flow.shape[2]].astype(np.float32)
    errors = []
    for sign in (1, -1):
        warped = cv2.remap(frames[frame - 1], x + sign * flow[0], y + flow[1], cv2.INTER_LINEAR)
        errors.append(float(np.abs(warped.astype(int) - frames[frame])[trusted].mean()))
    return errors[0], errors[1]


@pytest.mark.parametrize("flow", [FlowFilesConfig(), DisFlowConfig()])
def test_flow_fits_the_augmented_frames(tmp_path, texture, flow):
    write_moving_texture(tmp_path, texture((160, 224)), (4, 1), 3)
    source = open_folder(
        config(tmp_path, flow=flow, height=64, width=96, augment=AugmentConfig(scale=0.4, flip=0.5)), "train"
    )
    signs = set()
    for seed in range(8):
        clip = source.read(ClipRequest(sequence=0, start=0, length=3, seed=seed))
        assert clip.flow is not None
        assert clip.flow_confidence is not None
        assert clip.flow.shape == (3, 2, 64, 96)
        assert clip.flow_confidence.shape == (3, 1, 64, 96)
        assert not clip.flow[0].any()
        assert not clip.flow_confidence[0].any()
        assert clip.flow_confidence[1:].mean() > 0.8
        right, mirrored = warp_error(clip, 2)
        assert right < 4
        assert mirrored > 3 * right
        signs.add(bool(clip.flow[1, 0].median() > 0))
    assert signs == {True, False}  # some were mirrored


def test_confidence_of_files_is_kept_where_the_flow_stays_inside(folder):
    root = folder({"a": 2}, flow=True)
    trust = np.zeros((48, 80), np.float32)
    trust[:, 40:] = 1
    motion = np.zeros((2, 48, 80), np.float32)
    motion[0, :, 60:] = 40
    np.savez(root / "flow" / "a" / "0001.npz", flow=motion, confidence=trust)
    source = open_folder(config(root, height=48, width=80, flow=FlowFilesConfig()), "val")
    clip = source.read(ClipRequest(sequence=0, start=0, length=2))
    assert clip.flow_confidence is not None
    expected = trust.copy()
    expected[:, 60:] = 0
    assert np.array_equal(clip.flow_confidence[1, 0].numpy(), expected)


def test_a_held_out_root_is_used_for_validation_alone(folder, tmp_path):
    root = folder({"a": 2, "b": 3})
    other = tmp_path / "other"
    for kind in ("images", "seg_maps"):
        (other / kind).mkdir(parents=True)
        (root / kind / "b").rename(other / kind / "b")
    settings = config(root, val_root=str(other))
    assert [info.name for info in open_source(settings, "train").sequences] == ["a"]
    assert [info.name for info in open_source(settings, "val").sequences] == ["b"]
    assert [info.name for info in open_source(attrs.evolve(settings, val_root=None), "val").sequences] == ["a"]


def test_several_kinds_of_labels(folder):
    root = folder({"a": 2})
    (root / "parts" / "a").mkdir(parents=True)
    for frame in range(2):
        cv2.imwrite(str(root / "parts" / "a" / f"{frame:04d}.png"), np.full((48, 80), 3 + frame, np.uint8))
    kinds = (SegMapsConfig(), SegMapsConfig(folder="parts", num_classes=5, ignore_id=None))
    source = open_folder(config(root, labels=kinds), "train")
    assert list(source.label_kinds.items()) == [
        ("seg_maps", ClassIds(classes=35, ignore_id=255)),
        ("parts", ClassIds(classes=5, ignore_id=None)),
    ]
    parts = source.read(ClipRequest(sequence=0, start=0, length=2)).labels["parts"]
    assert [frame.unique().tolist() for frame in parts] == [[3], [4]]


def test_ignored_ids_pass_and_other_ids_do_not(folder):
    root = folder({"a": 2})
    path = root / "seg_maps" / "a" / "0001.png"
    ids = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    ids[5, 7] = 255
    cv2.imwrite(str(path), ids)
    settings = config(root, height=48, width=80)
    clip = open_folder(settings, "val").read(ClipRequest(sequence=0, start=0, length=2))
    assert clip.labels["seg_maps"][1, 5, 7] == 255
    ids[10, 20:23] = 77
    cv2.imwrite(str(path), ids)
    with pytest.raises(DataError, match=r"class id 77 at x=20, y=10 is out of range \(3 such pixels\)") as caught:
        open_folder(settings, "val").read(ClipRequest(sequence=0, start=0, length=2))
    assert caught.value.file == str(path)


def test_sizes_that_differ_are_named_when_read(folder):
    root = folder({"a": 3})
    source = open_folder(config(root), "train")
    cv2.imwrite(str(root / "images" / "a" / "0002.png"), np.zeros((48, 64, 3), np.uint8))
    with pytest.raises(DataError, match=r"0002.png: is 64x48 pixels, the images of its sequence are 80x48"):
        source.read(ClipRequest(sequence=0, start=0, length=3))
    cv2.imwrite(str(root / "seg_maps" / "a" / "0000.png"), np.zeros((24, 40), np.uint8))
    with pytest.raises(DataError, match=r"seg_maps.a.0000.png: is 40x24 pixels, the images of its sequence are 80x48"):
        source.read(ClipRequest(sequence=0, start=0, length=1))


def test_frames_that_exif_data_turn_are_told_when_sizes_disagree(folder):
    root = folder({"a": 2})
    for image in sorted((root / "images" / "a").iterdir()):
        image.write_bytes(png_with(image.read_bytes(), exif(6)))
    source = open_folder(config(root), "train")
    message = r"seg_maps.a.0000.png: is 80x48 pixels, the images .* are 48x80; the frame is turned as its EXIF orient"
    with pytest.raises(DataError, match=message):
        source.read(ClipRequest(sequence=0, start=0, length=2))


def test_frames_upside_down_by_exif_data_fit_their_maps(folder, ids_of, colours):
    root = folder({"a": 2})
    for image in sorted((root / "images" / "a").iterdir()):
        image.write_bytes(png_with(encoded(".png", np.rot90(read_rgb(image), 2)), exif(3)))
    clip = open_folder(config(root, height=48, width=80), "val").read(ClipRequest(sequence=0, start=0, length=2))
    assert np.array_equal(bytes_of(clip.frames)[0], colours[ids_of((48, 80), 0)])


def test_the_first_wrong_name_is_an_error_when_opened(folder):
    root = folder({"a": 3})
    (root / "seg_maps" / "a" / "0001.png").unlink()
    (root / "seg_maps" / "a" / "0002.png").unlink()
    with pytest.raises(
        DataError, match=r"0001.png: the file is missing.*and 1 more: `hatch run data:check .* lists all"
    ):
        open_folder(config(root), "train")


def test_requests_out_of_range_are_refused(folder):
    source = open_folder(config(folder({"a": 3})), "train")
    with pytest.raises(RequestError, match="frames 1 to 3 of sequence 'a'"):
        source.read(ClipRequest(sequence=0, start=1, length=3))


def test_a_source_survives_pickling(folder):
    source = open_folder(config(folder({"a": 3}), augment=RANDOM, flow=DisFlowConfig()), "train")
    request = ClipRequest(sequence=0, start=0, length=3, seed=9)
    again = pickle.loads(pickle.dumps(source)).read(request)
    assert torch.equal(source.read(request).frames, again.frames)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"root": ""}, "root: expected a path that is not empty, got ''"),
        ({"height": 8}, "height: expected a whole number from 16 to 8192 pixels, got 8"),
        ({"labels": ()}, r"labels: expected a list of 1 to 64 tables, got \[\]"),
        (
            {"labels": (SegMapsConfig(), SegMapsConfig())},
            r"labels\[1\].folder: expected a folder that neither .*, got 'seg_maps'",
        ),
        (
            {"labels": (SegMapsConfig(folder="images"),)},
            r"labels\[0\].folder: expected a folder that neither .*, got 'images'",
        ),
        ({"flow": FlowFilesConfig(folder="seg_maps")}, "flow.folder: expected .*, got 'seg_maps'"),
        ({"min_frames": 0}, "min_frames: expected .*, got 0"),
        ({"val_root": ""}, "val_root: expected .*, got ''"),
    ],
)
def test_impossible_values_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        FolderConfig(**{"root": "somewhere", **fields})


def test_classes_have_a_name_each_or_none():
    kind = SegMapsConfig(num_classes=2, class_names=("road", "sky"))
    assert label_infos([kind])["seg_maps"] == ClassIds(classes=2, ignore_id=255, names=("road", "sky"))
    with pytest.raises(ValueError, match=r"class_names: expected a name for each of 3 classes .*; these are 2"):
        SegMapsConfig(num_classes=3, class_names=("road", "sky"))


def test_an_ignored_id_is_no_class():
    with pytest.raises(ValueError, match=r"ignore_id: expected an id that is no class .* or 'none', got 3"):
        SegMapsConfig(num_classes=4, ignore_id=3)


@pytest.mark.skipif(not SHARED.is_dir(), reason="the real clips are not here")
def test_the_real_street():
    settings = FolderConfig(root=str(SHARED), height=128, width=256)
    clip = open_source(settings, "val").read(ClipRequest(sequence=0, start=0, length=4))
    assert clip.frames.shape == (4, 3, 128, 256)
    assert clip.flow_confidence is not None
    assert clip.flow_confidence[1:].mean() > 0.8
    assert clip.labels["seg_maps"].max() < 35
    right, mirrored = warp_error(clip, 2)
    assert right < 3
    assert mirrored > 1.5 * right
