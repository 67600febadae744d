"""Flow out of files of every format and convention, held against one truth, through augmentation, folders and packs."""

import itertools
from pathlib import Path

import attrs
import cv2
import numpy as np
import pytest
from flow_examples import write_exr, write_in_front, write_kitti, write_moving, write_vectors
from hypothesis import given
from hypothesis import strategies as st
from vs_config import ConfigError
from vs_data import (
    AugmentConfig,
    ClipRequest,
    DataError,
    FlowFilesConfig,
    FolderConfig,
    ForwardBackwardConfig,
    LabelRequest,
    OcclusionConfig,
    PhotometricConfig,
    SegMapsConfig,
    ShardsConfig,
    TrustedConfig,
    check_folder,
    look_at_folder,
    open_labels,
    open_source,
)
from vs_data.flows import FLOW_EXTENSIONS, backward_of, consistency, flow_in_word, flow_word, read_flow
from vs_data.shards import PackOptions, pack_folder, whole_layout

H, W, FRAMES = 32, 64, 4
STEP = (4, -2)
WAYS = [
    {"direction": direction, "units": units, "y": y, "negate": negate}
    for direction, units, y, negate in itertools.product(
        ("backward", "forward"), ("pixels", "normalised"), ("down", "up"), (False, True)
    )
]


@pytest.fixture
def pictures(texture):
    large = texture((H + 40, W + 40))
    corners = [(20 - t * STEP[1], 20 - t * STEP[0]) for t in range(FRAMES)]
    return [np.ascontiguousarray(large[y : y + H, x : x + W]) for y, x in corners]


def config_of(root: Path, flow: FlowFilesConfig, kind=FolderConfig, **changes) -> FolderConfig:
    return kind(root=str(root), height=H, width=W, labels=(SegMapsConfig(num_classes=4),), flow=flow, **changes)


def clip_of(config, seed=0, split="val"):
    return open_source(config, split).read(ClipRequest(sequence=0, start=0, length=FRAMES, seed=seed))


@pytest.mark.parametrize("ending", FLOW_EXTENSIONS)
@pytest.mark.parametrize("way", WAYS[::3], ids=str)
def test_every_format_and_convention_tells_the_same_motion(tmp_path, pictures, ending, way):
    flow = FlowFilesConfig(**way)
    clip = clip_of(config_of(write_moving(tmp_path, flow, ending, pictures, STEP), flow))
    assert not clip.flow[0].any()
    known = clip.flow_confidence[1:, 0] > 0
    assert known.float().mean() > 0.8
    for axis in (0, 1):
        assert np.allclose(
            clip.flow[1:, axis][known], -STEP[axis], atol=1e-3
        )  # 1/16 of each side fits into KITTI's 1/64
    followed = [cv2.remap(a, *maps_of(f), cv2.INTER_NEAREST) for a, f in zip(pictures, clip.flow[1:], strict=False)]
    for made, picture, where in zip(followed, pictures[1:], known.numpy(), strict=True):
        assert (made[where] == picture[where]).all()  # the picture itself says which way is back


def maps_of(flow):
    height, width = flow.shape[1:]
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    return (x + flow[0].numpy()).round(), (y + flow[1].numpy()).round()


@pytest.mark.parametrize("direction", ["backward", "forward"])
@pytest.mark.parametrize("ending", [".exr", ".png", ".flo"])
def test_motion_is_right_through_flips_crops_and_enlargement(tmp_path, pictures, ending, direction):
    flow = FlowFilesConfig(direction=direction)
    root = write_moving(tmp_path, flow, ending, pictures, STEP)
    augment = AugmentConfig(scale=0.5, flip=0.5, smallest_side=48)
    seen = set()
    for seed in range(6):
        clip = clip_of(config_of(root, flow, augment=augment), seed=seed, split="train")
        where = (clip.flow_confidence[1] > 0)[0].numpy()
        frames = [((frame.permute(1, 2, 0) + 1) * 127.5).numpy() for frame in clip.frames[:2]]
        x, y = np.meshgrid(np.arange(W, dtype=np.float32), np.arange(H, dtype=np.float32))
        moved = cv2.remap(frames[0], x + clip.flow[1, 0].numpy(), y + clip.flow[1, 1].numpy(), cv2.INTER_LINEAR)
        assert np.abs(moved - frames[1])[where].mean() < 0.3 * np.abs(frames[0] - frames[1])[where].mean()
        seen.add(bool(clip.flow[1, 0][clip.flow_confidence[1, 0] > 0].mean() > 0))
    assert seen == {True, False}  # mirrored and not


