import logging
import resource
from collections.abc import Iterator
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from vs_metrics import ShapeError, VideoError, VideoWriter, small_webp, write_mp4, write_png


def moving_bar(count: int, height: int, width: int) -> list[np.ndarray]:
    frames = []
    for index in range(count):
        frame = np.full((height, width, 3), (200, 60, 30), dtype=np.uint8)
        frame[:, 8 * index : 8 * index + 8] = (20, 90, 220)
        frames.append(frame)
    return frames


def decoded(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def test_png_round_trip_makes_parents_and_repeats_its_bytes(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (9, 13, 3), dtype=np.uint8)
    path = write_png(tmp_path / "a" / "b" / "picture.png", image)
    assert bool((cv2.imread(str(path))[..., ::-1] == image).all())
    first = path.read_bytes()
    write_png(path, image.copy())
    assert path.read_bytes() == first
    assert [entry.name for entry in path.parent.iterdir()] == ["picture.png"]


@pytest.mark.parametrize(("width", "shape"), [(40, (20, 40)), (20, (10, 20)), (1, (1, 1)), (99, (20, 40))])
def test_a_small_webp_is_no_wider_than_asked_for_and_shows_the_picture(width: int, shape: tuple[int, int]) -> None:
    (image,) = moving_bar(1, 20, 40)
    seen = cv2.imdecode(np.frombuffer(small_webp(image, width=width), np.uint8), cv2.IMREAD_COLOR)
    assert seen.shape == (*shape, 3)
    assert np.abs(seen[..., ::-1].mean((0, 1)) - image.mean((0, 1))).max() < 8


def test_png_refuses_what_is_no_picture_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ShapeError):
        write_png(tmp_path / "x" / "p.png", np.zeros((4, 4), dtype=np.uint8))
    assert list(tmp_path.iterdir()) == []


def test_png_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "p.png").mkdir()
    with pytest.raises(OSError, match="directory"):
        write_png(tmp_path / "p.png", np.zeros((4, 4, 3), dtype=np.uint8))
    assert [entry.name for entry in tmp_path.iterdir()] == ["p.png"]


def test_video_round_trip_keeps_order_colours_and_rate(tmp_path: Path) -> None:
    frames = moving_bar(6, 48, 64)
    written = write_mp4(tmp_path / "sub" / "clip.mp4", iter(frames), fps=12.5)
    assert (written.frames, written.width, written.height) == (6, 64, 48)
    back = decoded(written.path)
    assert len(back) == 6
    for real, read in zip(frames, back, strict=True):
        assert np.abs(read[:, :-2].astype(int) - real[:, :-2]).mean() < 6
        assert np.abs(read[4, 60].astype(int) - real[4, 60]).max() <= 8
    with av.open(str(written.path)) as container:
        stream = container.streams.video[0]
        assert float(stream.average_rate) == 12.5
        assert stream.codec_context.pix_fmt == "yuv420p"
        assert {"libx264": "h264", "mpeg4": "mpeg4"}[written.codec] == stream.codec_context.name


def test_video_repeats_its_bytes(tmp_path: Path) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (12, 40, 56, 3), dtype=np.uint8)
    first = write_mp4(tmp_path / "one.mp4", noise, fps=10).path.read_bytes()
    assert write_mp4(tmp_path / "two.mp4", noise.copy(), fps=10).path.read_bytes() == first


def test_video_repeats_its_bytes_whatever_was_in_memory_before(tmp_path: Path) -> None:
    random = np.random.default_rng(5)
    for number in range(12):
        height, width = (2 * int(side) for side in random.integers(10, 60, 2))
        world = cv2.GaussianBlur(random.integers(0, 256, (height + 20, width + 30, 3), dtype=np.uint8), (5, 5), 0)
        moving = [world[2 * t : 2 * t + height, 3 * t : 3 * t + width] for t in range(10)]
        written = set()
        for _ in range(5):
            sides = random.integers(8, 200, 2)
            write_mp4(tmp_path / "other.mp4", random.integers(0, 256, (3, *sides, 3), dtype=np.uint8))
            written.add(write_mp4(tmp_path / "video.mp4", moving).path.read_bytes())
        assert len(written) == 1, f"clip {number}, {height}x{width}"


def test_odd_sizes_are_padded_by_the_last_row_and_column(tmp_path: Path) -> None:
    frame = np.full((15, 21, 3), 90, dtype=np.uint8)
    written = write_mp4(tmp_path / "odd.mp4", [frame, frame])
    assert (written.height, written.width) == (16, 22)
    back = decoded(written.path)
    assert back[0].shape == (16, 22, 3)
    assert np.abs(back[0].astype(int) - 90).max() <= 3


def test_a_video_without_frames_or_with_a_bad_rate_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match="at least one frame"):
        write_mp4(tmp_path / "v.mp4", [])
    for rate in (0, 1e-6, 0.099, 1001, float("nan")):
        with pytest.raises(VideoError, match=r"fps: expected a number from 0\.1 to 1000"):
            write_mp4(tmp_path / "v.mp4", moving_bar(1, 16, 16), fps=rate)
    assert list(tmp_path.iterdir()) == []


def test_frames_of_another_size_are_named_and_nothing_is_left(tmp_path: Path) -> None:
    frames = [*moving_bar(2, 16, 24), *moving_bar(1, 16, 32)]
    with pytest.raises(VideoError, match="frame 2 is 16x32, the first one 16x24") as caught:
        write_mp4(tmp_path / "v.mp4", frames)
    assert caught.value.path.endswith("v.mp4")
    assert list(tmp_path.iterdir()) == []


def test_a_failing_source_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "v.mp4"
    path.write_bytes(b"old")

    def frames() -> Iterator[np.ndarray]:
        yield from moving_bar(3, 16, 24)
        raise RuntimeError("the source broke")

    with pytest.raises(RuntimeError, match="the source broke"):
        write_mp4(path, frames())
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["v.mp4"]


def test_frames_outside_of_the_block_are_refused(tmp_path: Path) -> None:
    video = VideoWriter(tmp_path / "v.mp4")
    with pytest.raises(VideoError, match="with block"):
        video.add(moving_bar(1, 16, 16)[0])


def test_without_libx264_it_writes_mpeg4_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(av.codec, "codecs_available", av.codec.codecs_available - {"libx264"})
    with caplog.at_level(logging.WARNING):
        written = write_mp4(tmp_path / "v.mp4", moving_bar(4, 32, 48))
    assert written.codec == "mpeg4"
    assert "no libx264" in caplog.text
    back = decoded(written.path)
    assert len(back) == 4
    assert np.abs(back[2][:, :40].astype(int) - moving_bar(4, 32, 48)[2][:, :40]).mean() < 10


@pytest.mark.parametrize("write", ["picture", "video"])
def test_a_full_disk_is_an_error_with_the_files_name_and_leaves_nothing(tmp_path: Path, write: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    path = tmp_path / ("x.png" if write == "picture" else "x.mp4")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, hard))
    try:
        with pytest.raises(OSError, match=path.name) as caught:
            write_png(path, noise) if write == "picture" else write_mp4(path, [noise] * 3)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.filename == str(path)
    assert list(tmp_path.iterdir()) == []
