"""The check of a data folder: every kind of bad data is found, with file, place and value."""

import json
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from vs_data import (
    CheckReport,
    DataError,
    Finding,
    FlowFilesConfig,
    FolderConfig,
    LandmarksConfig,
    NoFlowConfig,
    SegMapsConfig,
    check_folder,
    check_roots,
)
from vs_data.pictures import Picture, inspect_rgb, read_rgb


def only(report: CheckReport) -> Finding:
    assert len(report.findings) == 1, report.findings
    return report.findings[0]


def test_a_good_folder_is_summed_up(folder, ids_of):
    report = check_folder(folder({"a": 3, "b": 2}, flow=True))
    assert report.findings == ()
    assert [(info.name, info.frames) for info in report.sequences] == [("a", 3), ("b", 2)]
    assert report.frames == 5
    assert report.sizes == {(48, 80): 5}
    assert report.opened == 5 + 5 + 3
    ids = [ids_of((48, 80), 2 * frame) for frame in (0, 1, 2, 0, 1)]
    assert report.class_pixels["seg_maps"] == tuple(np.bincount(np.concatenate(ids).ravel(), minlength=35))
    assert report.ignored_pixels == {"seg_maps": 0}


def test_ids_out_of_range(folder):
    root = folder({"a": 3})
    path = root / "seg_maps" / "a" / "0001.png"
    ids = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    ids[7, 9:12] = 40
    ids[8, 2] = 99
    ids[0, 0] = 255
    cv2.imwrite(str(path), ids)
    report = check_folder(root)
    finding = only(report)
    assert finding.severity == "error"
    assert finding.file == str(path)
    assert finding.what == "class id 40 at x=9, y=7 is out of range (4 such pixels; ids out of range: 40, 99)"
    assert "0 to 34, or 255" in finding.fix
    assert report.ignored_pixels == {"seg_maps": 1}
    strict = FolderConfig(root=str(root), labels=(SegMapsConfig(ignore_id=None),), flow=NoFlowConfig())
    assert "class id 255 at x=0, y=0" in only(check_folder(strict, declared=False)).what


def test_unreadable_and_truncated_files(folder):
    root = folder({"a": 4}, flow=True)
    for kind, name in (("images", "0000.png"), ("seg_maps", "0001.png"), ("flow", "0002.npz")):
        path = root / kind / "a" / name
        path.write_bytes(path.read_bytes()[:60])
    (root / "images" / "a" / "0003.png").write_text("not a picture")
    found = {finding.file: finding.what for finding in check_folder(root).errors}
    assert found == {
        str(root / "images" / "a" / "0000.png"): "PNG cut off after 60 bytes",
        str(root / "seg_maps" / "a" / "0001.png"): "PNG cut off after 60 bytes",
        str(root / "flow" / "a" / "0002.npz"): "not a readable .npz file",
        str(root / "images" / "a" / "0003.png"): "not a readable picture",
    }


def test_wrong_depth_and_channels(folder, colours, ids_of):
    root = folder({"a": 3})
    cv2.imwrite(str(root / "images" / "a" / "0000.png"), np.zeros((48, 80), np.uint8))
    cv2.imwrite(str(root / "images" / "a" / "0001.png"), np.zeros((48, 80, 3), np.uint16))
    cv2.imwrite(str(root / "seg_maps" / "a" / "0001.png"), np.full((48, 80), 1000, np.uint16))
    cv2.imwrite(str(root / "seg_maps" / "a" / "0002.png"), colours[ids_of((48, 80), 0)])
    found = [finding.what for finding in check_folder(root).errors]
    assert found == [
        "holds values up to 1000, class ids are 0 to 255",
        "is a picture of colours (8 bits, 3 channels), not a map of class ids",
    ]


