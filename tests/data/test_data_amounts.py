"""Checks of every container: what is opened, by headers or by pixels, how much there is, and that all find the same."""

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from picture_files import encoded, exif, jpeg_with
from video_files import striped, write_video
from vs_data import EdgesConfig, FolderConfig, NoFlowConfig, VideoConfig, check_folder
from vs_data.cli import main
from vs_data.pictures import inspect_rgb, inspect_size


def checked(capsys, *arguments: object) -> tuple[int, str]:
    status = main(["check", *map(str, arguments)])
    return status, " ".join(capsys.readouterr().out.split())


def test_a_video_alone_is_checked_and_lasts_as_long_as_it_says(tmp_path, capsys):
    path = write_video(tmp_path / "clip.mkv", [striped(number, (32, 50)) for number in range(30)], "ffv1", "bgr0")
    status, output = checked(capsys, path)
    assert status == 0
    assert "50x32 (30 images)" in output
    assert f"amount 1.2 s; {path.stat().st_size / 1e6:.2f} MB" in output
    assert "found by --decode" in output
    assert "with all pixels" in checked(capsys, path, "--decode")[1]


def test_repeated_frames_and_cuts_of_videos_are_found(tmp_path, capsys):
    numbers = [0, 1, 2, 3, 3, 4, 5, 6]
    path = write_video(tmp_path / "clip.mkv", [striped(number, (32, 50)) for number in numbers], "ffv1", "bgr0")
    assert "1 of 8 frames repeat the picture before them: 000004" in checked(capsys, path, "--decode")[1]
    assert "repeat the picture" not in checked(capsys, path)[1]


def test_folders_last_as_long_as_somebody_says(folder, capsys):
    root = folder({"a": 5, "b": 3})
    size = sum(path.stat().st_size for path in (root / "images").rglob("*.png")) / 1e6
    status, output = checked(capsys, root, "--fps", "4")
    assert status == 0
    assert "amount 2.0 s (frames that are files: 4 a second, see --fps)" in output
    assert f"images {size:.2f}" in output
    assert "16 of 16 files" in output
    assert "amount 0.22 h (frames" in checked(capsys, root, "--fps", "0.01")[1]  # 800 s
    assert "8 of 16 files" in checked(capsys, root, "--every", "2")[1]


def test_packs_are_checked_as_the_folders_they_were(folder, tmp_path, capsys):
    root = folder({"a": 5}, flow=True)
    assert main(["pack", str(root), "--out", str(tmp_path / "pack")]) == 0
    capsys.readouterr()
    for place in (root, tmp_path / "pack"):
        status, output = checked(capsys, place, "--decode", "--show", tmp_path / f"of-{place.name}")
        assert status == 0
        assert "14 of 14 files" in output
        assert "1 of 1 sequences shown" in output
    sheets = [(tmp_path / f"of-{place}" / "0000-a.png").read_bytes() for place in ("data", "pack")]
    assert sheets[0] == sheets[1]


def test_videos_of_pictures_and_of_labels_are_checked(folder, tmp_path, capsys):
    root = folder({"a": 4})
    for kind, pixels in (("images", "bgr0"), ("seg_maps", "gray")):
        files = sorted((root / kind / "a").iterdir())
        frames = [cv2.imread(str(path), cv2.IMREAD_UNCHANGED) for path in files]
        write_video(
            root / kind / "a.mkv", [each[..., ::-1] if each.ndim == 3 else each for each in frames], "ffv1", pixels
        )
        shutil.rmtree(root / kind / "a")
    for options in ([], ["--decode"]):
        status, output = checked(capsys, root, "--classes", "11", *options)
        assert status == 2
        assert "seg_maps/a.mkv frame 0: class id 11 at" in output
        assert "80x48 (4 images)" in output


def test_headers_tell_the_size_and_pixels_the_rest(folder, capsys):
    root = folder({"a": 3})
    path = root / "images" / "a" / "0001.png"
    picture = cv2.imread(str(path))
    data = cv2.imencode(".jpg", picture)[1].tobytes()
    hurt = bytearray(data)
    hurt[len(data) // 2 : len(data) // 2 + 60] = bytes(60)  # no marker is hurt
    path.unlink()
    path.with_suffix(".jpg").write_bytes(hurt)
    assert checked(capsys, root)[0] == 0
    status, output = checked(capsys, root, "--decode")
    assert status == 2
    assert "0001.jpg: not a readable JPEG" in output
    path.with_suffix(".jpg").write_bytes(data[: len(data) // 2])
    assert "JPEG cut off after" in checked(capsys, root)[1]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_size_is_that_of_the_decoded_picture(tmp_path: Path, orientation: int):
    path = tmp_path / "a.jpg"
    path.write_bytes(jpeg_with(encoded(".jpg", np.zeros((16, 24, 3), np.uint8)), exif(orientation)))
    found = inspect_rgb(path)
    assert inspect_size(path) == (found.pixels.shape[:2], found.notes)


def test_what_is_computed_needs_no_folder(folder, capsys):
    root = folder({"a": 3})
    shutil.rmtree(root / "seg_maps")
    report = check_folder(FolderConfig(root=str(root), labels=(EdgesConfig(),), flow=NoFlowConfig()))
    assert (report.findings, report.opened, report.in_all) == ((), 3, 3)
    assert checked(capsys, root, "--labels", "edges")[0] == 0
    assert checked(capsys, root)[0] == 2  # nobody has said that there are no labels


def test_a_bad_video_is_one_line(tmp_path):
    (tmp_path / "clip.mp4").write_bytes(b"nothing")
    report = check_folder(VideoConfig(root=str(tmp_path / "clip.mp4"), labels=(EdgesConfig(),), flow=NoFlowConfig()))
    (error,) = report.errors  # that there are no frames in it needs no telling
    assert error.what.startswith("cannot be opened as a video")
    assert report.amount.seconds == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--fps", "0"], "--fps"),
        (["--fps", "nan"], "--fps"),
        (["--show", "images"], "images: the folder is not empty"),
        (["--show", "images/a/0000.png"], "images/a/0000.png: cannot be written"),
    ],
)
def test_a_mistake_is_one_line_before_any_work(folder, capsys, monkeypatch, options, message):
    monkeypatch.chdir(folder({"a": 3}))
    assert main(["check", ".", *options]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert message in captured.err
