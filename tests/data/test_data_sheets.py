"""Contact sheets: what they show is what is there, one for a sequence, bounded, and whole or not at all."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from conftest import texture_picture
from video_files import striped, write_video
from vs_data import (
    DataError,
    EdgesConfig,
    FolderConfig,
    ImageConfig,
    InstancesConfig,
    KeypointsConfig,
    LandmarksConfig,
    NoFlowConfig,
    SegMapsConfig,
    VideoConfig,
)
from vs_data.labels import LabelKind, handler_of
from vs_data.overlays import meanings, overlay
from vs_data.pictures import read_rgb
from vs_data.sheets import MAX_SHEETS, write_sheets


def config_of(root: Path, *labels: LabelKind) -> FolderConfig:
    return FolderConfig(root=str(root), labels=labels, flow=NoFlowConfig())


def test_there_is_a_sheet_for_each_sequence_and_names_do_not_lead_elsewhere(folder, tmp_path):
    root = folder({"a": 5, "b c..": 2, "Straße": 1})
    done = write_sheets(config_of(root, SegMapsConfig(num_classes=12)), tmp_path / "out")
    assert (done.sheets, done.sequences, done.failed) == (3, 3, ())
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "0000-Stra_e.png",
        "0001-a.png",
        "0002-b_c__.png",
    ]


def test_a_label_lies_over_its_frame_and_its_neighbours(folder, tmp_path, colours, ids_of):
    """In a picture whose colours are a function of ids, the label fits its own frame alone."""
    root = folder({"a": 9}, size=(160, 320))
    colour_table = tuple(map(tuple, colours[:12].tolist()))
    for path in (root / "seg_maps" / "a").iterdir():
        ids = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        cv2.imwrite(str(path), colours[ids][..., ::-1])
    write_sheets(config_of(root, SegMapsConfig(num_classes=12, colours=colour_table)), tmp_path / "out")
    sheet = read_rgb(tmp_path / "out" / "0000-a.png")
    own = colours[ids_of((160, 320), 2)]
    cells = [sheet[18 + 18 : 18 + 18 + 160, left : left + 320] for left in (0, 324, 648, 972)]
    assert (cells[0] == own).all()
    assert (cells[2] == own).all()
    assert (cells[1] != own).any(axis=2).mean() > 0.05
    assert (cells[3] != own).any(axis=2).mean() > 0.05


def test_many_sequences_are_spread_and_bad_ones_are_named(folder, tmp_path):
    root = folder({f"{number:03d}": 1 for number in range(MAX_SHEETS + 12)}, size=(16, 16))
    (root / "seg_maps" / "000" / "0000.png").write_text("bad")
    done = write_sheets(config_of(root, SegMapsConfig()), tmp_path / "out")
    assert (done.sheets, done.sequences, done.failed) == (MAX_SHEETS - 1, MAX_SHEETS + 12, ("000",))
    assert (tmp_path / "out" / f"{MAX_SHEETS - 1:04d}-{MAX_SHEETS + 11:03d}.png").exists()
    with pytest.raises(DataError, match="not empty"):
        write_sheets(config_of(root, SegMapsConfig()), tmp_path / "out")


def test_points_and_depth_and_what_is_computed_are_shown(face_folder, face_points, tmp_path):
    root = face_folder({"a": np.stack([face_points(centre=(60 + frame, 45)) for frame in range(3)])})
    (root / "poses-openpose" / "a").mkdir(parents=True)
    (root / "depth" / "a").mkdir(parents=True)
    for frame in range(3):
        (root / "poses-openpose" / "a" / f"{frame:04d}.json").write_text(json.dumps({"people": []}))
        cv2.imwrite(str(root / "depth" / "a" / f"{frame:04d}.png"), np.full((96, 128), 9, np.uint16))
    kinds = (LandmarksConfig(), KeypointsConfig(), ImageConfig(folder="depth", channels=1), EdgesConfig())
    assert write_sheets(config_of(root, *kinds), tmp_path / "out").failed == ()
    height, width = read_rgb(tmp_path / "out" / "0000-a.png").shape[:2]
    assert width == 4 * (2 * 128 + 4)
    assert height == 18 + 4 * (2 * 96 + 18 + 4 + 18)


def test_a_video_alone_is_shown(tmp_path):
    path = write_video(tmp_path / "clip.mkv", [striped(number, (32, 50)) for number in range(6)], "ffv1", "bgr0")
    config = VideoConfig(root=str(path), labels=(EdgesConfig(),), flow=NoFlowConfig())
    assert write_sheets(config, tmp_path / "out").sheets == 1


def test_of_small_frames_the_label_is_shown_that_is_trained_on_and_no_other_of_enlarged_ones(tmp_path):
    (tmp_path / "images" / "a").mkdir(parents=True)
    frame = striped(3, (40, 64))
    cv2.imwrite(str(tmp_path / "images" / "a" / "0.png"), frame[..., ::-1])
    kind = EdgesConfig()
    write_sheets(config_of(tmp_path, kind), tmp_path / "out")
    computed = handler_of(kind).computed
    assert computed is not None
    shown = overlay(kind, computed([frame])[0], frame)
    own = read_rgb(tmp_path / "out" / "0000-a.png")[36 : 36 + 200, 648 : 648 + 320]
    np.testing.assert_array_equal(own, shown.repeat(5, axis=0).repeat(5, axis=1))


def test_lines_and_classes_have_colours_that_can_be_told_from_the_frame():
    frame = np.full((4, 6, 3), 100, np.uint8)
    lines = torch.zeros(1, 4, 6)
    lines[0, 2] = 1
    shown = overlay(EdgesConfig(), lines, frame)
    assert (shown[2] == (255, 230, 0)).all()
    assert (shown[0] == 55).all()
    for classes in (5, 35, 256):
        kind = SegMapsConfig(num_classes=classes, ignore_id=None)
        found = meanings(kind, torch.arange(classes).to(torch.uint8)[None])
        assert len({entry.colour for entry in found}) >= min(classes, 30)
        assert all(entry.colour is not None and max(entry.colour) > 50 for entry in found)
    named = SegMapsConfig(num_classes=2, class_names=("road", "sky"))
    texts = [entry.text for entry in meanings(named, torch.tensor([[0, 1, 255]], dtype=torch.uint8))]
    assert texts == ["0 road", "1 sky", "255 ignored"]


def test_depth_is_told_by_colours_whatever_the_frame_is_and_its_range_stands_below():
    """The luminance of the frame is kept, so that a shift shows; which of two is farther, colours tell alone."""
    kind = ImageConfig(folder="depth", channels=1, minimum=0.5, maximum=80.0, log=True)
    depth = torch.linspace(-1, 1, 6).expand(1, 4, 6)
    for frame in (np.full((4, 6, 3), 250, np.uint8), np.full((4, 6, 3), (20, 90, 160), np.uint8)):
        shown = overlay(kind, depth, frame).astype(int)
        near, far = shown[0, 0], shown[0, -1]
        assert near[2] > near[1] > 0  # blue
        assert min(far[0], far[1]) > far[2] + 60  # yellow
        steps = np.abs(np.diff(shown[0], axis=0)).sum(axis=1)
        assert steps.min() > 20
    plain, *ramp = meanings(kind, depth[None])
    assert plain.text == "a picture of 1 channel, from 0.5 to 80 by the logarithm, scaled to [-1, 1]"
    assert [entry.text for entry in ramp] == ["-1", "0", "1"]
    assert len({entry.colour for entry in ramp}) == 3
    normals = ImageConfig(folder="normals")
    assert [entry.text for entry in meanings(normals, torch.zeros(1, 3, 4, 6))] == [
        "a picture of 3 channels, scaled to [-1, 1]"
    ]


def test_what_is_below_a_mask_is_seen_through_it():
    frame = texture_picture((32, 48), 3)
    mask = torch.zeros(1, 32, 48)
    mask[:, 8:24, 8:40] = 1
    shown = overlay(InstancesConfig(show="largest"), mask, frame).astype(int)
    inside, outside = np.s_[8:24, 8:40], np.s_[:8]
    for part in (inside, outside):
        assert np.corrcoef(shown[part][..., 2].ravel(), frame[part][..., 2].ravel())[0, 1] > 0.98
    assert (shown[inside][..., 0] - shown[inside][..., 2]).mean() > 80  # yellow
    assert abs((shown[outside][..., 0] - shown[outside][..., 2]).mean()) < 40


def test_captions_of_portraits_are_not_cut(tmp_path):
    """A column is as wide as the longest caption, however narrow the frames are."""
    for place in ("images", "seg_maps"):
        (tmp_path / "data" / place / "a").mkdir(parents=True)
        for frame in range(3):
            cv2.imwrite(str(tmp_path / "data" / place / "a" / f"{frame}.png"), np.zeros((320, 40), np.uint8))
    write_sheets(config_of(tmp_path / "data", SegMapsConfig(num_classes=1)), tmp_path / "out")
    sheet = read_rgb(tmp_path / "out" / "0000-a.png")
    width, _ = cv2.getTextSize("seg_maps over the frame before", cv2.FONT_HERSHEY_SIMPLEX, 0.4, 1)[0]
    assert sheet.shape[1] >= 4 * width