def test_sizes_that_differ_within_a_sequence(folder):
    root = folder({"a": 4})
    for kind, shape in (("images", (40, 80, 3)), ("seg_maps", (40, 80))):
        cv2.imwrite(str(root / kind / "a" / "0002.png"), np.zeros(shape, np.uint8))
    report = check_folder(root)
    finding = only(report)
    assert finding.file == str(root / "images" / "a" / "0002.png")
    assert finding.what == "is 80x40 pixels, the other images of the sequence are 80x48"
    assert report.sizes == {(48, 80): 3, (40, 80): 1}


def test_sizes_that_differ_between_modalities(folder):
    root = folder({"a": 3}, flow=True)
    cv2.imwrite(str(root / "seg_maps" / "a" / "0000.png"), np.zeros((24, 40), np.uint8))
    np.savez(root / "flow" / "a" / "0001.npz", flow=np.zeros((2, 24, 40), np.float32))
    found = {finding.file: finding.what for finding in check_folder(root).errors}
    assert found == {
        str(root / "seg_maps" / "a" / "0000.png"): "is 40x24 pixels, its frame in images 80x48",
        str(root / "flow" / "a" / "0001.npz"): "flow is 40x24 pixels, its frame 80x48",
    }


def test_sequences_may_differ_in_size(folder, tmp_path):
    root = folder({"a": 2})
    for kind in ("images", "seg_maps"):
        (root / kind / "b").mkdir()
    for frame in range(2):
        cv2.imwrite(str(root / "images" / "b" / f"{frame}.png"), np.full((20, 30, 3), frame, np.uint8))
        cv2.imwrite(str(root / "seg_maps" / "b" / f"{frame}.png"), np.zeros((20, 30), np.uint8))
    report = check_folder(root)
    assert report.findings == ()
    assert report.sizes == {(48, 80): 2, (20, 30): 2}


def test_landmarks_are_looked_at_like_all_files(face_folder, face_points):
    face = face_points(centre=(60, 45))
    root = face_folder({"a": np.stack([face + np.array([frame, 0]) for frame in range(6)])})
    config = FolderConfig(root=str(root), labels=(LandmarksConfig(),), flow=NoFlowConfig())
    good = check_folder(config)
    assert good.findings == ()
    assert good.opened == 12
    assert good.class_pixels == {}
    place = root / "landmarks-dlib68" / "a"
    (place / "0000.json").write_text(json.dumps(face[:67].tolist()))
    for frame, index, value in ((1, 5, float("nan")), (2, 8, 9999.0), (3, 60, 128.0)):
        points = face.copy()
        points[index, 0] = value
        (place / f"000{frame}.json").write_text(json.dumps(points.tolist()))
    (place / "0004.json").unlink()
    found = {finding.file: (finding.severity, finding.what) for finding in check_folder(config).findings}
    assert found == {
        str(place / "0000.json"): ("error", "holds 67 landmarks, 68 are needed"),
        str(place / "0001.json"): ("error", f"landmark 5 is [NaN, {face[5, 1]}], not finite"),
        str(place / "0002.json"): (
            "error",
            f"landmark 8 is at x=9999, y={face[8, 1]:g}, far outside of the picture (128x96)",
        ),
        str(place / "0003.json"): (
            "warning",
            f"landmark 60 is at x=128, y={face[60, 1]:g}, outside of the picture (128x96)",
        ),
        str(place / "0004.json"): ("error", "the file is missing"),
    }


def test_landmarks_and_class_ids_of_one_folder(face_folder, face_points):
    root = face_folder({"a": np.stack([face_points(centre=(60 + frame, 45)) for frame in range(2)])})
    labels = (SegMapsConfig(num_classes=2), LandmarksConfig())
    report = check_folder(FolderConfig(root=str(root), labels=labels, flow=NoFlowConfig()))
    assert report.findings == ()
    assert report.opened == 6
    assert list(report.class_pixels) == ["seg_maps"]
    (root / "images" / "a" / "0001.png").write_text("bad")  # then nobody knows what is outside of it
    (root / "landmarks-dlib68" / "a" / "0001.json").write_text(json.dumps((face_points() + 500).tolist()))
    found = check_folder(FolderConfig(root=str(root), labels=labels, flow=NoFlowConfig())).findings
    assert [finding.what for finding in found if finding.severity == "error"] == ["not a readable picture"]


