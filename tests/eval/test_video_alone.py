"""A video without any labels trains a network, which makes another video of edges of a third: end to end."""

from pathlib import Path

import av
import pytest
from video_files import striped, write_video
from vs_eval.app import main as evaluate
from vs_train.cli import main as train

SIZE = (64, 64)
TINY = [
    "generator.filters=4", "generator.max_filters=8",
    "generator.embedder.filters=4", "generator.embedder.max_filters=8",
    "generator.flow.filters=4", "generator.flow.max_filters=8", "discriminator.image.filters=4",
    "discriminator.image.max_filters=8", "objective.perceptual={kind='none'}", "precision.level=O0",
]  # fmt: skip


def video(path: Path, first: int, count: int) -> Path:
    frames = [striped(number, SIZE) for number in range(first, first + count)]
    return write_video(path, frames, "libx264", "yuv420p", {"bf": "2", "g": "6"})


@pytest.mark.slow
def test_one_video_trains_and_another_is_made_from_a_third(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    seen, driving = video(tmp_path / "clip.mp4", 0, 20), video(tmp_path / "drive.mp4", 5, 6)
    data = ["data.kind=video", f"data.root={seen}", "data.labels=[{kind='edges'}]", "data.val_seconds=0.2"]
    data += [f"data.height={SIZE[0]}", f"data.width={SIZE[1]}"]
    run = ["run.steps=2", "run.checkpoint_every=1", "run.sample_every=2", "run.sample_frames=2", "loader.workers=0"]
    assert train(["vid2vid", "--preset", "street-tiny", "--out", "run", *data, *run, *TINY]) == 0
    assert train(["vid2vid", "--resume", "run", "run.steps=3"]) == 0
    with pytest.raises(SystemExit) as stop:
        evaluate(["synthesize", "run", "--labels", str(driving), "--out", "made.mkv", "--device", "cpu"])
    assert not stop.value.code
    with av.open("made.mkv") as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(frames) == 6
    assert frames[0].shape == (*SIZE, 3)
