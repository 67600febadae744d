"""Kinds of labels that are pictures, by the command line: trained, resumed and driven, on data made by the test."""

import json
import os
import subprocess
import sys
from pathlib import Path

import attrs
import cv2
import numpy as np
import pytest
from toy_runs import STREET, make_run
from vs_config import render_config
from vs_data import (
    BlurConfig,
    EdgesConfig,
    FolderConfig,
    GreyConfig,
    ImageConfig,
    InstancesConfig,
    LabelKind,
    NoFlowConfig,
    SegMapsConfig,
    StreetConfig,
    open_source,
    write_folder,
)
from vs_data.labels.colours import CITYSCAPES
from vs_eval.app import main
from vs_runtime.metrics_log import without_clock
from vs_training.config import TrainConfig

H, W, FRAMES = 32, 64, 4
FROM_FILES = (
    ImageConfig(folder="depth", channels=1, minimum=1.0, maximum=50.0, log=True),
    ImageConfig(folder="normals", flip_sign=(0,)),
    InstancesConfig(),
    SegMapsConfig(folder="codes", colours="cityscapes", map="cityscapes-train", num_classes=19),
)
FROM_FRAMES = (EdgesConfig(low=20.0, high=60.0), BlurConfig(), GreyConfig())


@pytest.fixture(scope="module")
def street(tmp_path_factory) -> Path:
    """A street as a folder, with depth, normals and colour codes beside it."""
    root = tmp_path_factory.mktemp("data") / "street"
    source = open_source(StreetConfig(height=H, width=W, sequence_length=FRAMES, val_sequences=2), "val")
    write_folder(source, root, sequences=2)
    for path in (root / "seg_maps").rglob("*.png"):
        ids = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        beside = {kind.folder: root / kind.folder / path.parent.name for kind in FROM_FILES}
        for folder in beside.values():
            folder.mkdir(parents=True, exist_ok=True)
        np.save(beside["depth"] / f"{path.stem}.npy", 2 + ids.astype(np.float32))
        cv2.imwrite(str(beside["normals"] / path.name), cv2.applyColorMap(ids * 7, cv2.COLORMAP_JET))
        cv2.imwrite(str(beside["codes"] / path.name), np.array(CITYSCAPES, np.uint8)[ids][..., ::-1])
    return root


def config_of(root: Path, kinds: tuple[LabelKind, ...]) -> TrainConfig:
    data = FolderConfig(root=str(root), height=H, width=W, labels=kinds, flow=NoFlowConfig())
    objective = attrs.evolve(STREET.objective, flow=0.0)
    run = attrs.evolve(STREET.run, steps=2, checkpoint_every=1, sample_every=2, threads=1)
    return attrs.evolve(STREET, data=data, objective=objective, run=run)


def synthesised(run: Path, labels: Path, out: Path) -> list[np.ndarray]:
    with pytest.raises(SystemExit) as stop:
        main(["synthesize", "--device", "cpu", str(run), "--labels", str(labels), "--out", str(out), "--format", "png"])
    assert (stop.value.code or 0) == 0
    return [cv2.imread(str(path)) for path in sorted(out.rglob("*.png"))]


def as_video(root: Path, path: Path) -> Path:
    from vs_metrics import SinkOptions, open_sink

    with open_sink(path, SinkOptions(fps=10)) as add:
        for picture in sorted((root / "images").glob("*/*.png"))[:FRAMES]:
            add(np.ascontiguousarray(cv2.imread(str(picture))[..., ::-1]))
    return path


@pytest.mark.parametrize("kinds", [FROM_FILES, FROM_FRAMES], ids=["files", "frames"])
def test_frames_are_made_from_a_folder_by_the_command_line(street, tmp_path, kinds):
    make_run(tmp_path / "run", config_of(street, kinds))
    frames = synthesised(tmp_path / "run", street, tmp_path / "out")
    assert [frame.shape for frame in frames] == [(H, W, 3)] * 2 * FRAMES


def test_one_video_without_labels_drives_a_model_by_the_command_line(street, tmp_path):
    make_run(tmp_path / "run", config_of(street, FROM_FRAMES))
    video = as_video(street, tmp_path / "drive.mp4")
    frames = synthesised(tmp_path / "run", video, tmp_path / "out")
    assert [frame.shape for frame in frames] == [(H, W, 3)] * FRAMES


@pytest.mark.slow
@pytest.mark.parametrize("kinds", [FROM_FILES, FROM_FRAMES], ids=["files", "frames"])
def test_training_goes_on_where_it_stopped(street, tmp_path, kinds):
    def train(*arguments: str) -> str:
        command = [sys.executable, "-m", "vs_train", "vid2vid", *arguments]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=240)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    (tmp_path / "my.toml").write_text(render_config(config_of(street, kinds)))
    train("--config", "my.toml", "--out", "whole", "run.steps=3")
    train("--config", "my.toml", "--out", "parts")
    train("--resume", "parts", "run.steps=3")
    logs = [(tmp_path / run / "metrics.jsonl").read_text().splitlines() for run in ("whole", "parts")]
    first, second = ([dict(without_clock(json.loads(line))) for line in log] for log in logs)
    assert len(first) == 3
    assert first == second
    assert len(synthesised(tmp_path / "parts", street, tmp_path / "out")) == 2 * FRAMES
