"""Frames to files, folders and pipes: whole under their name, or playable under another."""

import io
import os
import resource
import signal
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from vs_metrics import ShapeError, SinkOptions, VideoError, check_sink, open_pipe, open_sink, unfinished

SUFFIXES = [".mp4", ".webm", ".mkv", ""]


def noise(count: int, height: int = 18, width: int = 34, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 256, (height, width, 3), dtype=np.uint8) for _ in range(count)]


def decoded(path: Path) -> list[np.ndarray]:
    if path.is_dir():
        return [cv2.imread(str(file))[..., ::-1] for file in sorted(path.iterdir())]
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def write(out: Path, frames: list[np.ndarray], **options: object) -> None:
    with open_sink(out, SinkOptions(**options)) as add:
        for frame in frames:
            add(frame)


def names(path: Path) -> list[str]:
    return sorted(entry.name for entry in path.iterdir())


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_frames_come_back_in_order_and_the_same_ones_give_the_same_bytes(tmp_path, suffix):
    flat = [np.full((16, 32, 3), level, np.uint8) for level in range(0, 250, 25)]
    for name in ("one", "two"):
        write(tmp_path / f"{name}{suffix}", flat, fps=12.5)
    back = decoded(tmp_path / f"one{suffix}")
    assert len(back) == 10
    assert all(np.abs(a.astype(int) - b).max() <= 4 for a, b in zip(back, flat, strict=True))
    one, two = (tmp_path / f"{name}{suffix}" for name in ("one", "two"))
    assert one.is_dir() or one.read_bytes() == two.read_bytes()
    assert names(tmp_path) == [one.name, two.name]


@pytest.mark.parametrize("suffix", [".mkv", ""])
@pytest.mark.parametrize("size", [(16, 32), (17, 33), (1, 1)])
def test_lossless_formats_keep_every_bit_at_any_size(tmp_path, suffix, size):
    frames = noise(3, *size)
    write(tmp_path / f"x{suffix}", frames)
    assert all(np.array_equal(a, b) for a, b in zip(decoded(tmp_path / f"x{suffix}"), frames, strict=True))


@pytest.mark.parametrize("fps", [0.1, 10.0, 23.976, 29.97, 60.0])
def test_the_rate_is_that_which_was_asked_for(tmp_path, fps):
    write(tmp_path / "x.mkv", noise(2), fps=fps)
    with av.open(str(tmp_path / "x.mkv")) as container:
        assert float(container.streams.video[0].average_rate) == pytest.approx(fps, rel=1e-3)


def test_a_smaller_crf_is_nearer_to_the_frames(tmp_path):
    frames, errors = noise(4, 32, 32), []
    for crf in (5, 45):
        write(tmp_path / f"{crf}.mp4", frames, crf=crf)
        back = decoded(tmp_path / f"{crf}.mp4")
        errors.append(np.mean([np.abs(a.astype(int) - b).mean() for a, b in zip(back, frames, strict=True)]))
    assert errors[0] < errors[1]


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_what_was_interrupted_plays_under_its_unfinished_name(tmp_path, suffix, error):
    out, frames = tmp_path / f"clip{suffix}", noise(5)

    def stopped():
        with open_sink(out, SinkOptions()) as add:
            for frame in frames[:3]:
                add(frame)
            raise error("stop")

    with pytest.raises(error):
        stopped()
    assert names(tmp_path) == [f"clip.unfinished{suffix}"]
    assert len(decoded(unfinished(out))) == 3
    write(out, frames)  # the next attempt takes the place of what was left
    assert names(tmp_path) == [out.name]


def test_nothing_is_left_where_no_frame_came(tmp_path):
    def stopped():
        with open_sink(tmp_path / "a" / "b" / "x.mp4", SinkOptions()):
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        stopped()
    with pytest.raises(VideoError, match="no frame"):
        write(tmp_path / "x.mp4", [])
    assert names(tmp_path) == []


def test_an_old_video_stays_until_the_new_one_is_whole(tmp_path):
    out = tmp_path / "x.mkv"
    write(out, noise(2))
    before = out.read_bytes()
    with pytest.raises(VideoError, match="frame 1 is 20x34, the first one 18x34"):
        write(out, [*noise(1), *noise(1, 20)])
    assert out.read_bytes() == before
    write(out, noise(3))
    assert len(decoded(out)) == 3


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("x.avi", {}, "unknown format '.avi': expected .mp4, .webm, .mkv, or a folder"),
        ("x.mp4", {"fps": 0.09}, "fps: expected a number from 0.1 to 1000"),
        ("x.mp4", {"fps": float("nan")}, "fps: expected a number from 0.1 to 1000"),
        ("x.mp4", {"crf": 52}, r"--crf: expected 0 \(best\) to 51, got 52"),
        ("x.mkv", {"crf": 5}, "it loses nothing"),
        ("frames", {"crf": 5}, "it loses nothing"),
        ("file/x.mp4", {}, "is no folder"),
        ("full", {}, "holds other files"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_written(tmp_path, name, options, words):
    (tmp_path / "file").write_text("x")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "precious.txt").write_text("x")
    before = names(tmp_path)
    with pytest.raises(VideoError, match=words) as caught:
        check_sink(tmp_path / name, SinkOptions(**options))
    assert "\n" not in str(caught.value)
    with pytest.raises(VideoError, match=words):
        write(tmp_path / name, noise(1), **options)
    assert names(tmp_path) == before


def test_a_lacking_encoder_is_named_with_the_formats_that_there_are(tmp_path, monkeypatch):
    monkeypatch.setattr(av.codec, "codecs_available", {"libx264"})
    with pytest.raises(VideoError, match=r"no encoder libvpx-vp9 here; there are \.mp4"):
        check_sink(tmp_path / "x.webm", SinkOptions())


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_full_disk_is_an_error_with_the_name_and_nothing_under_the_final_one(tmp_path, suffix):
    def small_files():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    child = os.fork()
    if child == 0:
        small_files()
        status = 1
        try:
            write(tmp_path / f"x{suffix}", noise(40, 64, 128))
        except OSError as error:
            status = 0 if str(tmp_path / "x.unfinished") in str(error.filename) else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert not (tmp_path / f"x{suffix}").exists()


def test_a_pipe_gets_the_bytes_and_nothing_else():
    frames, stream = noise(3), io.BytesIO()
    with open_pipe(stream) as add:
        for frame in frames:
            add(frame)
    assert stream.getvalue() == b"".join(frame.tobytes() for frame in frames)
    with open_pipe(io.BytesIO()) as add:
        add(frames[0])
        with pytest.raises(VideoError, match="frame 1 is 20x34, the first one 18x34"):
            add(noise(1, 20)[0])
        with pytest.raises(ShapeError):
            add(frames[0][..., 0])
