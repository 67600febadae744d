"""`data:init` by the real command: what it writes is a configuration, which trains; and nothing is written over."""

import json
import shlex
import tomllib
from pathlib import Path
from typing import Any

import cv2
import label_examples
import numpy as np
import pytest
from conftest import plain_face, texture_picture
from flow_examples import write_moving
from label_examples import EXAMPLES, Example
from video_files import write_video
from vs_data import FlowFilesConfig
from vs_data.cli import main as data_main
from vs_train.cli import main
from vs_train.initial.sizes import sizes_for
from vs_training.presets import list_presets

SIZE = (72, 128)
TINY = (
    *("generator.filters=4", "generator.max_filters=8", "generator.embedder.filters=4"),
    *("generator.embedder.max_filters=8", "generator.flow.filters=4", "generator.flow.max_filters=8"),
    *("discriminator.image.filters=4", "objective.perceptual={kind='none'}", "precision.level=O0", "run.threads=1"),
    *("run.steps=1", "run.checkpoint_every=1", "run.sample_every=1", "run.sample_frames=2", "loader.workers=0"),
    *("curriculum.single_frame_steps=0", "loader.batch_size=1"),
)


def write_examples(root: Path, *examples: Example, frames: int = 4, sequences: tuple[str, ...] = ("a",)) -> None:
    """Write the examples larger than other tests need them, so that the smallest networks take them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(label_examples, "SIZE", SIZE)
        label_examples.write_examples(root, *examples, frames=frames, sequences=sequences)


def init(source: Path, out: Path, *options: str) -> dict[str, Any]:
    assert main(["init", str(source), "--out", str(out), *options]) == 0
    return tomllib.loads(out.read_text())


def faces(root: Path, people: int, frames: int) -> Path:
    for person in range(people):
        for folder in ("images", "landmarks-dlib68"):
            (root / folder / f"p{person}").mkdir(parents=True)
        for frame in range(frames):
            picture = texture_picture((96, 128), person)
            cv2.imwrite(str(root / "images" / f"p{person}" / f"{frame}.png"), picture)
            points = plain_face(1.0, (60 + frame, 50)).tolist()
            (root / "landmarks-dlib68" / f"p{person}" / f"{frame}.json").write_text(json.dumps(points))
    return root


@pytest.mark.parametrize("name", EXAMPLES)
def test_what_is_written_for_a_kind_of_label_is_a_configuration(name: str, tmp_path: Path, capsys) -> None:
    write_examples(tmp_path / "data", EXAMPLES[name])
    out = tmp_path / "my.toml"
    init(tmp_path / "data", out)
    told = capsys.readouterr().out
    assert f"hatch run train:vid2vid --config {out}" in told
    assert main(["vid2vid", "--config", str(out), "--print-config"]) == 0
    config = tomllib.loads(capsys.readouterr().out)
    assert (config["data"]["height"], config["data"]["width"]) == ((64, 64) if name == "face" else (64, 128))
    assert config["curriculum"]["max_length"] == 4


@pytest.mark.parametrize("name", ["body", "densepose"])
def test_small_bodies_get_the_flow_of_the_preset_for_dancers(name: str, tmp_path: Path) -> None:
    write_examples(tmp_path / "data", EXAMPLES[name])
    written = init(tmp_path / "data", tmp_path / "my.toml")
    (dancers,) = (preset.document for preset in list_presets() if preset.name == "dancers-tiny")
    assert written["generator"]["flow"] == dancers["generator"]["flow"]
    assert written["objective"]["flow_moving"] == dancers["objective"]["flow_moving"]


@pytest.mark.slow
def test_what_is_written_trains(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    kinds = (EXAMPLES[kind] for kind in ("ids", "instances", "motion"))
    write_examples(tmp_path / "data", *kinds, sequences=tuple("abcd"))
    written = init(Path("data"), tmp_path / "my.toml")
    assert written["data"]["val_sequences"] == 1
    assert main(["vid2vid", "--config", "my.toml", "--out", "run", *TINY]) == 0
    assert "done: run" in capsys.readouterr().out


def test_one_video_trains_and_its_end_is_held_out(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    frames = [np.roll(texture_picture((48, 80), 1), number, axis=1) for number in range(100)]
    write_video(tmp_path / "clip.mp4", frames, "libx264", "yuv420p")
    written = init(Path("clip.mp4"), tmp_path / "my.toml")
    assert written["data"]["val_seconds"] == pytest.approx(0.4)
    assert written["run"]["video_fps"] == 25
    assert written["discriminator"]["image"]["scales"] == 1  # frames are small
    assert main(["plan", "my.toml", "--no-probe", *TINY]) == 0
    assert main(["vid2vid", "--config", "my.toml", "--out", "run", *TINY]) == 0


@pytest.mark.parametrize(
    ("rate", "frames", "seconds"),
    [(25, 75, 0.4), (25, 40, 0.4), (25, 39, None), (25, 400, 1.6), (5, 60, 1.6), (50, 6000, 10.0)],
)
def test_the_end_of_a_video_is_held_out_from_some_frames_on(
    rate: int, frames: int, seconds: float | None, tmp_path: Path, capsys
) -> None:
    """Of a tenth, eight frames at least and ten seconds at most, in tenths of a second; a quarter at most."""
    grey = np.full((48, 80), 90, np.uint8)
    write_video(tmp_path / "clip.mkv", [grey] * frames, "ffv1", "gray", rate=rate)
    written = init(tmp_path / "clip.mkv", tmp_path / "my.toml")
    assert written["data"].get("val_seconds") == seconds
    assert ("? nothing is held out of videos as short as 1.6 s" in capsys.readouterr().out) is (seconds is None)


@pytest.mark.parametrize(
    ("ending", "way", "masks"),
    [
        (".npz", {}, "occlusion"),
        (".npy", {"direction": "forward"}, None),
        (".exr", {"units": "normalised", "y": "up"}, None),
        (".png", {"folder": "motion", "direction": "forward"}, "occluded"),
        (".flo", {"folder": "flows"}, None),
    ],
    ids=str,
)
def test_files_of_flow_are_read_as_they_are_meant_and_train(
    ending: str, way: dict[str, Any], masks: str | None, tmp_path: Path, monkeypatch, capsys
) -> None:
    monkeypatch.chdir(tmp_path)
    large = texture_picture((100, 160))
    pictures = [np.ascontiguousarray(large[12 + 2 * t : 84 + 2 * t, 12 - 4 * t : 140 - 4 * t]) for t in range(4)]
    root = write_moving(tmp_path / "data", FlowFilesConfig(**way), ending, pictures, (4, -2))
    confidence = None
    if masks is not None:
        (root / masks / "a").mkdir(parents=True)
        for path in (root / way.get("folder", "flow") / "a").iterdir():
            cv2.imwrite(str(root / masks / "a" / f"{path.stem}.png"), 255 * np.eye(*SIZE, dtype=np.uint8))
        confidence = {"kind": "occlusion", "folder": masks, "occluded": "nonzero"}
    written = init(Path("data"), Path("my.toml"))
    assert written["data"]["flow"] == {"kind": "files"} | way | ({"confidence": confidence} if confidence else {})
    assert [kind["folder"] for kind in written["data"]["labels"]] == ["seg_maps"]
    (check,) = (line for line in capsys.readouterr().out.splitlines() if "data:check" in line)
    assert data_main(["check", *shlex.split(check.split("data:check ")[1])]) == 0
    assert "0 errors, 0 warnings" in capsys.readouterr().out
    assert main(["vid2vid", "--config", "my.toml", "--out", "run", *TINY, "run.steps=2"]) == 0


@pytest.mark.slow
def test_many_faces_train_a_few_shot_model_of_them_cut_out(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    written = init(faces(tmp_path / "data", 8, 5), tmp_path / "my.toml")
    assert written["generator"]["kind"] == "few-shot"
    assert written["data"]["face_crop"] == {"margin": 0.4}
    assert written["data"]["height"] == written["data"]["width"] == 64
    told = capsys.readouterr().out
    assert "hatch run train:few-shot --config" in told
    tiny = [word for word in TINY if not word.startswith("generator.")]
    assert main(["few-shot", "--config", "my.toml", "--out", "run", *tiny, "curriculum.flow_steps=0"]) == 0


@pytest.mark.parametrize("preset", [preset.name for preset in list_presets() if "64" in preset.summary])
def test_networks_are_those_of_the_preset_that_is_asked_for(preset: str, tmp_path: Path) -> None:
    write_examples(tmp_path / "data", EXAMPLES["ids"])
    base = next(one for one in list_presets() if one.name == preset)
    written = init(tmp_path / "data", tmp_path / "my.toml", "--preset", preset)
    assert written["generator"] == base.document["generator"]
    assert written["optim"] == base.document["optim"]


def test_the_published_networks_need_no_weights_that_are_not_there(tmp_path: Path, capsys) -> None:
    write_examples(tmp_path / "data", EXAMPLES["ids"])
    for path in (tmp_path / "data").glob("*/a/*.png"):
        pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        cv2.imwrite(str(path), cv2.resize(pixels, (512, 512), interpolation=cv2.INTER_NEAREST))
    written = init(tmp_path / "data", tmp_path / "my.toml", "--preset", "dancing")
    assert written["objective"]["perceptual"]["kind"] == "random"
    assert written["discriminator"]["regions"] == []
    assert "there are no keypoints to find faces and hands by" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("data", "--out", "there.toml"), "there.toml' exists; name a new file"),
        (("data", "--out", "my.yaml"), "that ends in .toml"),
        (("data", "--out", "no/my.toml"), "there is no folder 'no'"),
        (("nowhere", "--out", "my.toml"), "nowhere: there is no such file or folder"),
        (("data", "--out", "my.toml", "--preset", "street"), "there is no preset 'street'"),
        (("data", "--out", "my.toml", "--preset", "dancing"), "are too small for the networks of dancing"),
        (("empty", "--out", "my.toml"), "empty/images: has no sequences"),
    ],
)
def test_what_cannot_be_is_one_line_and_nothing_is_written(
    words: tuple[str, ...], message: str, tmp_path: Path, monkeypatch, capsys
) -> None:
    monkeypatch.chdir(tmp_path)
    write_examples(tmp_path / "data", EXAMPLES["ids"])
    (tmp_path / "empty" / "images").mkdir(parents=True)
    (tmp_path / "there.toml").write_text("seed = 1\n")
    assert main(["init", *words]) == 2
    told = capsys.readouterr()
    assert told.err.count("\n") == 1
    assert message in told.err
    assert (tmp_path / "there.toml").read_text() == "seed = 1\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "empty", "there.toml"]


def test_sizes_are_multiples_of_the_stride_never_enlarged_and_near_to_the_shape() -> None:
    sizes = list(sizes_for((480, 640), 640 / 480, (128, 256), 64))
    assert sizes[0] == (192, 256)
    assert all(height % 64 == width % 64 == 0 and height <= 480 and width <= 640 for height, width in sizes)
    assert next(sizes_for((1080, 1920), 16 / 9, (128, 256), 64)) == (128, 256)
    assert list(sizes_for((31, 640), 1.0, (64, 128), 32)) == []


def test_comments_say_why_and_names_cannot_leave_them(tmp_path: Path) -> None:
    write_examples(tmp_path / "data", EXAMPLES["ids"])
    (tmp_path / "data" / "gr\neys" / "a").mkdir(parents=True)
    init(tmp_path / "data", tmp_path / "my.toml")
    assert r"# - gr\neys was left out" in (tmp_path / "my.toml").read_text()
    text = (tmp_path / "my.toml").read_text()
    assert text.startswith("# What data:init saw in ")
    assert "# ids of 0 to 11 in 4 of 4 maps\n[[data.labels]]\n" in text
