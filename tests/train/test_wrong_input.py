"""Wrong input of every kind, through the real command: one line, exit status 2, and nothing left behind."""

import contextlib
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from vs_train.cli import main

HEIGHT, WIDTH, FRAMES = 64, 128, 4

Damage = Callable[[Path], None]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    data = tmp_path / "data"
    rng = np.random.default_rng(0)
    for kind in ("images", "seg_maps"):
        (data / kind / "seq").mkdir(parents=True)
    for t in range(FRAMES):
        image = rng.integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)
        ids = rng.integers(0, 35, (HEIGHT, WIDTH), dtype=np.uint8)
        cv2.imwrite(str(data / "images" / "seq" / f"{t:04}.png"), image)
        cv2.imwrite(str(data / "seg_maps" / "seq" / f"{t:04}.png"), ids)
    yield folder
    assert list(folder.iterdir()) == []  # whatever happened, nothing was left behind


def run(*arguments: str) -> tuple[int, list[str]]:
    errors = io.StringIO()
    with contextlib.redirect_stderr(errors):
        status = main(["vid2vid", *arguments])
    return status, [line for line in errors.getvalue().splitlines() if line.startswith("error: ")]


def folder_arguments(here: Path) -> list[str]:
    return ["data.kind=folder", f"data.root={here.parent / 'data'}", "data.height=64", "data.width=128"]


@pytest.mark.parametrize(
    ("override", "parts"),
    [
        ("optim.generator.rl=1e-4", ["optim.generator.rl", "unknown", "lr"]),
        ("optim.generator.lr=fast", ["optim.generator.lr", "expected a number", "'fast'"]),
        ("data.height=100", ["data.height", "100", "multiple of", "96"]),
        ("data.height=-4", ["data.height", "-4"]),
        ("generator.levels=2", ["image_downsamples", "at most levels"]),
        ("precision.level=O3", ["precision.level", "O0", "O1"]),
        ("data.kind=cloud", ["data", "street", "folder"]),
        ("curriculum.max_length=99", ["max_length", "99", "30"]),
        ("memory.micro_batches=64", ["memory.micro_batches", "64", "loader.batch_size", "equal parts"]),
        ("optim.generator_clip_norm=0", ["optim.generator_clip_norm", "> 0", "none"]),
        ("optim.scaler.policy=both_wait", ["optim.scaler.policy", "'generator_waits'", "'paired'", "both_wait"]),
        ("run.on_divergence=retry", ["run.on_divergence", "stop", "roll-back", "retry"]),
    ],
)
def test_settings(here: Path, override: str, parts: list[str]) -> None:
    status, lines = run(override)
    assert status == 2
    assert len(lines) == 1, lines
    for part in parts:
        assert part in lines[0]


def cut_short(data: Path) -> None:
    path = data / "images" / "seq" / "0002.png"
    path.write_bytes(path.read_bytes()[:200])


def wrong_class(data: Path) -> None:
    path = data / "seg_maps" / "seq" / "0001.png"
    ids = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    ids[7, 11] = 77
    cv2.imwrite(str(path), ids)


def missing_map(data: Path) -> None:
    (data / "seg_maps" / "seq" / "0003.png").unlink()


def other_size(data: Path) -> None:
    cv2.imwrite(str(data / "seg_maps" / "seq" / "0000.png"), np.zeros((HEIGHT, WIDTH // 2), np.uint8))


@pytest.mark.parametrize(
    ("damage", "parts"),
    [
        (cut_short, ["images/seq/0002.png"]),
        (wrong_class, ["seg_maps/seq/0001.png", "77", "11", "7"]),
        (missing_map, ["seg_maps/seq", "0003"]),
        (other_size, ["seg_maps/seq/0000.png", "64"]),
    ],
)
def test_data(here: Path, damage: Damage, parts: list[str]) -> None:
    damage(here.parent / "data")
    status, lines = run(*folder_arguments(here), "curriculum.max_length=4")
    assert status == 2
    assert len(lines) == 1, lines
    for part in parts:
        assert part in lines[0]


def test_sequences_shorter_than_the_clips(here: Path) -> None:
    status, lines = run(*folder_arguments(here), "curriculum.max_length=8")
    assert status == 2
    assert len(lines) == 1
    assert "4" in lines[0]
    assert "curriculum.max_length" in lines[0]


def test_missing_folder(here: Path) -> None:
    status, lines = run("data.kind=folder", "data.root=nowhere", "data.height=64", "data.width=128")
    assert status == 2
    assert len(lines) == 1
    assert "nowhere" in lines[0]


def test_missing_weights(here: Path) -> None:
    status, lines = run("objective.perceptual.kind=file", "objective.perceptual.path=vgg19.safetensors")
    assert status == 2
    assert len(lines) == 1
    assert "vgg19.safetensors" in lines[0]
    assert "convert_vgg19.py" in lines[0]


@pytest.mark.parametrize("files", [{}, {"notes.txt": "mine"}, {"config.toml": "", "environment.json": "{}"}])
def test_resuming_a_foreign_directory(here: Path, files: dict[str, str]) -> None:
    foreign = here.parent / "foreign"
    foreign.mkdir()
    for name, text in files.items():
        (foreign / name).write_text(text)
    status, lines = run("--resume", str(foreign))
    assert status == 2
    assert len(lines) == 1
    assert str(foreign) in lines[0]
    assert "not a run" in lines[0]
    assert {p.name: p.read_text() for p in foreign.iterdir()} == files


def test_a_directory_that_is_not_empty(here: Path) -> None:
    full = here.parent / "full"
    full.mkdir()
    (full / "thesis.txt").write_text(json.dumps("do not overwrite"))
    status, lines = run("--out", str(full))
    assert status == 2
    assert len(lines) == 1
    assert "not empty" in lines[0]
    assert [p.name for p in full.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize(
    "arguments",
    [["--preset", "street-tinny"], ["--config", "none.toml"], ["--preset", "street-tiny", "--config", "x.toml"]],
)
def test_wrong_choice_of_configuration(here: Path, arguments: list[str]) -> None:
    status, lines = run(*arguments)
    assert status == 2
    assert len(lines) == 1