def test_a_flo_file_is_what_opencv_writes_and_reads(tmp_path):
    vectors = np.random.default_rng(0).normal(0, 20, (7, 11, 2)).astype(np.float32)
    vectors[2, 3], vectors[4, 5, 1] = 1e10, np.nan
    cv2.writeOpticalFlow(str(tmp_path / "a.flo"), vectors)
    found, confidence = read_flow(tmp_path / "a.flo")
    known = np.ones((7, 11), bool)
    known[2, 3] = known[4, 5] = False
    assert np.array_equal(confidence > 0, known)
    assert np.array_equal(found[known], cv2.readOpticalFlow(str(tmp_path / "a.flo"))[known])
    assert not found[~known].any()


def test_a_kitti_file_holds_sixty_fourths_and_what_is_valid(tmp_path):
    stored = np.zeros((5, 9, 3), np.uint16)
    stored[1, 2] = (2**15 + 64 * 3 + 16, 2**15 - 32, 1)
    cv2.imwrite(str(tmp_path / "a.png"), stored[..., ::-1])
    found, confidence = read_flow(tmp_path / "a.png")
    assert found[1, 2].tolist() == [3.25, -0.5]
    assert confidence.sum() == confidence[1, 2] == 1
    assert np.abs(found).sum() == 3.75


