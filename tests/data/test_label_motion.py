"""Motion beside labels: folders and worlds give what clips have; where there can be none, that is said."""

import io
import shutil
from pathlib import Path

import attrs
import cv2
import numpy as np
import pytest
import torch
from vs_data import (
    ClipRequest,
    DataError,
    EdgesConfig,
    FlowFilesConfig,
    ForwardBackwardConfig,
    GreyConfig,
    LabelRequest,
    OcclusionConfig,
    SegMapsConfig,
    StreetConfig,
    open_labels,
    open_source,
    write_folder,
)
from vs_data.sequences.frames import LabelFrame
from vs_data.shards import PackOptions, pack_folder, whole_layout

H, W, FRAMES = 32, 64, 10  # more frames than a world renders at once
HOW = LabelRequest(kinds=(SegMapsConfig(),), size=(H, W), motion=FlowFilesConfig())
STREET = StreetConfig(height=H, width=W, sequence_length=FRAMES, val_sequences=1, seed=3)


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("street")
    write_folder(open_source(STREET, "val"), root, sequences=1)
    return root


@pytest.fixture
def root(written, tmp_path) -> Path:
    return Path(shutil.copytree(written, tmp_path / "street"))


def read(source: str | Path, how: LabelRequest = HOW) -> list[LabelFrame]:
    (sequence,) = open_labels(str(source), how)
    return list(sequence.read())


def test_a_world_gives_the_motion_of_its_clips_across_what_it_renders_at_once() -> None:
    clip = open_source(STREET, "val").read(ClipRequest(sequence=0, start=0, length=FRAMES))
    frames = read("street:3", attrs.evolve(HOW, frames=FRAMES))
    assert torch.equal(torch.stack([frame.motion[0] for frame in frames]), clip.flow)
    assert torch.equal(torch.stack([frame.motion[1] for frame in frames]), clip.flow_confidence)
    assert all(bool(frame.motion[1].any()) for frame in frames[1:])


def test_a_folder_gives_the_motion_of_its_files(root) -> None:
    frames, world = read(root), read("street:3", attrs.evolve(HOW, frames=FRAMES))
    for frame, other in zip(frames, world, strict=True):
        assert torch.equal(frame.labels["seg_maps"], other.labels["seg_maps"])
        torch.testing.assert_close(frame.motion[0], other.motion[0], rtol=1e-3, atol=1e-3)  # files are half precision
        assert (frame.motion[1] == other.motion[1]).float().mean() > 0.999


def test_the_first_frame_has_none_and_needs_no_file(root) -> None:
    first, *_ = read(root)
    assert not first.motion[0].any()
    assert not first.motion[1].any()
    assert not list((root / "flow").glob("*/000000.npz"))


def test_without_confidence_flow_is_trusted_where_it_points_into_the_picture(root) -> None:
    (file,) = (root / "flow").glob("*/000001.npz")
    flow = np.zeros((2, H, W), np.float32)
    flow[0, :, -3:] = 4.0
    np.savez(file, flow=flow)
    _, second, *_ = read(root)
    assert torch.equal(second.motion[1][0], torch.arange(W).expand(H, W).lt(W - 3).float())


def test_nobody_gets_motion_who_does_not_ask(root) -> None:
    how = attrs.evolve(HOW, motion=None)
    assert all(frame.motion is None for source in (root, "street:3") for frame in read(source, how))


def test_a_missing_file_is_named(root) -> None:
    next((root / "flow").glob("*/000007.npz")).unlink()
    with pytest.raises(DataError, match=r"flow/street-500000.*has no file of frame 000007.*every frame but the first"):
        open_labels(str(root), HOW)


def test_missing_motion_is_named(root) -> None:
    shutil.rmtree(root / "flow")
    with pytest.raises(DataError, match=r"flow/street-500000.*cannot be listed"):
        open_labels(str(root), HOW)


def test_motion_of_another_size_is_named_before_anything_is_made(root) -> None:
    for file in (root / "flow").glob("*/*.npz"):
        np.savez(file, flow=np.zeros((2, H, W // 2), np.float32))
    with pytest.raises(DataError, match=f"flow is {W // 2}x{H} pixels, its frame {W}x{H}"):
        open_labels(str(root), HOW)


@pytest.mark.parametrize("what", ["a folder of labels alone", "a video", "a pipe"])
def test_sources_that_hold_none_are_refused(what, root, tmp_path) -> None:
    (tmp_path / "a.mkv").write_bytes(b"x")
    source = {"a folder of labels alone": root / "seg_maps", "a video": tmp_path / "a.mkv", "a pipe": "-"}[what]
    expected = f"the model takes the motion of each frame too, of which {what} has none.*seg_maps/SEQ and flow/SEQ"
    with pytest.raises(DataError, match=expected):
        open_labels(str(source), HOW, stdin=io.BytesIO())


def test_what_is_computed_from_frames_is_not_asked_for_as_a_folder_of_its_own(tmp_path) -> None:
    (tmp_path / "a.mkv").write_bytes(b"x")
    how = attrs.evolve(HOW, kinds=(EdgesConfig(), GreyConfig()))
    with pytest.raises(DataError, match=r"name a data folder with images/SEQ and flow/SEQ in it \(data:extract"):
        open_labels(str(tmp_path / "a.mkv"), how)


@pytest.mark.parametrize(
    "files",
    [
        FlowFilesConfig(),
        FlowFilesConfig(direction="forward", confidence=OcclusionConfig(folder="hidden")),
        FlowFilesConfig(confidence=ForwardBackwardConfig(folder="ahead")),
    ],
    ids=["backward", "forward with masks", "both directions"],
)
def test_a_pack_gives_the_motion_of_its_folder(files, root, tmp_path) -> None:
    (here,), rng = (root / "flow").iterdir(), np.random.default_rng(0)
    if files.direction == "forward":
        (here / "000009.npz").unlink(missing_ok=True)
        shutil.copy(here / "000001.npz", here / "000000.npz")
    for folder in ("hidden", "ahead"):
        (root / folder / here.name).mkdir(parents=True)
    for index in range(FRAMES - 1):
        mask = rng.integers(0, 2, (H, W), np.uint8)
        assert cv2.imwrite(str(root / "hidden" / here.name / f"{index:06d}.png"), mask)
        ahead = rng.normal(size=(2, H, W)).astype(np.float32)
        np.savez(root / "ahead" / here.name / f"{index:06d}.npz", flow=ahead)
    pack_folder(whole_layout(root), tmp_path / "pack", PackOptions())
    how = attrs.evolve(HOW, motion=files)
    folder, packed = read(root, how), read(tmp_path / "pack", how)
    assert len(packed) == FRAMES
    for one, other in zip(folder, packed, strict=True):
        assert torch.equal(one.labels["seg_maps"], other.labels["seg_maps"])
        assert all(torch.equal(a, b) for a, b in zip(one.motion, other.motion, strict=True))
    assert any(frame.motion[0].any() and frame.motion[1].any() for frame in packed)
    with pytest.raises(DataError, match="vectors was not packed"):
        read(tmp_path / "pack", attrs.evolve(HOW, motion=FlowFilesConfig(folder="vectors")))
