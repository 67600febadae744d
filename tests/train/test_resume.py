"""Real runs through the real command line: killed at any moment and resumed, they are the run that was not killed."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from safetensors.torch import load_file
from vs_runtime.metrics_log import without_clock

TINY = [
    "data.height=32",
    "data.width=64",
    "data.sequence_length=6",
    "data.train_sequences=5",
    "data.val_sequences=1",
    "generator.levels=3",
    "generator.image_downsamples=2",
    "generator.filters=4",
    "generator.max_filters=8",
    "generator.embedder.filters=4",
    "generator.embedder.downsamples=2",
    "generator.flow.filters=4",
    "generator.flow.downsamples=2",
    "generator.flow.residual_blocks=1",
    "generator.combination.kind=spade",
    "generator.combination.levels=2",
    "generator.combination.embedder.filters=4",
    "generator.combination.embedder.downsamples=2",
    "discriminator.image.filters=4",
    "discriminator.image.layers=2",
    "discriminator.image.scales=1",
    "objective.perceptual.width_divisor=16",
    "objective.perceptual.scales=1",
    "curriculum.single_frame_steps=2",
    "curriculum.initial_length=3",
    "curriculum.max_length=3",
    "optim.schedule.decay_start=4",
    "optim.schedule.decay_end=9",
    "optim.ema.start_step=4",
    "run.sample_every=4",
    "run.checkpoint_every=3",
    "run.steps=10",
    "run.sample_frames=4",
    "run.threads=1",
]


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "vs_train", "vid2vid", *arguments]


def start(*arguments: str, cwd: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command(*arguments), cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def finish(*arguments: str, cwd: Path, status: int = 0) -> str:
    process = start(*arguments, cwd=cwd)
    output, _ = process.communicate(timeout=240)
    assert process.returncode == status, output
    return output


def wait_for_lines(path: Path, count: int, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 200
    while time.monotonic() < deadline:
        if path.exists() and path.read_bytes().count(b"\n") >= count:
            return
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.005)
    raise AssertionError("the run wrote no metrics in time")


def metrics(run: Path) -> list[dict[str, object]]:
    return [dict(without_clock(json.loads(line))) for line in (run / "metrics.jsonl").read_text().splitlines()]


def same_run(a: Path, b: Path) -> None:
    """Compare everything but clocks, machine facts and TensorBoard's event files, which carry times."""
    assert metrics(a) == metrics(b)
    assert len(metrics(a)) == 10
    last = "checkpoints/step-00000010"
    tensors, others = (load_file(run / last / "tensors.safetensors") for run in (a, b))
    assert tensors.keys() == others.keys()
    for name, tensor in tensors.items():
        assert tensor.numpy().tobytes() == others[name].numpy().tobytes(), name
    assert (a / last / "state.json").read_bytes() == (b / last / "state.json").read_bytes()
    names = sorted(p.name for p in (a / "samples").iterdir())
    assert names == sorted(p.name for p in (b / "samples").iterdir())
    assert len(names) == 6  # pictures and videos at steps 4, 8 and 10
    for name in names:
        assert (a / "samples" / name).read_bytes() == (b / "samples" / name).read_bytes(), name


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unbroken")
    output = finish("--out", "run", *TINY, "loader.workers=0", cwd=folder)
    assert "run" in output.splitlines()[-1]
    return folder / "run"


@pytest.mark.parametrize("killed_after", [1, 5, 9])
def test_killed_and_resumed_is_bit_for_bit_the_unbroken_run(unbroken: Path, tmp_path: Path, killed_after: int) -> None:
    process = start("--out", "run", *TINY, "loader.workers=0", cwd=tmp_path)
    wait_for_lines(tmp_path / "run" / "metrics.jsonl", killed_after, process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert process.stdout is not None
    process.stdout.close()
    # What is said of speed changes no bit, and is said again when a run goes on.
    speed = "performance.keep_memory=false"
    output = finish("--resume", "run", *([speed] if killed_after > 5 else []), cwd=tmp_path)
    assert ("freed memory goes back to the system, as asked for" in output) == (killed_after > 5)
    assert ("starting anew" in output) == (killed_after < 3)
    same_run(unbroken, tmp_path / "run")


def test_stopped_by_a_signal_it_saves_and_says_how_to_go_on(unbroken: Path, tmp_path: Path) -> None:
    """With a loader worker, too: how batches are read changes nothing."""
    process = start("--out", "run", *TINY, "loader.workers=1", cwd=tmp_path)
    wait_for_lines(tmp_path / "run" / "metrics.jsonl", 2, process)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 143, output
    assert "--resume run" in output
    assert list((tmp_path / "run" / "checkpoints").glob("step-*"))
    finish("--resume", "run", cwd=tmp_path)
    for picture in sorted((unbroken / "samples").iterdir()):
        assert (tmp_path / "run" / "samples" / picture.name).read_bytes() == picture.read_bytes()
    assert metrics(tmp_path / "run") == metrics(unbroken)


def test_a_truncated_checkpoint_is_passed_over_by_name(unbroken: Path, tmp_path: Path) -> None:
    finish("--out", "run", *TINY, "loader.workers=0", cwd=tmp_path)
    newest = tmp_path / "run" / "checkpoints" / "step-00000010" / "tensors.safetensors"
    newest.write_bytes(newest.read_bytes()[:1000])
    output = finish("--resume", "run", cwd=tmp_path)
    assert "step-00000010" in output
    assert "the checkpoint before it is used instead" in output
    same_run(unbroken, tmp_path / "run")


def test_what_cannot_be_resumed_is_left_as_it_was(tmp_path: Path) -> None:
    three = ["run.steps=3" if override.startswith("run.steps=") else override for override in TINY]
    finish("--out", "run", *three, "loader.workers=0", cwd=tmp_path)
    config = (tmp_path / "run" / "config.toml").read_bytes()
    output = finish("--resume", "run", "run.steps=2", cwd=tmp_path, status=2)
    assert "run.steps: expected at least 3, the steps that the run in " in output.splitlines()[-1]
    broken = tmp_path / "run" / "checkpoints" / "step-00000003" / "state.json"
    broken.write_text("{")
    output = finish("--resume", "run", "run.steps=7", cwd=tmp_path, status=2)
    assert "step-00000003" in output.splitlines()[-1]
    assert broken.read_text() == "{"
    assert (tmp_path / "run" / "config.toml").read_bytes() == config
    assert len((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()) == 3