def test_exr_channels_are_found_or_named(tmp_path):
    vectors = np.random.default_rng(0).normal(0, 20, (6, 8, 2)).astype(np.float16)
    write_exr(tmp_path / "a.exr", vectors, ("X", "Y"), np.float16)
    assert np.array_equal(read_flow(tmp_path / "a.exr")[0], vectors.astype(np.float32))
    four = np.concatenate([vectors, -vectors], axis=2)
    names = [f"ViewLayer.Vector.{axis}" for axis in "XYZW"]
    write_exr(tmp_path / "b.exr", four, names)
    assert np.array_equal(read_flow(tmp_path / "b.exr", None, names[2:])[0], -vectors.astype(np.float32))
    with pytest.raises(DataError, match=r"nobody says which 2 of its channels are meant: ViewLayer.Vector.W, .*exr_ch"):
        read_flow(tmp_path / "b.exr")


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.flo", b"PIEX" + bytes(20), "not a readable .flo file: it begins otherwise"),
        ("a.flo", b"PIEH\4\0\0\0\4\0\0\0" + bytes(100), "promises 128 bytes of numbers and holds 100"),
        ("a.flo", b"PIEH\xff\xff\xff\x7f\4\0\0\0" + bytes(100), "at least one and at most"),
        ("a.flo", b"PIEH\xff\xff\xff\xff\xff\xff\xff\xff" + bytes(8), "at least one and at most"),
        ("a.flo", b"PIEH", "not a readable .flo file"),
        ("a.exr", b"x", "is no OpenEXR file"),
        ("a.png", b"x", "not a readable picture"),
        ("a.npy", b"x", "not a readable .npy file"),
    ],
)
def test_bad_files_are_one_line(tmp_path, name, data, message):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(DataError, match=message) as caught:
        read_flow(tmp_path / name)
    assert caught.value.file == str(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_pictures_of_8_bits_and_other_sizes_are_no_flow(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((4, 6, 3), np.uint8))
    with pytest.raises(DataError, match="is a picture of 8 bits, 3 channels, not flow; expected flow as KITTI"):
        read_flow(tmp_path / "a.png")
    for ending in FLOW_EXTENSIONS:
        write_vectors(tmp_path / f"b{ending}", np.zeros((4, 6, 2), np.float32))
        with pytest.raises(DataError, match="flow is 6x4 pixels, its frame 8x4"):
            read_flow(tmp_path / f"b{ending}", (4, 8))


@given(x=st.integers(-9, 9), y=st.integers(-9, 9))
def test_turning_a_translation_round_is_exact_where_something_lands(x, y):
    forward = np.broadcast_to(np.array((x, y), np.float32), (24, 32, 2))
    flow, trust = backward_of(forward, None)
    rows, columns = np.mgrid[:24, :32]
    inside = (columns - x >= 0) & (columns - x < 32) & (rows - y >= 0) & (rows - y < 24)
    assert np.array_equal(trust > 0, inside)
    assert (flow[inside] == (-x, -y)).all()
    assert not flow[~inside].any()


@given(angle=st.floats(-0.15, 0.15), scale=st.floats(0.85, 1.2))
def test_turning_a_rotation_and_zoom_round_is_close(angle, scale):
    rows, columns = np.mgrid[:48, :64].astype(np.float64)
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    points = np.stack([columns - 32, rows - 24], axis=-1)
    flow, trust = backward_of((points @ turn.T - points).astype(np.float32), None)
    exact = points @ np.linalg.inv(turn).T - points
    inner = (slice(12, -12), slice(12, -12))
    assert trust[inner].all()
    assert np.abs(flow - exact)[inner].max() < 0.2


def test_what_lands_on_something_else_is_not_trusted_and_masks_help():
    forward = np.zeros((20, 40, 2), np.float32)
    forward[5:15, 10:20, 0] = 6  # a square that moves over a background that stands still
    flow, trust = backward_of(forward, None)
    assert not trust[5:15, 10:16].any()  # uncovered
    assert not flow[5:15, 10:16].any()
    assert not trust[5:15, 20:26].any()  # nobody knows which is in front
    assert trust.sum() == 20 * 40 - 10 * 12
    seen = np.ones((20, 40), np.float32)
    seen[5:15, 20:26] = 0  # the background there cannot be seen in the next frame
    flow, trust = backward_of(forward, seen)
    assert trust[5:15, 16:26].all()
    assert (flow[5:15, 16:26] == (-6, 0)).all()


def test_there_and_back_is_where_both_agree_as_published():
    flow, other = np.zeros((10, 30, 2), np.float32), np.zeros((10, 30, 2), np.float32)
    flow[..., 0], other[..., 0] = -5, 5
    other[:, :10] = (5.8, 0.0)  # |a+b|^2 = 0.64 < 0.01 (25 + 33.6) + 0.5
    other[:5, 20:] = (6.1, 0.0)  # 1.21 > 0.01 (25 + 37.2) + 0.5
    trust = consistency(flow, other, 0.01, 0.5)
    assert trust[:, 5:25].all()
    assert not trust[:5, 25:].any()
    assert trust[5:, 25:].all()


def confidences(root, flow):
    clip = clip_of(config_of(root, flow))
    return clip.flow_confidence[1:, 0].numpy()


@pytest.mark.parametrize("occluded", ["nonzero", "zero"])
def test_a_mask_says_what_is_not_trusted(tmp_path, pictures, occluded):
    flow = FlowFilesConfig(confidence=OcclusionConfig(occluded=occluded))
    root = write_moving(tmp_path, flow, ".flo", pictures, STEP)
    (root / "occlusion" / "a").mkdir(parents=True)
    mask = np.zeros((H, W), np.uint8)
    mask[10:20, 20:30] = 1
    for index in range(1, FRAMES):
        written = mask if occluded == "nonzero" else 1 - mask
        cv2.imwrite(str(root / "occlusion" / "a" / f"{index:03d}.png"), written)
    trust = confidences(root, flow)
    plain = confidences(root, FlowFilesConfig())
    assert plain[:, 10:20, 20:30].all()
    assert np.array_equal(trust, plain * (mask == 0))
    report = check_folder(config_of(root, flow))
    assert [finding for finding in report.findings if "flow" in finding.file or "occl" in finding.file] == []
    (root / "occlusion" / "a" / "002.png").unlink()
    with pytest.raises(DataError, match=r"occlusion/a/002\.png: the file is missing"):
        open_source(config_of(root, flow), "train")


def test_flow_of_both_directions_tells_what_is_hidden(tmp_path, pictures):
    flow = FlowFilesConfig(confidence=ForwardBackwardConfig())
    root = write_moving(tmp_path, flow, ".npz", pictures, STEP)
    (root / "flow_forward" / "a").mkdir(parents=True)
    forward = np.broadcast_to(np.array(STEP, np.float32), (H, W, 2)).copy()
    forward[:, 30:40] = (-9, 0)  # what is there in the frame before goes elsewhere
    for index in range(FRAMES - 1):
        write_kitti(root / "flow_forward" / "a" / f"{index:03d}.png", forward)
    trust = confidences(root, flow)
    columns = np.arange(W)
    hidden = (columns - STEP[0] >= 30) & (columns - STEP[0] < 40)
    assert np.array_equal(trust[0, 10], confidences(root, FlowFilesConfig())[0, 10] * ~hidden)


def test_training_and_synthesis_trust_the_same(tmp_path, pictures):
    for number, way in enumerate(WAYS[:: len(WAYS) - 1]):
        flow = FlowFilesConfig(**way)
        root = write_moving(tmp_path / str(number), flow, ".flo", pictures, STEP)
        clip = clip_of(config_of(root, flow))
        how = LabelRequest(kinds=(SegMapsConfig(num_classes=4),), size=(H, W), motion=flow)
        (sequence,) = open_labels(str(root), how)
        for t, frame in enumerate(sequence.read()):
            assert np.array_equal(frame.motion[0], clip.flow[t])
            assert np.array_equal(frame.motion[1], clip.flow_confidence[t])


def test_flow_of_any_kind_is_packed_and_read_as_from_the_folder(tmp_path, pictures):
    for ending, direction in ((".png", "forward"), (".flo", "backward"), (".exr", "backward")):
        flow = FlowFilesConfig(direction=direction)
        root, packed = tmp_path / f"data{ending}", tmp_path / f"packed{ending}"
        write_moving(root, flow, ending, pictures, STEP)
        pack_folder(whole_layout(root), packed, PackOptions())
        clip, same = clip_of(config_of(root, flow)), clip_of(config_of(packed, flow, ShardsConfig))
        assert np.array_equal(clip.flow, same.flow)
        assert np.array_equal(clip.flow_confidence, same.flow_confidence)


def flow_findings(root, flow):
    report = check_folder(config_of(root, flow))
    return [finding for finding in report.findings if "levels of 255 where the flow is followed" in finding.what]


def test_the_check_says_how_the_files_would_have_to_be_read(tmp_path, pictures):
    cases = (
        ({"units": "normalised"}, {}, 'units = "normalised" of the flow would leave'),
        ({"y": "up"}, {}, 'y = "up" of the flow would leave'),
        ({"negate": True}, {}, "negate = true"),
        ({"y": "up", "units": "normalised"}, {}, 'units = "normalised", y = "up" of the flow would leave'),
        ({}, {"y": "up"}, 'y = "down" of the flow would leave'),
        ({}, {}, None),
        ({"direction": "forward", "y": "up"}, {"direction": "forward", "y": "up"}, None),
    )
    for number, (written, read, words) in enumerate(cases):
        root = write_moving(tmp_path / str(number), FlowFilesConfig(**written), ".npz", pictures, STEP)
        found = flow_findings(root, FlowFilesConfig(**read))
        assert len(found) == (words is not None), (written, read, found)
        for finding in found:
            assert words in finding.fix
            assert finding.file.endswith("flow/a")
            assert (finding.severity == "error") == ("check_data" in finding.fix)


def test_flow_that_is_worse_than_none_and_right_read_otherwise_is_an_error_with_a_way_out(tmp_path, pictures):
    """Vectors of the other sign carry pixels twice as far from where they belong; so they are no matter of taste."""
    root = write_moving(tmp_path, FlowFilesConfig(negate=True), ".npz", pictures, STEP)
    (found,) = flow_findings(root, FlowFilesConfig())
    assert found.severity == "error"
    assert found.fix.startswith("set ")
    assert "negate = true" in found.fix
    assert found.fix.endswith("or train without this check: run.check_data=false")
    with pytest.raises(DataError, match=r"flow/a: frames differ by .* by .* where nothing moves; set ") as refused:
        look_at_folder(config_of(root, FlowFilesConfig()), "train")
    assert "\n" not in str(refused.value)
    warned = write_moving(tmp_path / "small", FlowFilesConfig(units="normalised"), ".npz", pictures, STEP)
    (found,) = flow_findings(warned, FlowFilesConfig())  # of hardly any motion, so that it does no harm
    assert found.severity == "warning"


STEADY = [((10 + 5 * t, 20 + t), (40 - 2 * t, 40)) for t in range(8)]
FASTER = [((10 + t * t, 20), (40 - t * t // 2, 40)) for t in range(8)]


@pytest.mark.parametrize(
    ("meaning", "places", "read", "words"),
    [
        ("forward", STEADY, {}, 'direction = "forward" or negate = true of the flow would leave'),
        ("forward", FASTER, {}, 'direction = "forward" of the flow would leave'),
        ("forward", STEADY, {"direction": "forward"}, None),
        ("forward", FASTER, {"direction": "forward"}, None),
        ("velocity", FASTER, {}, "negate = true of the flow would leave"),
        ("velocity", FASTER, {"negate": True}, None),
        ("backward", FASTER, {"direction": "forward"}, 'direction = "backward" of the flow would leave'),
        ("backward", STEADY, {}, None),
    ],
)
def test_a_direction_is_not_mistaken_for_a_sign(tmp_path, texture, meaning, places, read, words):
    root = write_in_front(tmp_path, meaning, texture((144, 176), 1), texture((20, 30), 2), places)
    found = flow_findings(root, FlowFilesConfig(**read))
    assert len(found) == (words is not None)
    assert all(finding.fix.removeprefix("set ").startswith(words) for finding in found)
    assert all(
        ("knows which" in finding.fix) == (" or " in finding.fix.partition("; or train")[0]) for finding in found
    )


def test_flow_of_something_else_is_said_to_explain_nothing(tmp_path, pictures):
    root = write_moving(tmp_path, FlowFilesConfig(), ".npz", pictures, (9, 9))
    (found,) = flow_findings(root, FlowFilesConfig())
    assert found.fix.startswith("this flow does not explain the frames: wrong direction, sign or units?")
    assert found.severity == "warning"


def test_nothing_is_said_where_nothing_moves(tmp_path, pictures):
    root = write_moving(tmp_path, FlowFilesConfig(), ".npz", pictures[:1] * FRAMES, STEP)
    assert flow_findings(root, FlowFilesConfig()) == []


@pytest.mark.parametrize(
    "config",
    [
        FlowFilesConfig(),
        FlowFilesConfig(direction="forward", y="up", negate=True),
        FlowFilesConfig(folder="motion", exr_channels=("a.X", "a.Y"), confidence=OcclusionConfig(folder="hidden")),
        FlowFilesConfig(confidence=PhotometricConfig(threshold=0.1)),
        FlowFilesConfig(confidence=TrustedConfig()),
    ],
)
def test_flow_files_in_a_word_are_read_back(config):
    word = flow_word(config)
    assert (flow_in_word(word) or FlowFilesConfig(folder=config.folder)) == config
    assert word.isprintable()


def test_contradictions_are_refused():
    with pytest.raises(ConfigError, match=r"direction: expected 'backward' with confidence.kind = 'forward-backward'"):
        FlowFilesConfig(direction="forward", confidence=ForwardBackwardConfig())
    with pytest.raises(ConfigError, match=r"confidence\.folder: expected another folder than that of the flow"):
        FlowFilesConfig(confidence=OcclusionConfig(folder="flow"))
    with pytest.raises(ConfigError, match="exr_channels: expected two names, or none"):
        FlowFilesConfig(exr_channels=("X",))
    clash = FlowFilesConfig(confidence=OcclusionConfig(folder="seg_maps"))
    with pytest.raises(
        ConfigError, match=r"flow\.confidence\.folder: expected a folder that neither images nor labels"
    ):
        attrs.evolve(FolderConfig(root="x"), flow=clash)
