"""Training on poses through the real command line: data in, discriminators of regions, models that are driven."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from test_few_shot_training import SMALL
from test_keypoints import openpose, standing
from vs_config import load_config, render_config
from vs_data import ClipRequest, open_source
from vs_data.skeletons import OPENPOSE_BODY25, draw_skeleton
from vs_runtime import load_checkpoint
from vs_train.cli import main
from vs_training.config import TrainConfig

SIZE = (32, 32)
NOBODY = 2  # the frame of each sequence in which nobody is
LABELS = [{"kind": "densepose"}, {"kind": "keypoints", "skeleton": "body25", "smoothing": 0.5}]


def waving(frame: int, height: float) -> NDArray[np.float64]:
    """Return a body in BODY_25 order that walks to the right and raises its right arm."""
    body = standing(12 + 0.5 * frame, 2, height)
    turn = 0.2 * frame
    body[4, :2] = body[3, :2] + 0.15 * height * np.array([-np.cos(turn), -np.sin(turn)])
    return body


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sequences of somebody who waves, with DensePose of a trunk."""
    root = tmp_path_factory.mktemp("dancers")
    for sequence, height in (("a", 26.0), ("b", 20.0)):
        for kind in ("images", "poses-openpose", "pose_maps-densepose"):
            (root / kind / sequence).mkdir(parents=True)
        for frame in range(6):
            pose = waving(frame, height)
            people = () if frame == NOBODY else (pose,)
            file = root / "poses-openpose" / sequence / f"{frame}.json"
            file.write_text(json.dumps(openpose(*people)))
            picture = 40 + 200 * draw_skeleton(pose, OPENPOSE_BODY25, SIZE).transpose(1, 2, 0)
            cv2.imwrite(str(root / "images" / sequence / f"{frame}.png"), picture.astype(np.uint8))
            parts = np.zeros((*SIZE, 3), np.uint8)
            parts[6:16, 10 + frame : 20 + frame] = (2, 100, 10 * frame)
            cv2.imwrite(str(root / "pose_maps-densepose" / sequence / f"{frame}.png"), parts)
    return root


def document(data: Path, **more: Any) -> dict[str, Any]:
    patch = {"filters": 4, "layers": 2, "scales": 1, "spectral_norm": True}
    regions = [{"region": name, "size": 16, "patch": patch} for name in ("face", "hand")]
    folder = {"kind": "folder", "root": str(data), "height": 32, "width": 32, "labels": LABELS}
    small = {
        **SMALL,
        "data": folder,
        "discriminator": {**SMALL["discriminator"], "regions": regions},
        "loader": {"workers": 0, "batch_size": 2},
        "run": {"steps": 2, "sample_every": 2, "checkpoint_every": 1, "sample_frames": 3, "keep_checkpoints": 9},
    }
    return {**small, **more}


VID2VID: dict[str, Any] = {
    "generator": {
        "kind": "vid2vid",
        "levels": 3,
        "image_downsamples": 2,
        "filters": 4,
        "max_filters": 8,
        "embedder": {"filters": 4, "max_filters": 8, "downsamples": 3},
        "flow": {"filters": 4, "max_filters": 8, "downsamples": 2, "residual_blocks": 1},
        "combination": {"kind": "linear"},
    },
    "references": None,
}


def train(tmp_path: Path, kind: str, content: dict[str, Any], *words: str) -> int:
    file = tmp_path / "my.toml"
    file.write_text(render_config(load_config(TrainConfig, content)))
    return main([kind, "--config", str(file), "--out", str(tmp_path / "run"), *words])


@pytest.mark.parametrize("kind", ["vid2vid", "few-shot"])
def test_a_model_of_poses_trains_with_its_regions(kind: str, data: Path, tmp_path: Path, capsys: Any) -> None:
    content = document(data, **(VID2VID if kind == "vid2vid" else {}))
    assert train(tmp_path, kind, content) == 0
    said = capsys.readouterr()
    assert "nobody is in 1 of 6 frames: 2" in said.err + said.out
    logged = json.loads((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[-1])
    names = [f"{name}_{region}" for name in ("d_gan", "g_gan", "g_feature_matching") for region in ("face", "hand")]
    assert all(logged[name] != 0 for name in names)
    first, last = (load_checkpoint(tmp_path / "run" / "checkpoints" / f"step-{step:08d}").state for step in (1, 2))
    moved = [
        name
        for name, weight in dict(first["discriminator"]).items()
        if not torch.equal(weight, dict(last["discriminator"])[name])
    ]
    assert {name.split(".")[1] for name in moved if name.startswith("regions")} == {"face", "hand"}


def test_a_subject_is_driven_by_another_and_keeps_its_size(data: Path) -> None:
    source = open_source(load_config(TrainConfig, document(data)).data, "val")
    driven = source.read(ClipRequest(sequence=1, start=0, length=2, references=(0,), reference_sequence=0))
    alone = source.read(ClipRequest(sequence=0, start=0, length=2))
    tall, short = (
        np.nonzero(clip.labels["poses-openpose"][0].amax(0).numpy() > 0.5)[0]
        for clip in (driven, source.read(ClipRequest(sequence=1, start=0, length=1)))
    )
    own = np.nonzero(alone.labels["poses-openpose"][0].amax(0).numpy() > 0.5)[0]
    assert abs(np.ptp(tall) - np.ptp(own)) <= 1 < np.ptp(own) - np.ptp(short)
    assert abs(tall.max() - own.max()) <= 1


def test_bad_keypoints_stop_a_run_with_one_line_before_anything_is_written(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = document(data, **VID2VID)
    content["data"] = {**content["data"], "labels": [{"kind": "keypoints", "skeleton": "coco17", "folder": "coco"}]}
    (data / "coco").mkdir()
    for sequence in ("a", "b"):
        (data / "coco" / sequence).mkdir()
        for frame in range(6):
            (data / "coco" / sequence / f"{frame}.json").write_text("[[1, 2]]")
    assert train(tmp_path, "vid2vid", content) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert "0.json" in line
    assert not (tmp_path / "run").exists()