def test_missing_and_surplus_frames(folder):
    root = folder({"a": 5}, flow=True)
    (root / "seg_maps" / "a" / "0001.png").unlink()
    (root / "images" / "a" / "0004.png").unlink()
    (root / "flow" / "a" / "0002.npz").unlink()
    found = {finding.file: finding.what for finding in check_folder(root).errors}
    assert found == {
        str(root / "seg_maps" / "a" / "0001.png"): "the file is missing",
        str(root / "seg_maps" / "a" / "0004.png"): "surplus: there is no frame images/a/0004.*",
        str(root / "flow" / "a" / "0002.npz"): "the file is missing",
        str(root / "flow" / "a" / "0004.npz"): "surplus: there is no frame images/a/0004.*",
    }


def test_sequences_whose_names_do_not_agree(folder):
    root = folder({"a": 2, "b": 2})
    (root / "seg_maps" / "b").rename(root / "seg_maps" / "B")
    found = {finding.file: finding.what for finding in check_folder(root).errors}
    assert found == {
        str(root / "seg_maps" / "b"): "the folder of this sequence is missing",
        str(root / "seg_maps" / "B"): "surplus: there is no images/B",
    }


def test_empty_and_short_sequences(folder):
    root = folder({"a": 3, "b": 1})
    for kind in ("images", "seg_maps"):
        (root / kind / "c").mkdir()
    found = {finding.file: finding.what for finding in check_folder(root).errors}
    assert found == {
        str(root / "images" / "b"): "the sequence has 1 frame, at least 2 are needed",
        str(root / "images" / "c"): "the sequence is empty",
    }


def test_missing_folders(folder, tmp_path):
    root = folder({"a": 2})
    with pytest.raises(DataError, match="does not exist; expected images/SEQUENCE"):
        check_folder(tmp_path / "nowhere")
    with pytest.raises(DataError, match="is not a folder"):
        check_folder(root / "images" / "a" / "0000.png")
    for path in sorted((root / "seg_maps").rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    assert only(check_folder(root)).what == "the folder of this sequence is missing"
    (root / "seg_maps").rmdir()
    assert only(check_folder(root)).what == "the folder does not exist"
    asked = FolderConfig(root=str(root), flow=FlowFilesConfig())
    assert [finding.file for finding in check_folder(asked).errors] == [str(root / "seg_maps"), str(root / "flow")]


def test_a_folder_without_sequences(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "seg_maps").mkdir()
    assert only(check_folder(tmp_path)).what == "has no sequences"


def test_foreign_files_are_warnings_and_hidden_ones_are_nothing(folder):
    root = folder({"a": 2})
    (root / "images" / ".DS_Store").write_text("x")
    (root / "images" / "a" / ".hidden").write_text("x")
    (root / "images" / "a" / "notes.txt").write_text("x")
    (root / "images" / "readme.md").write_text("x")
    report = check_folder(root)
    assert report.errors == ()
    assert {finding.file for finding in report.findings} == {
        str(root / "images" / "a" / "notes.txt"),
        str(root / "images" / "readme.md"),
    }


def test_one_frame_in_two_formats_is_an_error(folder):
    root = folder({"a": 2})
    (root / "images" / "a" / "0001.jpg").write_bytes((root / "images" / "a" / "0001.png").read_bytes())
    assert only(check_folder(root)).what == "the same frame as 0001.jpg"


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["f1", "f2", "f10"], "sorted by name, frame f2 follows f10"),
        (["f001", "f002", "f003", "f007", "f008"], "frames are missing between f003 and f007"),
        (["f000", "f005", "f010", "f015"], None),
        (["first", "second"], None),
        (["1_9", "2_0", "2_1"], None),
    ],
)
def test_numbers_that_jump_or_sort_wrongly_are_warnings(folder, names, message):
    root = folder({"a": len(names)})
    for kind in ("images", "seg_maps"):
        for path, name in zip(sorted((root / kind / "a").iterdir()), names, strict=True):
            path.rename(path.with_name(f"{name}.png"))
    report = check_folder(root)
    assert report.errors == ()
    if message is None:
        assert report.findings == ()
    else:
        assert message in only(report).what


