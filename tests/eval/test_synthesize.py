"""`synthesize` from end to end, with tiny networks: sources, places, sizes, stops, and every mistake in one line."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import torch
from toy_models import CONFIGS, make_run
from vs_data import FacesConfig, StreetConfig, open_source, write_folder
from vs_eval.app import main
from vs_synthesis import StreamState, load_model, read_trained, start, write_model

H, W, FRAMES = 32, 64, 4


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A directory with runs of both kinds, a street and faces as folders, and a model directory."""
    root = tmp_path_factory.mktemp("place")
    for kind, config in CONFIGS.items():
        make_run(root / "runs" / kind, config)
    write_model(root / "model", read_trained(root / "runs" / "vid2vid"))
    street = StreetConfig(height=H, width=W, sequence_length=FRAMES, val_sequences=2)
    write_folder(open_source(street, "val"), root / "street", sequences=2)
    people = FacesConfig(height=32, width=32, sequence_length=FRAMES, val_identities=2, motions=1)
    write_folder(open_source(people, "val"), root / "people", sequences=2)
    return root


@pytest.fixture
def here(place, tmp_path, monkeypatch) -> Path:
    """An empty working directory from which all of that is seen."""
    for name in ("runs", "model", "street", "people"):
        (tmp_path / name).symlink_to(place / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as stop:
        main(["synthesize", "--device", "cpu", *map(str, arguments)])
    return int(stop.value.code or 0)


def made(here: Path) -> list[str]:
    return sorted(path.name for path in here.iterdir() if not path.is_symlink())


def decoded(path: Path) -> np.ndarray:
    if path.is_dir():
        return np.stack([cv2.imread(str(file))[..., ::-1] for file in sorted(path.iterdir())])
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def one_line(capsys) -> str:
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, lines
    return lines[0]


PROGRAM = [sys.executable, "-m", "vs_eval", "synthesize"]
ONE = "street/seg_maps/street-500000"


def streamed(path: str = "runs/vid2vid") -> np.ndarray:
    """The frames of one street, by the stream alone."""
    stream = start(load_model(path, device="cpu"))
    files = sorted(Path(ONE).iterdir())
    frames = [stream(torch.from_numpy(cv2.imread(str(file), cv2.IMREAD_UNCHANGED))) for file in files]
    return torch.stack(frames).add(1).mul(127.5).round().clamp(0, 255).byte().permute(0, 2, 3, 1).numpy()


@pytest.mark.parametrize("model", ["runs/vid2vid", "model"])
def test_a_folder_becomes_a_lossless_video_of_the_streamed_frames(here, model):
    assert run(model, "--labels", ONE, "--out", "x.mkv") == 0
    assert np.array_equal(decoded(here / "x.mkv"), streamed())
    assert made(here) == ["x.mkv"]


def test_without_arguments_the_newest_run_shows_a_world_that_it_has_not_seen(place, here, monkeypatch, capsys):
    (here / "runs").unlink()
    shutil.copytree(place / "runs" / "vid2vid", here / "runs" / "newest")
    assert run("--frames", 3) == 0
    (video,) = (here / "runs" / "newest" / "synthesis").rglob("*.mp4")
    assert video.relative_to(here) == Path("runs/newest/synthesis/step-00000003/street-1.mp4")
    assert decoded(video).shape == (3, H, W, 3)
    assert str(video.relative_to(here)) in capsys.readouterr().out


def test_two_photographs_in_the_motion_of_another_person(here):
    (here / "photographs").mkdir()
    first, second = sorted((here / "people" / "images").iterdir())
    for index in (0, 3):
        for folder, suffix in (("images", "png"), ("landmarks-dlib68", "json")):
            shutil.copy(here / "people" / folder / first.name / f"{index:06d}.{suffix}", here / "photographs")
    driver = f"people/landmarks-dlib68/{second.name}"
    assert run("runs/few-shot", "--labels", driver, "--references", "photographs", "--out", "frames") == 0
    own = ("--labels", f"people/landmarks-dlib68/{first.name}", "--references", "photographs")
    assert run("runs/few-shot", *own, "--out", "own") == 0
    driven, itself = decoded(here / "frames"), decoded(here / "own")
    assert driven.shape == itself.shape == (FRAMES, 32, 32, 3)
    assert not np.array_equal(driven, itself)
    assert run("runs/few-shot", "--frames", 2, "--out", "default.webm") == 0


def test_raw_labels_through_pipes_are_raw_frames_and_nothing_else(here):
    ids = np.stack([cv2.imread(str(file), cv2.IMREAD_UNCHANGED) for file in sorted(Path(ONE).iterdir())])
    command = [
        sys.executable,
        "-m",
        "vs_eval",
        "synthesize",
        "runs/vid2vid",
        "--labels",
        "-",
        "--out",
        "-",
        "--device",
        "cpu",
    ]
    done = subprocess.run(command, input=ids.tobytes(), capture_output=True, check=True, timeout=120)
    frames = np.frombuffer(done.stdout, np.uint8).reshape(FRAMES, H, W, 3)
    expected = streamed().astype(int)
    assert np.abs(frames - expected).max() <= 1  # another process may have another number of threads
    assert b"street" not in done.stdout


def test_a_video_of_labels_beside_the_frames_at_a_rate(here):
    with av.open("labels.mkv", "w") as container:
        stream = container.add_stream("ffv1", rate=12)
        stream.height, stream.width, stream.pix_fmt = H, W, "bgr0"
        for file in sorted(Path(ONE).iterdir()):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(cv2.imread(str(file)), format="bgr24")))
        container.mux(stream.encode(None))
    assert run("model", "--labels", "labels.mkv", "--beside", "--out", "beside.mp4") == 0
    assert decoded(here / "beside.mp4").shape[2] > 2 * W
    with av.open("beside.mp4") as container:
        assert container.streams.video[0].average_rate == 12
    assert run("model", "--labels", "labels.mkv", "--fps", 30, "--out", "fast.mp4") == 0
    with av.open("fast.mp4") as container:
        assert container.streams.video[0].average_rate == 30
    assert run("model", "--labels", "labels.mkv", "--out", "x.mkv") == 0
    assert np.array_equal(decoded(here / "x.mkv"), streamed())


