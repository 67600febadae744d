"""Poses by the command line: trained on files as OpenPose and DensePose write them, driven by such files alone."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import attrs
import cv2
import numpy as np
import pytest
from test_keypoints import openpose, standing
from toy_runs import STREET
from vs_config import render_config
from vs_data import DenseposeConfig, FolderConfig, InstancesConfig, KeypointsConfig, LabelKind, NoFlowConfig
from vs_eval.app import main
from vs_training.config import TrainConfig

H, W, FRAMES = 32, 64, 4
KINDS: dict[str, tuple[LabelKind, ...]] = {
    "keypoints": (KeypointsConfig(),),
    "densepose": (DenseposeConfig(), InstancesConfig(folder="human_instance_maps", show="largest")),
}


@pytest.fixture(scope="module")
def dancers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sequences of somebody who walks, one on the left and one on the right, with everything found in them."""
    root = tmp_path_factory.mktemp("data") / "dancers"
    for sequence, x in (("a", 14), ("b", 44)):
        for folder in ("images", "poses-openpose", "pose_maps-densepose", "human_instance_maps"):
            (root / folder / sequence).mkdir(parents=True)
        for frame in range(FRAMES):
            name = f"{sequence}/{frame:06d}"
            box = np.s_[2:30, x + frame - 5 : x + frame + 5]
            picture = np.full((H, W, 3), 120, np.uint8)
            picture[box] = (40, 90, 200)
            parts, ids = np.zeros((H, W, 3), np.uint8), np.zeros((H, W), np.uint8)
            parts[box] = (2, 100, 30)  # as OpenCV writes it: the part is blue
            ids[box] = 7
            file = root / "poses-openpose" / f"{name}_keypoints.json"
            file.write_text(json.dumps(openpose(standing(x + frame, 2, 28))))
            cv2.imwrite(str(root / "images" / f"{name}.png"), picture)
            cv2.imwrite(str(root / "pose_maps-densepose" / f"{name}.png"), parts)
            cv2.imwrite(str(root / "human_instance_maps" / f"{name}.png"), ids)
    return root


@pytest.fixture(scope="module", params=KINDS)
def run(request: pytest.FixtureRequest, dancers: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two steps, and beside it a folder in which there are its labels and nothing else."""
    place = tmp_path_factory.mktemp(request.param)
    kinds = KINDS[request.param]
    data = FolderConfig(root=str(dancers), height=H, width=W, labels=kinds, flow=NoFlowConfig())
    objective = attrs.evolve(STREET.objective, flow=0.0)
    precision = attrs.evolve(STREET.precision, level="O0")
    few = attrs.evolve(STREET.run, steps=2, checkpoint_every=2, sample_every=2, threads=1)
    config: TrainConfig = attrs.evolve(STREET, data=data, objective=objective, precision=precision, run=few)
    (place / "my.toml").write_text(render_config(config))
    command = [sys.executable, "-m", "vs_train", "vid2vid", "--config", "my.toml", "--out", "run"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "nobody" not in done.stdout + done.stderr
    for kind in kinds:
        shutil.copytree(dancers / kind.folder, place / "labels" / kind.folder)
    return place / "run"


def synthesized(run: Path, labels: Path, out: Path) -> int | str:
    with pytest.raises(SystemExit) as stop:
        main(["synthesize", "--device", "cpu", str(run), "--labels", str(labels), "--out", str(out), "--format", "png"])
    return stop.value.code or 0


def test_labels_without_pictures_drive_a_model_and_decide_what_it_makes(run: Path, tmp_path: Path) -> None:
    assert synthesized(run, run.parent / "labels", tmp_path / "out") == 0
    made = {
        sequence: [cv2.imread(str(path)) for path in sorted((tmp_path / "out" / sequence).glob("*.png"))]
        for sequence in "ab"
    }
    assert [frame.shape for frames in made.values() for frame in frames] == [(H, W, 3)] * 2 * FRAMES
    differ = np.abs(made["a"][0].astype(int) - made["b"][0]).sum(axis=2) > 0
    assert differ[:, 9:20].any()
    assert differ[:, 39:50].any()


def test_a_label_file_that_is_damaged_stops_synthesis_with_one_line(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = shutil.copytree(run.parent / "labels", tmp_path / "labels")
    bad = sorted(sorted(labels.iterdir())[0].rglob("a/*"))[1]
    bad.write_bytes(bad.read_bytes()[:40])
    assert synthesized(run, labels, tmp_path / "out") == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if "error" in line]
    assert len(lines) == 1
    assert lines[0].startswith(f"error: {bad}: ")
    assert not (tmp_path / "out" / "a").exists()
