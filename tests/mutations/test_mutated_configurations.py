"""Damaged and mistyped configurations: refused with lines that can be read, or taken for what they say."""

import random
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mutate import NASTY_VALUES, misspelt, mutate_toml, no_longer_than, over
from vs_train.cli import main

TINY = (Path(__file__).parent / "tiny.toml").read_text()
SEEDS = [range(40), range(40, 80), range(80, 120)]
MORE_SEEDS = [range(start, start + 200) for start in range(1000, 5000, 200)]
several = pytest.mark.parametrize(
    "seeds", [*SEEDS, *(pytest.param(seeds, marks=pytest.mark.slow) for seeds in MORE_SEEDS)], ids=str
)


def leaves(document: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if not isinstance(document, dict):
        yield path, document
        return
    for key, value in document.items():
        yield from leaves(value, f"{path}.{key}")


def unlike(said: str, printed: str) -> list[str]:
    """The paths whose value in the printed configuration is another than was said."""
    whole = dict(leaves(tomllib.loads(printed)))
    return [path for path, value in leaves(tomllib.loads(said)) if value != {} and whole.get(path) != value]


def judge(arguments: list[str], said: str | None, capsys: pytest.CaptureFixture[str]) -> str:
    """Run the command to its `--print-config`; return what came of it: "taken" or "refused"."""
    with no_longer_than(20):
        status = main(["vid2vid", *arguments, "--print-config"])
    out, err = capsys.readouterr()
    if status == 0:
        assert err == ""
        assert said is None or unlike(said, out) == []
        return "taken"
    assert (status, out) == (2, "")
    lines = err.splitlines()
    assert lines
    assert [line for line in lines if not (line.startswith("error: ") and line.isprintable())] == []
    return "refused"


@several
def test_a_mutated_file_is_refused_in_lines_or_means_what_it_says(seeds, tmp_path, monkeypatch, capsys):
    def one(seed: int) -> str:
        data = mutate_toml(TINY, random.Random(seed))
        (tmp_path / "c.toml").write_bytes(data)
        end = judge(["--config", "c.toml"], data.decode("utf-8", errors="replace"), capsys)
        assert [path.name for path in tmp_path.iterdir()] == ["c.toml"]
        return end

    monkeypatch.chdir(tmp_path)
    assert over(seeds, one) == {"taken", "refused"}


@several
def test_a_mutated_override_is_refused_in_lines_or_taken(seeds, tmp_path, monkeypatch, capsys):
    paths = [path.lstrip(".") for path, _ in leaves(tomllib.loads(TINY))]

    def one(seed: int) -> str:
        rng = random.Random(seed)
        path, value = rng.choice(paths), rng.choice(NASTY_VALUES)
        end = judge([f"{misspelt(path, rng) if rng.random() < 0.2 else path}={value}"], None, capsys)
        assert list(tmp_path.iterdir()) == []
        return end

    monkeypatch.chdir(tmp_path)
    assert over(seeds, one) == {"taken", "refused"}


def test_the_comparison_sees_a_value_that_was_not_taken():
    assert unlike("a.b = 1\na.c = 2", "[a]\nb = 1\nc = 3") == [".a.c"]