def test_several_sequences_are_several_files(here):
    assert run("model", "--labels", "street", "--out", "all", "--format", "mkv") == 0
    assert made(here / "all") == ["street-500000.mkv", "street-500001.mkv"]
    assert np.array_equal(decoded(here / "all" / "street-500000.mkv"), streamed())
    assert run("model", "--labels", "street/seg_maps", "--frames", 1) == 0
    assert made(here / "model-synthesis") == ["street-500000.mp4", "street-500001.mp4"]
    assert "synthesis" not in made(here / "model")


@pytest.mark.parametrize(("fit", "shape"), [("crop", (24, 56)), ("pad", (30, 60)), ("resize", (30, 60))])
def test_other_sizes_are_brought_to_the_stride_and_back_and_that_is_said(here, capsys, fit, shape):
    (here / "odd").mkdir()
    for file in sorted(Path(ONE).iterdir()):
        cv2.imwrite(str(here / "odd" / file.name), cv2.imread(str(file), cv2.IMREAD_UNCHANGED)[:30, :60])
    assert run("model", "--labels", "odd", "--out", "x") == 2
    assert "labels are 30x60 pixels, which the model's stride of 8 does not divide; choose --fit" in one_line(capsys)
    assert made(here) == ["odd"]
    assert run("model", "--labels", "odd", "--fit", fit, "--out", "x") == 0
    assert decoded(here / "x").shape == (FRAMES, *shape, 3)
    assert f"labels of 30x60 are {fit}" in capsys.readouterr().err
    if fit != "resize":
        assert run("model", "--labels", ONE, "--fit", fit, "--out", "same.mkv") == 0
        assert np.array_equal(decoded(here / "same.mkv"), streamed())