def test_every_nth_frame_is_opened_but_all_names_are_compared(folder):
    root = folder({"a": 5, "b": 5})
    (root / "images" / "a" / "0001.png").write_text("bad")  # the second file, which is passed over
    (root / "images" / "b" / "0001.png").write_text("bad")  # the seventh, which is not
    (root / "seg_maps" / "b" / "0004.png").unlink()
    report = check_folder(root, every=2)
    assert report.opened == 10
    assert [finding.file for finding in report.errors] == [
        str(root / "seg_maps" / "b" / "0004.png"),
        str(root / "images" / "b" / "0001.png"),
    ]


def test_progress_is_told_and_threads_change_nothing(folder):
    root = folder({"a": 4, "b": 3})
    (root / "images" / "a" / "0002.png").write_text("bad")
    calls: list[tuple[str, int, int]] = []
    one = check_folder(root, threads=1, progress=lambda *call: calls.append(call))
    assert calls == [("frames", done, 7) for done in range(1, 8)]
    assert check_folder(root, threads=4) == one


def test_roots_to_check(folder, tmp_path):
    root = str(folder({"a": 2}))
    assert check_roots(FolderConfig(root=root)) == ("train",)
    assert check_roots(FolderConfig(root=root, val_root=root)) == ("train",)
    assert check_roots(FolderConfig(root=root, val_root=str(tmp_path))) == ("train", "val")


def test_what_readers_say_of_files_is_counted_by_sentence(folder, monkeypatch):
    root = folder({"a": 3, "b": 4})

    def inspect(path: Path) -> Picture:
        grey = ("is grey",) if path.parent.name == "b" else ()
        deep = ("has 16 bits",) if path.stem == "0001" else ()
        return Picture(pixels=read_rgb(path), notes=(*grey, *deep))

    monkeypatch.setattr("vs_data.looks.inspect_rgb", inspect)
    images = root / "images"
    assert {finding.file: finding.what for finding in check_folder(root).findings} == {
        str(images / "b" / "0000.png"): "is grey (4 such files, the next: b/0001.png, b/0002.png, b/0003.png)",
        str(images / "a" / "0001.png"): "has 16 bits (2 such files, the next: b/0001.png)",
    }


def test_greys_are_a_warning_and_the_folder_can_be_used(folder):
    root = folder({"a": 3})
    for path in (root / "images" / "a").iterdir():
        cv2.imwrite(str(path), cv2.imread(str(path), cv2.IMREAD_GRAYSCALE))
    finding = only(check_folder(root))
    assert finding.severity == "warning"
    assert finding.what.endswith("used three times (3 such files, the next: a/0001.png, a/0002.png)")


def test_no_more_frames_are_looked_at_than_are_soon_needed(folder, monkeypatch):
    """So that the memory of a check does not grow with the folder."""
    looked, ahead = [], []

    def inspect(content):
        looked.append(content)
        return inspect_rgb(content)

    def progress(_unit, done, _total):
        if done == 5:
            time.sleep(0.3)
        ahead.append(len(looked) - done)

    monkeypatch.setattr("vs_data.looks.inspect_rgb", inspect)
    assert check_folder(folder({"a": 60}), threads=1, progress=progress).opened == 120
    assert len(looked) == 60
    assert max(ahead) <= 16
