"""Names of files as OpenPose writes them, FRAME_keypoints.json: each belongs to its frame."""

import shutil
from pathlib import Path

import torch
from test_keypoints import SIZE, folder_of, openpose, standing, write
from vs_data import ClipRequest, KeypointsConfig, check_folder, open_folder, open_labels, open_references
from vs_data.sequences import LabelRequest


def test_files_that_are_called_as_openpose_calls_them_belong_to_the_frames_of_the_pictures(tmp_path: Path) -> None:
    """Beside pictures, alone, and beside a photograph; in the order of frames, which is not that of these names."""
    frames = [openpose(standing(30 + 2 * index)) for index in range(12)]
    plain, called = write(tmp_path / "plain", frames), write(tmp_path / "called", frames)
    for root in (plain, called):
        for file in root.rglob("*/a/*"):
            file.rename(file.with_name(f"f{int(file.stem)}{file.suffix}"))  # f1, f10, f11, f2
    for file in (called / "poses-openpose" / "a").iterdir():
        file.rename(file.with_name(f"{file.stem}_keypoints.json"))
    assert not check_folder(folder_of(called)).errors
    request = ClipRequest(sequence=0, start=0, length=12)
    expected, found = (open_folder(folder_of(root), "val").read(request) for root in (plain, called))
    assert torch.equal(found.labels["poses-openpose"], expected.labels["poses-openpose"])
    assert not torch.equal(found.labels["poses-openpose"][0], found.labels["poses-openpose"][1])
    asked = LabelRequest(kinds=(KeypointsConfig(skeleton="body25"),), size=SIZE)
    of_plain, of_called = (
        [frame.labels["poses-openpose"] for frame in open_labels(str(root / "poses-openpose"), asked)[0].read()]
        for root in (plain, called)
    )
    assert torch.equal(torch.stack(of_plain), torch.stack(of_called))
    assert len({label.numpy().tobytes() for label in of_called}) > 6
    photograph = shutil.copy(called / "images" / "a" / "f3.png", tmp_path / "me.png")
    shutil.copy(called / "poses-openpose" / "a" / "f3_keypoints.json", tmp_path / "me_keypoints.json")
    subject = open_references(str(photograph), asked)
    assert subject.references.labels["poses-openpose"].amax() > 0.5


def test_a_frame_has_one_file_whatever_it_is_called_and_a_missing_one_is_called_as_the_others(tmp_path: Path) -> None:
    root = write(tmp_path, [openpose(standing())] * 3)
    files = sorted((root / "poses-openpose" / "a").iterdir())
    shutil.copy(files[0], files[0].with_name("000_keypoints.json"))
    [twice] = check_folder(folder_of(root)).errors
    assert twice.file.endswith("a/000_keypoints.json")
    assert "the same frame as 000.json" in twice.what
    for file in files[:2]:
        file.unlink()
    files[2].rename(files[2].with_name("002_keypoints.json"))
    [missing] = check_folder(folder_of(root)).errors
    assert missing.file.endswith("a/001_keypoints.json")
    assert "missing" in missing.what
