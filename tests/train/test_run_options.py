"""What watches a run, and what hardens it against drift, through the command line from one configuration file."""

import json
import re
from pathlib import Path

import pytest
from faults import final, lines, run_config, same
from vs_config import render_config
from vs_runtime.metrics_log import read_metrics, read_validations
from vs_train.cli import main

AIM = """
import json

class Image:
    def __init__(self, pixels):
        self.shape = pixels.shape

class Run(dict):
    def __init__(self, repo, run_hash, **options):
        self.told, self.hash = open(repo + "/told.jsonl", "a"), "first"

    def track(self, value, name, step):
        what = list(value.shape) if isinstance(value, Image) else value
        self.told.write(json.dumps([step, name, what]) + chr(10))

    def close(self):
        self.told.close()
"""
"""A program of that name, which is found and imported as the real one is."""

WATCHED = (
    *("run.validate_every=2", "run.validate_clips=1", "run.validate_frames=3", "run.keep_best=psnr"),
    *("run.patience=9", "run.profile_steps=[3, 3]", 'run.trackers=["aim"]'),
)
HARDENED = ("curriculum.past_noise=8", "curriculum.past_frames=average")


@pytest.fixture
def train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Train by the command line in an empty directory: the exit status."""
    curriculum = {"single_frame_steps": 0, "initial_length": 2, "max_length": 3, "double_every": 2}
    config = run_config(curriculum=curriculum, run={"steps": 4, "sample_every": 4})
    monkeypatch.chdir(tmp_path)
    Path("my.toml").write_text(render_config(config))
    Path("programs").mkdir()
    Path("programs/aim.py").write_text(AIM)
    monkeypatch.syspath_prepend("programs")
    return lambda *words: main(["vid2vid", *words])


def test_a_watched_run_is_the_one_that_nobody_watches_and_that_was_resumed(train, capsys) -> None:
    assert train("--config", "my.toml", "--out", "watched", *HARDENED, *WATCHED) == 0
    said = capsys.readouterr().err
    watched = Path("watched")
    validations = list(read_validations(watched / "metrics.jsonl"))
    assert [line["step"] for line in validations] == [2, 4]
    assert all(f"step {step}: validation of 1 clip, 3 frames: PSNR" in said for step in (2, 4))
    assert (watched / "checkpoints" / "best" / "manifest.json").is_file()
    assert [path.name for path in (watched / "profile").iterdir()] == ["steps-00000003-00000003.json.gz"]
    assert "profile of steps 3 to 3: " in said

    told = [json.loads(line) for line in (watched / "trackers" / "aim" / "told.jsonl").read_text().splitlines()]
    numbers = {(step, name): value for step, name, value in told}
    for step in read_metrics(watched / "metrics.jsonl"):
        assert numbers[step["step"], "g_gan"] == step["g_gan"]
    for line in validations:
        assert numbers[line["step"], "validation/ssim/generated"] == line["ssim/generated"]
    assert any(isinstance(value, list) and value[-1] == 3 for value in numbers.values())  # pictures

    assert train("--config", "my.toml", "--out", "broken", *HARDENED, "run.steps=2") == 0
    assert train("--resume", "broken", "run.steps=4") == 0
    assert same({**final(watched, 4), "metrics": 0}, {**final(Path("broken"), 4), "metrics": 0})
    assert [line for line in lines(watched) if "kind" not in line] == lines(Path("broken"))


def test_each_recipe_against_drift_trains_other_weights(train) -> None:
    runs = {"plain": [], **{option.partition("=")[0]: [option] for option in (*HARDENED, "curriculum.max_length=4")}}
    for name, words in runs.items():
        assert train("--config", "my.toml", "--out", name, "run.steps=2", "curriculum.double_every=1", *words) == 0
    plain, *others = (final(Path(name), 2)["generator"] for name in runs)
    assert not any(same(each, plain) for each in others)


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (
            ["curriculum.past_noise=-1"],
            "curriculum.past_noise: expected a number from 0 to 255 levels of 255, got -1.0",
        ),
        (["curriculum.past_frames=both"], "curriculum.past_frames: expected one of 'generator', 'average', got 'both'"),
        (["run.validate_every=often"], "run.validate_every: expected a whole number from 0 to 99999999"),
        (["run.validate_every=-1"], "run.validate_every: expected a whole number from 0 to 99999999, got -1"),
        (["run.patience=2", "run.validate_every=2"], "run.keep_best: expected a measure, with patience, got 'none'"),
        (["run.profile_steps=[3, 9]"], "run.profile_steps: expected"),
        (['run.trackers=["tensorboard"]'], "run.trackers[0]: expected one of 'wandb', 'mlflow', 'aim'"),
        (["run.trackers=aim"], "run.trackers: expected"),
        (["run.validate_evry=2"], "run.validate_evry: unknown key; did you mean 'validate_every'?"),
    ],
)
def test_wrong_words_are_one_line_and_nothing_is_written(train, words, error, capsys) -> None:
    assert train("--config", "my.toml", "--out", "run", *words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert re.sub(r"^error: (command line|my\.toml): ", "", line).startswith(error)
    assert not Path("run").exists()