def test_a_larger_street_goes_as_it_is(here):
    assert run("model", "--labels", "street:3", "--size", "48x80", "--frames", 2, "--out", "x") == 0
    assert decoded(here / "x").shape == (2, 48, 80, 3)


def test_it_goes_on_from_a_picture(here):
    cv2.imwrite("first.png", np.full((H, W, 3), 255, np.uint8))
    assert run("model", "--labels", ONE, "--first-frame", "first.png", "--out", "x.mkv") == 0
    assert not np.array_equal(decoded(here / "x.mkv")[0], streamed()[0])
    model = load_model("model", device="cpu")
    label = torch.from_numpy(cv2.imread(str(sorted(Path(ONE).iterdir())[0]), cv2.IMREAD_UNCHANGED))
    begun = StreamState(labels=({"seg_maps": label[None]},), frames=(torch.ones(1, 3, H, W),))
    frame = start(model, state=begun)(label)
    expected = frame.add(1).mul(127.5).round().clamp(0, 255).byte().permute(1, 2, 0).numpy()
    assert np.array_equal(decoded(here / "x.mkv")[0], expected)


def test_a_bad_label_in_the_middle_names_file_and_frame_and_what_was_made(here, capsys):
    shutil.copytree(ONE, "bad")
    Path("bad/000002.png").write_bytes(b"no picture")
    assert run("model", "--labels", "bad", "--out", "x.mkv") == 2
    line = one_line(capsys)
    assert "bad/000002.png" in line
    assert "2 frames made until then are in x.unfinished.mkv" in line
    assert np.array_equal(decoded(here / "x.unfinished.mkv"), streamed()[:2])
    assert made(here) == ["bad", "x.unfinished.mkv"]


