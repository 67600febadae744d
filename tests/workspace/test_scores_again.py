"""The scores that the README cites, measured again by the commands that it gives: trained again where it trains."""

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import figures
import pytest

EVALUATES = "hatch run eval:"
TRAINED_AGAIN = {"dB": (0.7, 0.0), "": (0.04, 0.0)}, (0.0, 0.25)
"""How far scores may be off: absolute and as a fraction, by unit, and of all other units.

On the machine that stored them all bits are the same. Another processor rounds otherwise, a training of minutes carries
that on, and its result is about as far off as that of another seed.
"""
MEASURED_AGAIN = {"dB": (0.05, 0.0), "": (0.003, 0.0)}, (0.0, 0.02)
"""The same of weights that are there: only the roll-out carries rounding on."""


def cited() -> dict[str, list[str]]:
    """Paths to the scores that the README cites, by the stored report that they are in."""
    names = set(figures._MARKED.findall((figures.ROOT / "README.md").read_text()))
    texts = [
        figure.get("text", "") for name, figure in figures.read_figures().items() if name in {one for one, _ in names}
    ]
    found: dict[str, list[str]] = {}
    for path in (path for text in texts for path, _ in figures._VALUE.findall(text)):
        file = path.partition("/")[0]
        if figures.value_at(f"{file}/command").startswith(EVALUATES):
            found.setdefault(file, []).append(path)
    return found


def commands(stored: dict, place: Path) -> Iterator[list[str]]:
    """What measures a stored report again, into `place/again`: that of a run with the training before it."""
    words = shlex.split(stored["command"].removeprefix(EVALUATES))
    kind, _, *options = words
    if "model" in stored:
        what = figures.ROOT / stored["model"]
        if not what.is_dir():
            pytest.skip(f"{stored['model']} is not there")
    else:
        what = place / Path(stored["run"]).name
        same = ("precision.level=O0", "run.threads=1")
        yield ["vs_train", kind, "--preset", what.name, "--out", str(what), *same]
    yield ["vs_eval", kind, str(what), *options, "--out", str(place / "again")]


def differences(paths: list[str], again: Path, *, trained: bool) -> list[str]:
    """The scores that are further off than they may be, in words."""
    by_unit, others = TRAINED_AGAIN if trained else MEASURED_AGAIN
    found = []
    for path in paths:
        before, after = (figures.value_at(path, results) for results in (figures.RESULTS, again))
        absolute, relative = by_unit.get(figures.value_at(re.sub("value$", "unit", path)), others)
        if abs(after - before) > absolute + relative * abs(before):
            found.append(f"{path}: {before} in the README, {after} measured again")
    return found


def test_the_readme_cites_what_its_first_commands_train():
    assert cited().keys() >= {"street-tiny-cpu", "faces-tiny-cpu"}


def test_a_score_that_is_too_far_off_is_named(tmp_path):
    path = "street-tiny-cpu/scores/psnr/generated/value"
    report = json.loads((figures.RESULTS / "street-tiny-cpu.json").read_text())
    score = report["scores"]["psnr/generated"]
    for off, trained, wrong in ((0.04, False, 0), (0.06, False, 1), (-0.6, True, 0), (-0.8, True, 1)):
        again = tmp_path / f"{off}"
        again.mkdir()
        changed = {**report["scores"], "psnr/generated": {**score, "value": score["value"] + off}}
        (again / "street-tiny-cpu.json").write_text(json.dumps({**report, "scores": changed}))
        assert len(differences([path], again, trained=trained)) == wrong


@pytest.mark.slow
@pytest.mark.parametrize("file", cited())
def test_measured_again_the_scores_are_those_of_the_readme(file, tmp_path):
    stored = json.loads((figures.RESULTS / f"{file}.json").read_text())
    for command in commands(stored, tmp_path):
        subprocess.run([sys.executable, "-m", *command], check=True, cwd=tmp_path, timeout=3600)
    (tmp_path / "again" / "report.json").rename(tmp_path / "again" / f"{file}.json")
    assert differences(cited()[file], tmp_path / "again", trained="run" in stored) == []
