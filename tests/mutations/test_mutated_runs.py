"""Damaged run directories: resumed to what the undamaged run becomes, or refused and left as they are."""

import hashlib
import json
import random
from pathlib import Path
from typing import Any

import pytest
import torch
import vs_runtime as runtime
from mutate import copy_tree, mutate_file, mutate_json, no_longer_than, over, snapshot
from vs_runtime import load_latest
from vs_runtime.metrics_log import without_clock
from vs_train.cli import main

CONFIG = Path(__file__).parent / "tiny.toml"
SEEDS = [range(20), range(20, 40)]
MORE_SEEDS = [range(start, start + 50) for start in range(1000, 2000, 50)]
several = pytest.mark.parametrize(
    "seeds", [*SEEDS, *(pytest.param(seeds, marks=pytest.mark.slow) for seeds in MORE_SEEDS)], ids=str
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("mutated-run") / "run"
    assert main(["vid2vid", "--config", str(CONFIG), "--out", str(root)]) == 0
    return root


@pytest.fixture(scope="module")
def resumed(run: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the undamaged run becomes."""
    root = copy_tree(run, tmp_path_factory.mktemp("mutated-run") / "resumed")
    assert main(["vid2vid", "--resume", str(root), "run.steps=5"]) == 0
    return outcome_of(root)


def outcome_of(run: Path) -> dict[str, Any]:
    loaded = load_latest(run / "checkpoints")
    lines = [without_clock(json.loads(line)) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return {"step": loaded.step, "state": flat(loaded.state), "metrics": lines}


def flat(state: Any, path: str = "$") -> dict[str, Any]:
    if isinstance(state, dict):
        return {name: leaf for key, value in state.items() for name, leaf in flat(value, f"{path}.{key}").items()}
    if isinstance(state, list | tuple):
        return {name: leaf for key, value in enumerate(state) for name, leaf in flat(value, f"{path}[{key}]").items()}
    return {path: state}


def same(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return isinstance(other, dict) and one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    return bool(one == other) or (one != one and other != other)


def files_to_damage(run: Path) -> list[Path]:
    """All but pictures, which nothing reads again."""
    files = [path.relative_to(run) for path in sorted(run.rglob("*")) if path.is_file()]
    return [path for path in files if path.parts[0] != "samples"]


def damage(root: Path, rng: random.Random) -> str:
    path = root / rng.choice(files_to_damage(root))
    if path.suffix == ".json" and rng.random() < 0.6:
        path.write_text(json.dumps(mutate_json(json.loads(path.read_text()), rng)))
        done = "value"
        if path.name == "state.json" and rng.random() < 0.7:
            sign_again(path)
            done = "value, with a checksum that holds"
    else:
        done = mutate_file(path, [root / other for other in files_to_damage(root)], rng)
    return f"{path.relative_to(root)} {done}"


def sign_again(state: Path) -> None:
    """Make the checksum in the manifest hold for a state that was changed."""
    manifest = state.with_name("manifest.json")
    document = json.loads(manifest.read_text())
    data = state.read_bytes()
    document["files"][state.name] |= {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    manifest.write_text(json.dumps(document))


@several
def test_a_damaged_run_is_resumed_exactly_or_refused_and_left_alone(seeds, run, resumed, tmp_path, capsys):
    def one(seed: int) -> str:
        root = copy_tree(run, tmp_path / "run")
        done = damage(root, random.Random(seed))
        before = snapshot(tmp_path)
        try:
            with no_longer_than(60):
                status = main(["vid2vid", "--resume", str(root), "run.steps=5"])
            said = "".join(capsys.readouterr())
            assert [line for line in said.splitlines() if not line.isprintable()] == []
            if status == 0:
                assert same(outcome_of(root), resumed), f"resumed to something else: {said}"
                return "resumed"
            assert status == 2, said
            assert any(line.startswith("error: ") for line in said.splitlines()), said
            assert differing(before, snapshot(tmp_path)) == [], f"refused, and yet changed: {said}"
        except Exception as error:
            error.add_note(done)
            raise
        return "refused"

    assert over(seeds, one) == {"resumed", "refused"}


def differing(before: dict[str, object], after: dict[str, object]) -> list[str]:
    return [name for name in sorted(before | after) if before.get(name) != after.get(name)]


def test_a_checkpoint_of_the_run_is_read_as_written(run):
    assert runtime.load_latest(run / "checkpoints").step == 4