def test_a_video_of_labels_that_is_cut_off_is_one_line_and_no_whole_file(here, capsys):
    assert run("model", "--labels", ONE, "--out", "whole.mkv") == 0
    data = Path("whole.mkv").read_bytes()
    Path("cut.mkv").write_bytes(data[: len(data) * 2 // 3])
    assert run("model", "--labels", "cut.mkv", "--out", "x.mkv") == 2
    assert "cut.mkv" in one_line(capsys)
    assert not Path("x.mkv").exists()


def test_a_full_disk_names_the_unfinished_file(here):
    limited = "trap '' XFSZ; ulimit -f 10; " + " ".join([*PROGRAM, "model", "--device", "cpu", "--out", "x.mkv"])
    done = subprocess.run(["bash", "-c", limited], capture_output=True, text=True, timeout=120)
    assert done.returncode == 2, done.stderr
    assert "x.unfinished.mkv" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert not Path("x.mkv").exists()


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stop_leaves_a_file_that_plays_and_names_it(here, number, status):
    command = [
        sys.executable,
        "-m",
        "vs_eval",
        "synthesize",
        "model",
        "--labels",
        "-",
        "--out",
        "x.mp4",
        "--device",
        "cpu",
    ]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdin.write(bytes(H * W * 3))
        process.stdin.flush()
        deadline = time.monotonic() + 60
        while not Path("x.unfinished.mp4").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(1.0)
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
    assert process.returncode == status
    assert b"frames made until then are in x.unfinished.mp4" in err or b"frame made until" in err
    assert b"Traceback" not in err
    assert 1 <= len(decoded(here / "x.unfinished.mp4")) <= 3
    assert made(here) == ["x.unfinished.mp4"]


MISTAKES = [
    (("nowhere",), "nowhere: there is no such directory"),
    (("street",), "street: not a run"),
    (("model", "--checkpoint", 3), "this is a model, which has none"),
    (("model", "--labels", "nowhere"), "there is no such file or folder"),
    (("model", "--labels", "people/landmarks-dlib68"), "holds no labels: expected files ending in .png"),
    (("model", "--labels", "faces:1"), "has no labels like the model's"),
    (("model", "--references", "a.jpg"), "which looks at none"),
    (("runs/few-shot", "--labels", "people/landmarks-dlib68"), "needs examples of whom to show"),
    (("runs/few-shot", "--references", "nowhere.png"), "nowhere.png"),
    (("model", "--out", "x.avi"), "unknown format '.avi'"),
    (("model", "--out", "x.mkv", "--crf", 3), "it loses nothing"),
    (("model", "--out", "street/x/../../street/images/a.mp4", "--crf", 60), "--crf: expected 0"),
    (("model", "--fps", 0), "--fps: expected a number from 0.1 to 1000"),
    (("model", "--size", "128"), "--size: expected HEIGHTxWIDTH"),
    (("model", "--size", "33x64", "--labels", "street:1"), "stride of 8 does not divide"),
    (("model", "--first-frame", "nowhere.png"), "nowhere.png"),
    (("model", "--labels", "street", "--out", "x.mp4"), "there are 2 sequences; name a folder"),
    (("model", "--labels", "street", "--out", "-"), "do not fit into one pipe"),
    (("model", "--out", "-", "--crf", 3), "raw RGB, which has no such setting"),
    (("model", "--out", "x.mp4", "--format", "mkv"), "disagree"),
    (("model", "--out", "street"), "holds other files"),
    (("model", "--fit", "stretch"), "--fit"),
]


@pytest.mark.parametrize(("arguments", "words"), MISTAKES)
def test_every_mistake_is_one_line_status_2_and_nothing_written(here, capsys, arguments, words):
    assert run(*arguments) == 2
    assert words in one_line(capsys)
    assert made(here) == []


def test_a_directory_that_cannot_be_written_to_is_said_at_once(here, capsys, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert run("model", "--out", "x.mp4") == 2
    assert "cannot be written" in one_line(capsys)


def test_a_closed_pipe_ends_in_one_line(here):
    command = f"{sys.executable} -m vs_eval synthesize model --frames 12 --out - --device cpu | head -c 100 >/dev/null"
    done = subprocess.run(["bash", "-c", f"set -o pipefail; {command}"], capture_output=True, timeout=120)
    assert done.returncode == 2
    assert b"standard output was closed after" in done.stderr
    assert b"Traceback" not in done.stderr


def test_names_of_files_show_no_escapes(here, capsys):
    shutil.copytree(ONE, "bad\x1b[31m")
    Path("bad\x1b[31m/000000.png").write_bytes(b"")
    assert run("model", "--labels", "bad\x1b[31m", "--out", "x.mkv") == 2
    assert "\x1b[31m" not in one_line(capsys)


_MEMORY = """
import json, resource, sys
from pathlib import Path
import numpy as np, torch
from vs_data import LabelFrame, LabelSequence
from vs_metrics import SinkOptions, open_sink
from vs_synthesis import load_model, picture_of, plan_fit, synthesise_sequence
torch.set_num_threads(1)
model, (h, w) = load_model("model", device="cpu"), (32, 64)
def read():
    rng = np.random.default_rng(0)
    for index in range(int(sys.argv[1])):
        ids = torch.from_numpy(rng.integers(0, 35, (h, w), dtype=np.uint8))
        yield LabelFrame(labels={"seg_maps": ids}, name="", where="")
sequence = LabelSequence(name="x", frames=None, size=(h, w), read=read)
with open_sink(Path(sys.argv[2]), SinkOptions()) as add:
    for made in synthesise_sequence(model, sequence, plan_fit((h, w), model.config)):
        add(picture_of(model, made, beside=False))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def peak_kib(frames: int, out: str) -> int:
    command = [sys.executable, "-c", _MEMORY, str(frames), out]
    return int(subprocess.run(command, capture_output=True, check=True, text=True, timeout=600).stdout)


@pytest.mark.parametrize(("few", "many"), [(20, 80), pytest.param(100, 3000, marks=pytest.mark.slow)])
def test_many_frames_take_no_more_memory_than_few(here, few, many):
    few, many = peak_kib(few, "few.mp4"), peak_kib(many, "many.mp4")
    assert many < few + 8 * 1024  # a frame is 6 KiB, its features about 200 KiB
