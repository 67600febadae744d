"""Damaged model directories: they make the frames of the undamaged one, or are refused in one line and left alone."""

import json
import random
from pathlib import Path

import pytest
import torch
from mutate import copy_tree, mutate_file, mutate_json, no_longer_than, over, snapshot
from vs_eval.app import main as evaluate
from vs_eval.input_errors import INPUT_ERRORS
from vs_synthesis import directory, load_model, start
from vs_train.cli import main

CONFIG = Path(__file__).parent / "tiny.toml"
SEALED = "model.json value, with a checksum that holds"
SEEDS = range(40)
MORE_SEEDS = [range(start, start + 100) for start in range(1000, 1500, 100)]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("mutated-model")
    assert main(["vid2vid", "--config", str(CONFIG), "--out", str(root / "run")]) == 0
    with pytest.raises(SystemExit) as done:
        evaluate(["package", str(root / "run"), "--out", str(root / "model")])
    assert done.value.code == 0
    return root / "model"


def frames_of(path: Path) -> list[torch.Tensor]:
    stream = start(load_model(path, device="cpu"))
    return [stream(torch.full((16, 32), step, dtype=torch.uint8)) for step in range(3)]


def frames_or_refusal(path: Path) -> list[torch.Tensor] | str:
    try:
        return frames_of(path)
    except INPUT_ERRORS as error:
        return str(error)


def damage(root: Path, rng: random.Random) -> str:
    files = sorted(path for path in root.iterdir() if path.name != "README.md")
    path = rng.choice(files)
    if path.name == "model.json" and rng.random() < 0.8:
        changed = mutate_json(json.loads(path.read_text()), rng)
        sealed = type(changed) is dict and rng.random() < 0.9
        path.write_text(json.dumps(directory._sealed(changed) if sealed else changed))
        return SEALED if sealed else "model.json value"
    return f"{path.name} {mutate_file(path, files, rng)}"


@pytest.mark.parametrize("seeds", [SEEDS, *(pytest.param(seeds, marks=pytest.mark.slow) for seeds in MORE_SEEDS)])
def test_a_damaged_model_makes_the_same_frames_or_is_refused_and_left_alone(seeds, model, tmp_path):
    expected = frames_of(model)

    def one(seed: int) -> str:
        root = copy_tree(model, tmp_path / "model")
        done = damage(root, random.Random(seed))
        before = snapshot(tmp_path)
        try:
            with no_longer_than(60):
                found = frames_or_refusal(root)
            assert snapshot(tmp_path) == before
            match found:
                case str(said):
                    assert said.isprintable(), said
                    return "refused"
                case frames:
                    # An edit that somebody signed may well mean another network of the same shape.
                    same = all(torch.equal(a, b) for a, b in zip(frames, expected, strict=True))
                    assert same or done == SEALED, "makes other frames"
                    return "made"
        except Exception as error:
            error.add_note(done)
            raise

    assert over(seeds, one) == {"made", "refused"}
